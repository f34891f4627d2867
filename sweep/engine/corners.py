"""Points of a search space that together touch every choice and both ends of every interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from sweep.engine.parameter import Parameter

MOST = 64
"""How many points there are at most: each is composed before a study starts."""

TRIES = 300
"""How often a point is drawn that has a value and fulfils the constraints, until the value is passed over."""

Point = dict[str, Any]


def corners(parameters: Mapping[str, Parameter], violated: Callable[[Point], str | None]) -> Iterator[Point]:
    """Yields the points; a parameter that does not exist at a point is not in it.

    Args:
        parameters: by key, each after those it depends on.
        violated: what says whether a point breaks a constraint: none does that is yielded.
    """
    untouched = {key: parameter.extremes() for key, parameter in parameters.items()}
    random = Random(0)
    for _ in range(MOST):
        target = next((key for key, values in untouched.items() if values), None)
        if target is None:
            return
        value = untouched[target][0]
        needed = {**_needed(parameters, target, untouched), target: value}
        for attempt in range(TRIES):
            point: Point = {}
            for key, parameter in parameters.items():
                if parameter.exists(point):
                    extremes = untouched[key] or parameter.extremes()
                    any_value = extremes[0] if not attempt else _drawn(parameter, random)
                    # A need may contradict another: then only chance finds a point, if there is any.
                    wanted = needed if attempt < TRIES / 2 else {target: value}
                    point[key] = wanted.get(key, any_value)
            if target in point and not violated(point):
                yield point
                for key, one in point.items():
                    untouched[key] = [other for other in untouched[key] if other is not one and other != one]
                break
        else:
            untouched[target].remove(value)


class Ends(BaseSampler):
    """Draws one end of every distribution, or one of its choices: with 0, 1, … each of them in turn."""

    def __init__(self, turn: int) -> None:
        self._turn = turn

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Nothing is drawn together."""
        return {}

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The end, or the choice."""
        ends = Parameter(param_name, "", param_distribution, (), "", {}).extremes()
        return ends[self._turn % len(ends)]


def _needed(parameters: Mapping[str, Parameter], target: str, untouched: Mapping[str, list[Any]]) -> Point:
    """Values of other parameters with which a parameter exists, such as were not touched yet if possible."""
    needed: Point = {}
    for key, values in parameters[target].when.items():
        value = next((value for value in values if value in untouched[key]), values[0])
        needed |= {**_needed(parameters, key, untouched), key: value}
    return needed


def _drawn(parameter: Parameter, random: Random) -> Any:
    return parameter.draw(random) if random.random() < 0.5 else random.choice(parameter.extremes())
