"""An objective of a study, as reports speak of it and draw it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from matplotlib.axes import Axes
from optuna.study import StudyDirection

from sweep.metrics import title, unit
from sweep.results.front import objective_names
from sweep.results.report.axis import LINE

DECADES = 1.5
"""An objective that is above zero everywhere, and spans more powers of ten than this, is drawn in log scale."""

MOST = 1e200
"""Values beyond this, or of a log scale below its inverse, are not given room: a figure's margins, and differences, are
more than a float holds."""

FAR = 2.5
"""Values that are this much further from the best than nine in ten are not given room."""


@dataclass(frozen=True)
class Objective:
    """An objective.

    Attributes:
        index: which of the study's.
        name: what the study calls it.
        minimized: whether less is better.
    """

    index: int
    name: str
    minimized: bool

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        return "lower is better" if self.minimized else "higher is better"

    @property
    def label(self) -> str:
        """What stands at its axis: name, unit, direction."""
        try:
            return f"{self.name} ({unit(self.name)}, {self.direction})"
        except ValueError:
            return f"{self.name} ({self.direction})"

    @property
    def words(self) -> str:
        """What it is, in words; its name if it is no measure of ours."""
        try:
            return title(self.name)
        except ValueError:
            return self.name

    def better(self, value: float, other: float) -> bool:
        """Whether a value is better than another."""
        return value < other if self.minimized else value > other

    def best(self, values: Iterable[float]) -> float:
        """The best of some values, nan of none."""
        finite = [value for value in values if math.isfinite(value)]
        return (min if self.minimized else max)(finite, default=math.nan)

    def cost(self, values: Iterable[float]) -> np.ndarray:
        """Values of which less is better."""
        found = np.asarray(list(values), float)
        return found if self.minimized else -found


@dataclass(frozen=True)
class Scale:
    """How an objective is drawn: bad values, of which a few may be very bad, are put on the far edge.

    Attributes:
        objective: what is drawn.
        low: the lower end.
        high: the upper end.
        log: whether in log scale.
        beyond: how many values are beyond the far edge.
    """

    objective: Objective
    low: float
    high: float
    log: bool
    beyond: int

    @classmethod
    def of(cls, objective: Objective, values: Iterable[float]) -> Scale:
        """The scale on which these values, of which one at least must be finite, can be told apart."""
        found = np.array([value for value in values if math.isfinite(value)])
        log = bool(found.min() > 0 and math.log10(found.max()) - math.log10(found.min()) > DECADES)
        cost = objective.cost(np.log10(np.clip(found, 1 / MOST, MOST)) if log else np.clip(found, -MOST, MOST))
        best, common, worst = (float(np.quantile(cost, share)) for share in (0, 0.9, 1))
        if common > best and worst - best > FAR * (common - best):
            worst = common + 0.25 * (common - best)
        room = 0.06 * (worst - best) or 0.05 * abs(best) or 0.5
        ends = sorted((1 if objective.minimized else -1) * end for end in (best - room, worst + room))
        low, high = (float(10.0**end if log else end) for end in ends)
        return cls(objective, low, high, log, int(np.count_nonzero((found < low) | (found > high))))

    @property
    def label(self) -> str:
        """What stands at the axis."""
        return self.objective.label.removesuffix(")") + (", log scale)" if self.log else ")")

    def clip(self, values: Iterable[float]) -> np.ndarray:
        """Values, those beyond the edge on it."""
        return np.asarray(np.clip(list(values), self.low, self.high), float)

    def straight(self, values: Any) -> np.ndarray:
        """Values as the scale has them evenly: their log10 in log scale."""
        return np.asarray(np.log10(values) if self.log else values)

    def bent(self, values: Any) -> np.ndarray:
        """Values that were made straight, as they were."""
        return np.asarray(10.0 ** np.asarray(values) if self.log else values)

    def holds(self, value: float) -> bool:
        """Whether a value is on the scale."""
        return self.low <= value <= self.high

    def draw(self, axes: Axes, which: str = "y", named: bool = True) -> None:
        """Gives axes of a figure this scale, its ends and, if `named`, its label."""
        if self.log:
            (axes.set_yscale if which == "y" else axes.set_xscale)("log")
        (axes.set_ylim if which == "y" else axes.set_xlim)(self.low, self.high)
        words = textwrap.fill(self.label, LINE, break_long_words=False)
        if self.beyond:
            words += f"\n{self.beyond} {'above' if self.objective.minimized else 'below'}, on the edge"
        made = (axes.set_ylabel if which == "y" else axes.set_xlabel)(words if named else "")
        made.set_parse_math(False)


def objectives_of(study: optuna.Study) -> tuple[Objective, ...]:
    """The objectives of a study."""
    down = [direction == StudyDirection.MINIMIZE for direction in study.directions]
    named = zip(objective_names(study), down, strict=True)
    return tuple(Objective(index, name, minimized) for index, (name, minimized) in enumerate(named))
