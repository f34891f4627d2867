"""One parameter of a search space: a key, what Optuna draws for it, and the overrides that set it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

from sweep.engine import literals

Numbers = IntDistribution | FloatDistribution


@dataclass(frozen=True)
class Parameter:
    """One parameter of a search space.

    Attributes:
        key: its Hydra key, without the prefix that adds a key (`+` or `++`).
        prefix: that prefix, or nothing.
        distribution: what Optuna draws from.
        texts: for a choice, the override text of each of its values, in the distribution's order.
        source: how it was written.
        when: the values of other parameters with which it exists; without any it always does.
    """

    key: str
    prefix: str
    distribution: BaseDistribution
    texts: tuple[str, ...]
    source: str
    when: Mapping[str, tuple[Any, ...]]

    def exists(self, params: Mapping[str, Any]) -> bool:
        """Whether it exists beside these params; one that is not among them does not exist itself."""
        return all(key in params and params[key] in values for key, values in self.when.items())

    def suggest(self, trial: BaseTrial) -> Any:
        """The value that a trial has for it."""
        key, one = self.key, self.distribution
        if isinstance(one, CategoricalDistribution):
            return trial.suggest_categorical(key, one.choices)
        if isinstance(one, IntDistribution):
            return trial.suggest_int(key, one.low, one.high, step=one.step, log=one.log)
        one = cast(FloatDistribution, one)
        return trial.suggest_float(key, one.low, one.high, step=one.step, log=one.log)

    def override(self, value: Any) -> str:
        """The override that sets it to a value of its distribution."""
        one = self.distribution
        if isinstance(one, CategoricalDistribution):
            text = self.texts[int(one.to_internal_repr(value))]
        else:
            text = literals.text_of(without_dust(one, value))
        return f"{self.prefix}{self.key}={text}"

    def extremes(self) -> list[Any]:
        """The values that show whether the whole parameter is legal: both ends, or every choice."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        bounds = cast(Numbers, self.distribution)
        return [bounds.low, bounds.high]

    def draw(self, random: Random) -> Any:
        """Any value."""
        one = self.distribution
        if isinstance(one, CategoricalDistribution):
            return random.choice(one.choices)
        one = cast(Numbers, one)
        if one.step is not None and not one.log:
            value: float = one.low + one.step * random.randrange(1 + round((one.high - one.low) / one.step))
            return without_dust(one, value)
        value = math.exp(random.uniform(math.log(one.low), math.log(one.high))) if one.log else 0.0
        value = min(max(value, one.low), one.high) if one.log else random.uniform(one.low, one.high)
        return round(value) if isinstance(one, IntDistribution) else value

    def read(self, given: Any) -> Any:
        """A value of the distribution, of what a user wrote: the value, or its text in an override.

        Raises:
            ValueError: if there is none; says what there is.
        """
        one = self.distribution
        value = literals.read(given) if isinstance(given, str) else given
        if not isinstance(one, CategoricalDistribution):
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if number and one._contains(value):
                return int(value) if isinstance(one, IntDistribution) else float(value)
            raise ValueError(_said(one))
        candidates = list(zip(one.choices, self.texts, strict=True))
        # First what is the same, then what says the same: 1 is 1.0, and the number 1 may stand for the text "1".
        for found in (
            [choice for choice, text in candidates if text == literals.text_of(given)],
            [choice for choice, text in candidates if text == literals.text_of(value)],
            [choice for choice, text in candidates if _same(literals.read(text), value)],
            [choice for choice, _ in candidates if choice == str(given)],
        ):
            if found:
                return found[0]
        raise ValueError(f"one of {', '.join(self.texts)}")


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def without_dust(distribution: BaseDistribution, value: Any) -> Any:
    """The value on the grid of its distribution: 0.3, where binary arithmetic gave 0.30000000000000004."""
    step = getattr(distribution, "step", None)
    if not isinstance(distribution, FloatDistribution) or step is None:
        return value
    return float(Decimal(str(distribution.low)) + round((value - distribution.low) / step) * Decimal(str(step)))


def _said(distribution: BaseDistribution) -> str:
    one = cast(Numbers, distribution)
    kind = "an integer" if isinstance(one, IntDistribution) else "a number"
    step = f" in steps of {one.step}" if one.step not in (None, 1) else ""
    return f"{kind} from {one.low} to {one.high}{step}"
