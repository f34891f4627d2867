"""A parameter of the search space as an axis: its scale, its buckets, what it is called."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from sweep.engine.names import short_names
from sweep.results.leaderboard import number

BUCKETS = 6
"""Into how many parts a range of numbers is cut."""

LINE = 28
"""How many characters a line of a label has."""

FEW = 8
"""Up to how many numbers have a bucket each."""

UNITS = {
    "depth": "layers",
    "width": "units per layer",
    "batch_size": "samples",
    "num_samples": "samples",
    "max_steps": "steps",
    "epochs": "epochs",
    "warmup_steps": "steps",
    "matrix_size": "rows",
    "entry_range": "lowest and highest entry",
    "learning_rate": "per step",
}
"""Units of parameters, by the last part of their keys. What is not here is a plain number or a name."""


@dataclass(frozen=True)
class Bucket:
    """A part of an axis.

    Attributes:
        label: its values, as people read them.
        at: its middle, in the coordinates of the axis.
        values: its first and last value, or its only choice.
        closed: whether the last value belongs to it.
    """

    label: str
    at: float
    values: tuple[Any, ...]
    closed: bool = True

    def holds(self, value: Any) -> bool:
        """Whether a value belongs here."""
        if len(self.values) == 1:
            return bool(type(value) is type(self.values[0]) and value == self.values[0])
        first, last = self.values
        return bool(first <= value < last or (self.closed and value == last))


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        key: of the parameter.
        name: the key, as short as it can be.
        choices: of a categorical one; None of numbers.
        low: the least number.
        high: the largest number.
        log: whether the parameter is drawn in log scale.
        integer: whether only integers are drawn.
        step: from a number to the next; None of numbers without steps.
    """

    key: str
    name: str
    choices: tuple[Any, ...] | None = None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False
    step: float | None = None

    @property
    def label(self) -> str:
        """What stands at the axis: the name, its unit, its scale."""
        unit = UNITS.get(self.key.rpartition(".")[2], "")
        parts = [part for part in (unit, "log scale" if self.log else "") if part]
        return f"{self.name} ({', '.join(parts)})" if parts else self.name

    @property
    def varies(self) -> bool:
        """Whether there is more than one value."""
        return len(self.choices) > 1 if self.choices is not None else self.high > self.low

    @property
    def few(self) -> bool:
        """Whether it has so few numbers that each is looked at by itself."""
        return self.step is not None and (self.high - self.low) / self.step < FEW

    def at(self, value: Any) -> float:
        """Where a value is, in the coordinates of the axis: a number at itself, a choice at its index."""
        if self.choices is None:
            return float(value)
        kinds = [(type(choice), choice) for choice in self.choices]
        return float(kinds.index((type(value), value)))

    def unit(self, at: Any) -> Any:
        """Coordinates on the scale of the axis, as shares of its length."""
        low, high = (0.0, len(self.choices) - 1.0) if self.choices is not None else (self.low, self.high)
        if high <= low:
            return np.full_like(np.asarray(at, float), 0.5)
        return (self.scaled(at) - self.scaled(low)) / (self.scaled(high) - self.scaled(low))

    def grid(self, count: int) -> Any:
        """Coordinates along the axis: of every choice, or `count` evenly on its scale."""
        if self.choices is not None:
            return np.arange(len(self.choices), dtype=float)
        return self.unscaled(np.linspace(self.scaled(self.low), self.scaled(self.high), count))

    def buckets(self) -> tuple[Bucket, ...]:
        """The axis cut into parts: a choice each, one of few numbers each, else parts of equal length on its scale."""
        if self.choices is not None:
            return tuple(Bucket(text(choice), float(at), (choice,)) for at, choice in enumerate(self.choices))
        if not self.varies:
            return (Bucket(number(self.low), self.low, (self.low, self.high)),)
        if self.few:
            step = self.step or 1.0
            values = [self.low + index * step for index in range(round((self.high - self.low) / step) + 1)]
            # Each holds what is nearest to it, as floats with a step have dust behind the point.
            return tuple(Bucket(number(self.own(v)), v, (v - step / 2, v + step / 2), closed=False) for v in values)
        edges = [float(edge) for edge in self.grid(BUCKETS + 1)]
        if self.integer:
            edges = sorted({self.low, *(float(math.ceil(edge)) for edge in edges[1:-1]), self.high + 1})
        digits = next((many for many in (2, 3, 4) if len({number(edge, many) for edge in edges}) == len(edges)), 6)
        return tuple(self._bucket(first, last, last == edges[-1], digits) for first, last in pairwise(edges))

    @property
    def rising(self) -> tuple[Any, ...] | None:
        """The choices in rising order, if all are numbers, or all are ranges of numbers; then by their width."""
        widths = [_width(choice) for choice in self.choices or ()]
        known = [width for width in widths if width is not None]
        if not known or len(known) < len(widths) or len({kind for kind, _ in known}) > 1:
            return None
        return tuple(choice for _, choice in sorted(zip(known, self.choices or (), strict=True), key=lambda at: at[0]))

    def edge(self, low: bool) -> tuple[Bucket, float] | None:
        """An end of a range: of numbers the last one if there are few, else the last tenth; of choices the last one.

        Returns:
            The end, and the share of points in it if points are drawn evenly on the scale of the axis; None of choices
            without an order.
        """
        if self.choices is not None:
            if (rising := self.rising) is None:
                return None
            last = rising[0 if low else -1]
            return self.buckets()[int(self.at(last))], 1 / len(rising)
        if self.few:
            every = self.buckets()
            end = every[0 if low else -1]
            first, last = (self.scaled(edge.values[side]) for edge, side in ((every[0], 0), (every[-1], 1)))
            width = self.scaled(end.values[1]) - self.scaled(end.values[0])
            return end, float(width / (last - first))
        inner = float(self.grid(11)[1 if low else -2])
        values = (self.low, inner) if low else (inner, self.high)
        return Bucket(number(self.own(values[0 if low else 1])), values[0 if low else 1], values), 0.1

    def own(self, value: float) -> int | float:
        """A number as the parameter has it: an integer, if only integers are drawn."""
        return round(value) if self.integer else value

    def scaled(self, at: Any) -> Any:
        """Numbers such that the scale has them evenly: their log10 in log scale."""
        return np.log10(at) if self.log else np.asarray(at, float)

    def unscaled(self, scaled: Any) -> Any:
        """Numbers that were scaled, as they were."""
        return 10.0 ** np.asarray(scaled) if self.log else np.asarray(scaled)

    def _bucket(self, first: float, last: float, is_last: bool, digits: int) -> Bucket:
        middle = float(self.unscaled((self.scaled(first) + self.scaled(last)) / 2))
        if not self.integer:
            return Bucket(f"{number(first, digits)} – {number(last, digits)}", middle, (first, last), is_last)
        ends = int(first), int(last) - 1
        named = str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} – {ends[1]}"
        return Bucket(named, middle, (first, last), closed=False)


