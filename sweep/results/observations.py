"""What a study's trials say about its objective: points of the space and how bad each of them was, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy import stats

from sweep.engine.study import REPEAT_OF, is_feasible

Numbers: TypeAlias = NDArray[np.float64]

FAR_OUT = 3.0
"""Interquartile ranges beyond the third quartile from which on a value is far out (Tukey, 1977)."""


MAGNITUDES = 30.0
"""Ratio between the 95% and the 5% quantile of a positive objective from which on its logarithm is looked at."""


UNLIKELY = 0.001
"""How often trials that were drawn evenly are taken for others, for each parameter."""


@dataclass(frozen=True)
class Axis:
    """A parameter of the search space.

    Attributes:
        name: its key.
        distribution: what it was drawn from; if its range was changed in between, what spans all of them.
        levels: how many values it can take, or 0 if it is continuous.
    """

    name: str
    distribution: BaseDistribution
    levels: int

    @property
    def is_choice(self) -> bool:
        """Whether its values have no order."""
        return isinstance(self.distribution, CategoricalDistribution)

    def place(self, value: Any) -> float:
        """Where a value lies between 0 and 1, such that the distribution's own draws are spread evenly."""
        drawn = self.distribution
        if isinstance(drawn, CategoricalDistribution):
            return (drawn.to_internal_repr(value) + 0.5) / self.levels
        assert isinstance(drawn, FloatDistribution | IntDistribution)
        half = (drawn.step or 0.0) / 2  # each value of a grid owns the half step on both sides
        scale = math.log if drawn.log else float
        low, high = scale(drawn.low - half), scale(drawn.high + half)
        return (scale(value) - low) / (high - low)


@dataclass(frozen=True)
class Observations:
    """Trials, as far as they say something about the objective.

    Attributes:
        trials: the trials, in the order of their numbers: the complete ones and those that diverged.
        axes: the parameters that took more than one value, by name.
        constant: the names of those that did not.
        points: places on the axes, [trial, axis] between 0 and 1; NaN where a trial has no such parameter.
        badness: of each trial; smaller is better. The objective, negated if it is maximized, with what is far out
            at the bad end pulled in, and a trial that diverged as bad as the worst; in units that are a power of two,
            such that none is above 1 in size: squares of the objective may be more than a float holds.
        logarithmic: whether the badness is the objective's logarithm.
        pruned: how many trials were pruned, so that what made them bad is not seen.
        diverged: how many trials diverged.
        far_out: how many values were pulled in.
    """

    trials: Sequence[FrozenTrial]
    axes: Sequence[Axis]
    constant: Sequence[str]
    points: Numbers
    badness: Numbers
    logarithmic: bool
    pruned: int
    diverged: int
    far_out: int


def observe(study: optuna.Study, objective: int = 0) -> Observations:
    """Reads a study.

    Left out are trials that are infeasible, were told another's value, were pruned or failed. One that diverged
    (PRUNED, with that reason) is kept: it says where the space is bad. The last report of one that was pruned would not
    do as its value: it says how fast something is learnt, which other parameters may decide than how well.

    Args:
        study: the study.
        objective: which of several objectives.
    """
    sign = 1.0 if study.directions[objective] == StudyDirection.MINIMIZE else -1.0
    found: list[tuple[FrozenTrial, float]] = []
    pruned = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        if not is_feasible(trial) or REPEAT_OF in trial.user_attrs or not trial.params:
            continue
        if diverged(trial):
            found.append((trial, math.inf))
        elif trial.state == TrialState.PRUNED:
            pruned += 1
        elif not math.isnan(value := sign * trial.values[objective]):
            found.append((trial, value))
    trials = [trial for trial, _ in found]
    raw = np.array([value for _, value in found])
    axes, constant = _axes(trials)
    points = np.array([[_place(axis, trial) for axis in axes] for trial in trials]).reshape(len(trials), len(axes))
    logarithmic = sign > 0 and _spans_magnitudes(raw[np.isfinite(raw)])
    badness, far_out = _pulled_in(_scaled(np.log10(raw) if logarithmic else raw))
    lost = int(np.isinf(raw).sum())
    return Observations(trials, axes, constant, points, badness, logarithmic, pruned, lost, far_out)


