"""A parameter of the search space as an axis of a figure: its scale, its buckets, what it is called."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from sweep.engine.names import short_names
from sweep.results.leaderboard import number

BUCKETS = 6
"""Into how many parts a range of numbers is cut."""

ROOM = 0.19
"""How far marks are from each other at least, as a share of the axis."""

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
        return (self._scaled(at) - self._scaled(low)) / (self._scaled(high) - self._scaled(low))

    def grid(self, count: int) -> Any:
        """Coordinates along the axis: of every choice, or `count` evenly on its scale."""
        if self.choices is not None:
            return np.arange(len(self.choices), dtype=float)
        return self._unscaled(np.linspace(self._scaled(self.low), self._scaled(self.high), count))

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
            return tuple(Bucket(number(self._own(v)), v, (v - step / 2, v + step / 2), closed=False) for v in values)
        edges = [float(edge) for edge in self.grid(BUCKETS + 1)]
        if self.integer:
            edges = sorted({self.low, *(float(math.ceil(edge)) for edge in edges[1:-1]), self.high + 1})
        digits = next((many for many in (2, 3, 4) if len({number(edge, many) for edge in edges}) == len(edges)), 6)
        return tuple(self._bucket(first, last, last == edges[-1], digits) for first, last in pairwise(edges))

    def edge(self, low: bool) -> tuple[Bucket, float]:
        """An end of a range of numbers: its last number if there are few, else its last tenth.

        Returns:
            The end, and the share of points in it if points are drawn evenly on the scale of the axis.
        """
        if self.few:
            every = self.buckets()
            end = every[0 if low else -1]
            first, last = (self._scaled(edge.values[side]) for edge, side in ((every[0], 0), (every[-1], 1)))
            width = self._scaled(end.values[1]) - self._scaled(end.values[0])
            return end, float(width / (last - first))
        inner = float(self.grid(11)[1 if low else -2])
        values = (self.low, inner) if low else (inner, self.high)
        return Bucket(number(self._own(values[0 if low else 1])), values[0 if low else 1], values), 0.1

    def ticks(self) -> tuple[list[float], list[str]]:
        """Coordinates that a drawing without ticks of its own marks, and what to write there."""
        if self.choices is not None:
            return [float(at) for at in range(len(self.choices))], [text(choice) for choice in self.choices]
        if not self.varies:
            return [self.low], [number(self._own(self.low))]
        if not self.log:
            inside = [float(at) for at in MaxNLocator(5, integer=self.integer).tick_values(self.low, self.high)]
        else:
            least, most = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            marks = (1,) if most - least > 3 else (1, 3) if most - least > 1 else (1, 2, 3, 5)
            inside = [mark * 10.0**power for power in range(least, most + 1) for mark in marks]
        marked = [self.low, self.high]
        for at in inside:
            if self.low < at < self.high and all(abs(self.unit(at) - self.unit(other)) > ROOM for other in marked):
                marked.append(at)
        return sorted(marked), [number(self._own(at), 3) for at in sorted(marked)]

    def draw(self, axes: Axes, which: str = "x") -> None:
        """Gives axes of a figure this scale, its ends and its label."""
        across = which == "x"
        set_label = axes.set_xlabel if across else axes.set_ylabel
        set_label(textwrap.fill(self.label, LINE, break_long_words=False)).set_parse_math(False)
        axis = axes.xaxis if across else axes.yaxis
        if self.choices is not None:
            marked, texts = self.ticks()
            long = across and sum(len(short) for short in texts) > 24
            axis.set_ticks(marked, [cut(short, 18) for short in texts], rotation=30 if long else 0)
            for made in axis.get_ticklabels():
                made.set_parse_math(False)
                made.set_horizontalalignment("right" if long or not across else "center")
        elif self.log and self.varies:
            (axes.set_xscale if across else axes.set_yscale)("log")
            marked, texts = self.ticks()
            axis.set_ticks(marked, texts)
            axis.set_ticks([], minor=True)
        elif self.integer:
            axis.set_major_locator(MaxNLocator(6, integer=True))
        (axes.set_xlim if across else axes.set_ylim)(*self._ends())

    def _ends(self) -> tuple[float, float]:
        if self.choices is not None:
            return -0.5, len(self.choices) - 0.5
        if not self.varies:
            return self.low - 0.5, self.high + 0.5
        low, high = self._scaled(self.low), self._scaled(self.high)
        room = 0.04 * (high - low)
        return float(self._unscaled(low - room)), float(self._unscaled(high + room))

    def _bucket(self, first: float, last: float, is_last: bool, digits: int) -> Bucket:
        middle = float(self._unscaled((self._scaled(first) + self._scaled(last)) / 2))
        if not self.integer:
            return Bucket(f"{number(first, digits)} – {number(last, digits)}", middle, (first, last), is_last)
        ends = int(first), int(last) - 1
        named = str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} – {ends[1]}"
        return Bucket(named, middle, (first, last), closed=False)

    def _own(self, value: float) -> int | float:
        return round(value) if self.integer else value

    def _scaled(self, at: Any) -> Any:
        return np.log10(at) if self.log else np.asarray(at, float)

    def _unscaled(self, scaled: Any) -> Any:
        return 10.0 ** np.asarray(scaled) if self.log else np.asarray(scaled)


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
    """A choice, as people read it: a text that would be taken for something else is in quotes."""
    if isinstance(choice, str):
        return json.dumps(choice) if _means(choice) else choice
    return "null" if choice is None else str(choice).lower() if isinstance(choice, bool) else number(choice)


def _means(words: str) -> bool:
    """Whether a text reads like a number, a truth value or null."""
    try:
        return isinstance(json.loads(words), int | float | None)
    except ValueError:
        return False


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
