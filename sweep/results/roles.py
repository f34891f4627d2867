"""What a study says about its scientific parameters: each value at its best nuisance setting, and what was held still.

A value that had more trials had more luck. So the best of each is judged as the best of equally many: of as many trials
as the value with the fewest has, drawn with replacement from its own. The distribution of that has a closed form: of N
trials in order, the best of m draws is beyond the i-th with probability ((N - i) / N)^m (Dodge et al., 2019, "Show Your
Work: Improved Reporting of Experimental Results", section 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from sweep.engine.roles import ROLES
from sweep.engine.study import REPEAT_OF, attempts
from sweep.results.leaderboard import number, objective_name, ranked

PARTS = 6
"""Into how many parts a range of numbers is cut, equal ones on its scale."""

FEW = 8
"""Up to how many numbers of a range are looked at one by one."""

LEAST = 3
"""How many trials a value must have to be compared with the others."""


@dataclass(frozen=True)
class Value:
    """A value of a scientific parameter, or a part of its range.

    Attributes:
        label: the value, as people read it.
        trials: how many trials with it have ended.
        best: the best objective that any of them reached; None if none has a result.
        trial: the number of that trial.
        setting: the other parameters of that trial.
        middle: the median of the best of equally many trials; None if it has too few to be compared.
        low: lower end of the 95% interval of that best; like the median never beyond what was seen.
        high: its upper end.
    """

    label: str
    trials: int
    best: float | None
    trial: int | None
    setting: Mapping[str, Any]
    middle: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The values of a scientific parameter, in its own order, each at its best setting of everything else.

    Attributes:
        key: of the parameter.
        draws: as the best of how many trials each is judged.
        values: of the parameter.
    """

    key: str
    draws: int
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Answer:
    """What a study with roles says.

    Attributes:
        comparisons: one for each scientific parameter that any trial has.
        fixed: what was held still, with its values: what is said holds for these alone.
    """

    comparisons: tuple[Comparison, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)


def answer(study: optuna.Study) -> Answer | None:
    """Compares the values of a study's scientific parameters; None without roles, or with several objectives.

    Trials without a result (pruned, diverged, failed, infeasible) count as the worst that has one. Other scientific
    parameters are free, as nuisance parameters are.
    """
    roles = study.user_attrs.get(ROLES)
    if not roles or len(study.directions) > 1:
        return None
    sign = 1.0 if study.directions[0] == StudyDirection.MINIMIZE else -1.0
    last = [tries[-1] for _, tries in sorted(attempts(study).items())]
    ended = [trial for trial in last if trial.state.is_finished() and REPEAT_OF not in trial.user_attrs]
    costs = {trial.number: sign * trial.values[0] for trial in ranked(study)}
    comparisons = []
    for key in roles["scientific"]:
        parts = _parts([trial for trial in ended if key in trial.params], key)
        draws = min((len(part) for part in parts.values() if len(part) >= LEAST), default=0)
        values = [_value(key, label, part, costs, sign, draws) for label, part in parts.items()]
        comparisons += [Comparison(key, draws, tuple(values))] if values else []
    return Answer(tuple(comparisons), dict(roles["fixed"]))


def table(study: optuna.Study, said: Answer) -> Table:
    """What a study says about its scientific parameters, as a table; beneath it, what was held still."""
    held = ", ".join(f"{key}={_text(value)}" for key, value in said.fixed.items())
    board = Table(
        title=f"{study.study_name}: {objective_name(study)} of each value at its best setting of the others",
        caption=f"Holds for what was held still: {held}" if held else None,
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    board.add_column("")
    board.add_column("value")
    for heading in ("trials", "best", "by trial", "best of", "equally many (95%)"):
        board.add_column(heading, justify="right")
    for comparison in said.comparisons:
        for index, value in enumerate(comparison.values):
            board.add_row(
                escape(comparison.key) if index == 0 else "",
                escape(value.label),
                str(value.trials),
                "" if value.best is None else number(value.best),
                "" if value.trial is None else str(value.trial),
                str(comparison.draws) if value.middle is not None else "",
                _interval(value),
                end_section=index == len(comparison.values) - 1,
            )
    return board


def _value(
    key: str, label: str, trials: Sequence[FrozenTrial], costs: Mapping[int, float], sign: float, draws: int
) -> Value:
    known = [trial for trial in trials if trial.number in costs]
    if not known:
        return Value(label, len(trials), None, None, {})
    best = min(known, key=lambda trial: costs[trial.number])
    setting = {other: value for other, value in best.params.items() if other != key}
    value = Value(label, len(trials), sign * costs[best.number], best.number, setting)
    if len(trials) < LEAST:
        return value
    worst = max(costs.values())
    ordered = np.sort([costs.get(trial.number, worst) for trial in trials])
    low, middle, high = sorted(sign * quantile for quantile in best_of(ordered, draws))
    return replace(value, middle=middle, low=low, high=high)


def best_of(ordered: NDArray[np.floating], draws: int) -> tuple[float, float, float]:
    """The least of `draws` values drawn with replacement from these, in rising order: its 2.5%, 50% and 97.5%."""
    count = len(ordered)
    reached = 1 - ((count - np.arange(1, count + 1)) / count) ** draws  # that the least is at most the i-th
    low, middle, high = (float(ordered[np.searchsorted(reached, share)]) for share in (0.025, 0.5, 0.975))
    return low, middle, high


def _parts(trials: Sequence[FrozenTrial], key: str) -> dict[str, list[FrozenTrial]]:
    """Trials by the value of a parameter, or by the part of its range, in its order; only those that have any."""
    drawn = [trial.distributions[key] for trial in trials]
    choices = [choice for one in drawn if isinstance(one, CategoricalDistribution) for choice in one.choices]
    if choices or not trials:
        found: dict[str, list[FrozenTrial]] = {_text(choice): [] for choice in choices}
        for trial in trials:
            found[_text(trial.params[key])].append(trial)
        return {label: part for label, part in found.items() if part}
    numbers: list[Any] = drawn
    low, high = min(one.low for one in numbers), max(one.high for one in numbers)
    values = sorted({trial.params[key] for trial in trials})
    step = numbers[-1].step
    if low == high or (step is not None and (high - low) / step < FEW):
        found = {number(value): [] for value in values}
        for trial in trials:
            found[number(trial.params[key])].append(trial)
        return found
    edges = (np.geomspace if numbers[-1].log else np.linspace)(low, high, PARTS + 1)
    if isinstance(numbers[-1], IntDistribution):
        edges = np.unique([low, *(math.ceil(edge) for edge in edges[1:-1]), high + 1])
    where = np.clip(np.searchsorted(edges, [t.params[key] for t in trials], side="right") - 1, 0, len(edges) - 2)
    labels = [_range(first, last, isinstance(numbers[-1], IntDistribution)) for first, last in pairwise(edges)]
    found = {label: [] for label in labels}
    for trial, index in zip(trials, where, strict=True):
        found[labels[index]].append(trial)
    return {label: part for label, part in found.items() if part}


def _range(first: float, last: float, integer: bool) -> str:
    ends = (number(int(first)), number(int(last) - 1)) if integer else (number(float(first), 3), number(float(last), 3))
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _text(choice: Any) -> str:
    return "null" if choice is None else str(choice).lower() if isinstance(choice, bool) else number(choice)


def _interval(value: Value) -> str:
    if value.middle is None or value.low is None or value.high is None:
        return "too few trials"
    return f"{number(value.middle, 3)} ({number(value.low, 3)} to {number(value.high, 3)})"