def diverged(trial: FrozenTrial) -> bool:
    """Whether a trial was given up because its objective was not finite."""
    return trial.state == TrialState.PRUNED and str(trial.user_attrs.get("reason", "")).startswith("diverged")


def spread_evenly(trials: Sequence[FrozenTrial]) -> bool:
    """Whether trials may have been drawn evenly: on each axis a test that errs once in a thousand.

    Of choices it is Pearson's, of numbers Kolmogorov's.
    """
    axes, _ = _axes(trials)
    for axis in axes:
        known = np.array([axis.place(trial.params[axis.name]) for trial in trials if axis.name in trial.params])
        count = len(known)
        if axis.is_choice:
            seen = np.bincount(np.floor(known * axis.levels).astype(int), minlength=axis.levels)
            if stats.chisquare(seen).pvalue < UNLIKELY:
                return False
            continue
        largest_tie = np.unique(known, return_counts=True)[1].max() / count  # a grid's steps are no unevenness
        if stats.kstest(known, "uniform").statistic > stats.kstwobign.isf(UNLIKELY) / np.sqrt(count) + largest_tie:
            return False
    return True


def _place(axis: Axis, trial: FrozenTrial) -> float:
    return axis.place(trial.params[axis.name]) if axis.name in trial.params else math.nan


def _axes(trials: Sequence[FrozenTrial]) -> tuple[list[Axis], list[str]]:
    """The parameters that varied, and the names of those that did not."""
    axes, constant = [], []
    for name in sorted({name for trial in trials for name in trial.params}):
        drawn = [(trial.distributions[name], trial.params[name]) for trial in trials if name in trial.params]
        if len({distribution.to_internal_repr(value) for distribution, value in drawn}) == 1:
            constant.append(name)
        else:
            spanning = _spanning([distribution for distribution, _ in drawn])
            axes.append(Axis(name, spanning, _levels(spanning)))
    return axes, constant


def _spanning(distributions: Sequence[BaseDistribution]) -> BaseDistribution:
    """One distribution for all. Optuna lets nothing but the range and step of numbers change within a study."""
    first = distributions[0]
    if all(drawn == first for drawn in distributions):
        return first
    assert isinstance(first, FloatDistribution | IntDistribution)
    low = min(drawn.low for drawn in distributions)  # type: ignore[attr-defined]
    high = max(drawn.high for drawn in distributions)  # type: ignore[attr-defined]
    kind = IntDistribution if isinstance(first, IntDistribution) else FloatDistribution
    return kind(low, high, first.log)


def _levels(drawn: BaseDistribution) -> int:
    if isinstance(drawn, CategoricalDistribution):
        return len(drawn.choices)
    assert isinstance(drawn, FloatDistribution | IntDistribution)
    return round((drawn.high - drawn.low) / drawn.step) + 1 if drawn.step else 0


def _spans_magnitudes(values: Numbers) -> bool:
    """Whether an error is one that only its ratios tell of: otherwise all its variation is that of the worst trials."""
    if not len(values) or values.min() <= 0:
        return False
    low, high = np.quantile(values, [0.05, 0.95])
    return bool(high / MAGNITUDES > low)


def _scaled(raw: Numbers) -> Numbers:
    """Values in units of the power of two above the largest."""
    _, power = np.frexp(np.abs(raw[np.isfinite(raw)]).max(initial=0.0))
    return np.asarray(np.ldexp(raw, -power))


def _pulled_in(raw: Numbers) -> tuple[Numbers, int]:
    """Values with those that are far out at the bad end pulled in, and how many finite ones that were.

    At the good end nothing is: those are the trials that a study is made for.
    """
    finite = raw[np.isfinite(raw)]
    if not len(finite):
        return np.zeros_like(raw), 0
    first, third = np.quantile(finite, [0.25, 0.75])
    fence = third + FAR_OUT * (third - first) if third > first else finite.max()
    return np.minimum(raw, min(fence, finite.max())), int((finite > fence).sum())