def axes_of(trials: Iterable[FrozenTrial]) -> tuple[Axis, ...]:
    """An axis for every parameter that any trial has, in the order in which they first appear.

    A parameter whose distribution was changed while the study went on has an axis that holds all of them.
    """
    found: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for key, distribution in trial.distributions.items():
            known = found.setdefault(key, [])
            if distribution not in known:
                known.append(distribution)
    names = short_names(found)
    return tuple(_axis(key, names[key], distributions) for key, distributions in found.items())


def text(choice: Any) -> str:
    """A choice, as people read it, different ones in different words: a text that reads like a number is in quotes."""
    if isinstance(choice, str):
        return json.dumps(choice) if _means(choice) else choice
    return "null" if choice is None else str(choice).lower() if isinstance(choice, bool) else repr(choice)


def _means(words: str) -> bool:
    """Whether a text reads like a number, a truth value or null."""
    try:
        return isinstance(json.loads(words), int | float | None)
    except ValueError:
        return False


def _width(choice: Any) -> tuple[str, float] | None:
    """What choices are ordered by: a number by its size, a pair of numbers, or its text, by how far apart they are."""
    if isinstance(choice, str):
        try:
            choice = json.loads(choice) if choice.startswith("[") else None
        except ValueError:
            return None
    if _is_number(choice):
        return "number", float(choice)
    if isinstance(choice, list) and len(choice) == 2 and all(map(_is_number, choice)):
        return "range", float(choice[1] - choice[0])
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def cut(words: str, most: int) -> str:
    """A text, or its beginning."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _axis(key: str, name: str, distributions: Sequence[BaseDistribution]) -> Axis:
    categorical = [known for known in distributions if isinstance(known, CategoricalDistribution)]
    if categorical:
        # 1, 1.0 and true are equal, but different choices.
        choices = {(type(choice), choice): choice for known in categorical for choice in known.choices}
        return Axis(key, name, choices=tuple(choices.values()))
    numbers: list[Any] = list(distributions)
    return Axis(
        key,
        name,
        low=float(min(known.low for known in numbers)),
        high=float(max(known.high for known in numbers)),
        log=bool(numbers[-1].log) and min(known.low for known in numbers) > 0,
        integer=all(isinstance(known, IntDistribution) for known in numbers),
        step=None if numbers[-1].step is None else float(numbers[-1].step),
    )
