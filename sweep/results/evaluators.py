"""Optuna's own importances of the parameters, PED-ANOVA and fANOVA, with bootstrap intervals.

fANOVA (Hutter et al., 2014, http://proceedings.mlr.press/v32/hutter14.html) fits a random forest to the objective and
asks how much of the forest's variance each parameter has alone. It is given every number in the scale that it was drawn
in. Optuna gives it the bare number: of a learning rate between 1e-5 and 1e-1, the upper tenth of the trials would then
have nine tenths of the space. PED-ANOVA (Watanabe et al., 2023, arXiv:2304.10255) asks where on each parameter the best
tenth of the trials lies, compared to all.

An interval is the estimate and 1.96 standard errors on both sides, which are those of trials drawn again with
replacement. It does not know of a bias, and both have one: a forest is slow to see a bowl, the best of which lies
inside, and under a sampler that searches, PED-ANOVA compares good trials to others that were meant to be good.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from numpy.random import Generator
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from sweep.results.observations import Observations

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator

Estimate = tuple[float, tuple[float, float]]
"""A parameter's share of all of them, and its 95% interval."""

Rows = NDArray[np.int64]
"""Which trials, by their places in the observations."""

REPLICATES = 25
"""How often the trials are drawn again."""

TREES, TREES_AGAIN = 64, 4
"""Of the forest, and of those for the interval alone; fewer make it wider, never narrower."""

MOST = 200
"""Trials that a forest is fitted to; of more, as many at random. A thousand would take half a minute."""

BEST, FEWEST_BEST = 0.1, 5
"""PED-ANOVA's best trials: their share, and how many Optuna asks for at least."""


def ped_anova(observed: Observations, seed: int = 0) -> dict[str, Estimate]:
    """The shares of the parameters that varied in which trials are the best."""
    rng = np.random.default_rng(seed)
    whole = _peds(observed, np.arange(len(observed.badness)))
    return _estimates(whole, [_peds(observed, rows) for rows in _drawn_again(observed, rng)])


def fanova(observed: Observations, seed: int = 0) -> dict[str, Estimate]:
    """The shares of the parameters that varied in the variance of a forest."""
    rng = np.random.default_rng(seed)
    count = len(observed.badness)
    whole = _forest(observed, rng.permutation(count)[:MOST], TREES, rng)
    return _estimates(whole, [_forest(observed, rows[:MOST], TREES_AGAIN, rng) for rows in _drawn_again(observed, rng)])


def _peds(observed: Observations, rows: Rows) -> Mapping[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator

    names = [axis.name for axis in observed.axes]
    trials = [observed.trials[row] for row in rows]
    return _shares(
        PedAnovaImportanceEvaluator(target_quantile=max(BEST, FEWEST_BEST / len(rows))),
        {axis.name: axis.distribution for axis in observed.axes},
        [{name: trial.params[name] for name in names if name in trial.params} for trial in trials],
        observed.badness[rows],
    )


def _forest(observed: Observations, rows: Rows, trees: int, rng: Generator) -> Mapping[str, float]:
    from optuna.importance import FanovaImportanceEvaluator

    places = observed.points[rows]
    # A parameter that a trial does not have has no effect there; a random value says so, and does not say which
    # trials have it, as a fixed one would.
    places = np.where(np.isnan(places), rng.random(places.shape), places)
    for column, axis in enumerate(observed.axes):
        if axis.is_choice:
            places[:, column] = np.floor(places[:, column] * axis.levels)
    return _shares(
        FanovaImportanceEvaluator(n_trees=trees, seed=int(rng.integers(2**31))),
        {
            axis.name: CategoricalDistribution(range(axis.levels)) if axis.is_choice else FloatDistribution(0, 1)
            for axis in observed.axes
        },
        [dict(zip((axis.name for axis in observed.axes), row, strict=True)) for row in places.tolist()],
        observed.badness[rows],
    )


def _shares(
    evaluator: BaseImportanceEvaluator,
    distributions: Mapping[str, BaseDistribution],
    points: Sequence[Mapping[str, Any]],
    badness: Sequence[float] | NDArray[np.float64],
) -> Mapping[str, float]:
    """What an evaluator of Optuna's says of trials with these params and values."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="minimize")
    finally:
        optuna.logging.set_verbosity(verbosity)
    study.add_trials(
        create_trial(
            params=dict(point), distributions={name: distributions[name] for name in point}, value=float(value)
        )
        for point, value in zip(points, badness, strict=True)
    )
    with warnings.catch_warnings():
        # Of few trials, which the interval shows, and in a replicate of none for a conditional parameter.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return optuna.importance.get_param_importances(study, evaluator=evaluator)
        except RuntimeError:  # fANOVA's, if no tree was given two values that differ
            return {}


def _drawn_again(observed: Observations, rng: Generator) -> Iterator[Rows]:
    """Trials drawn with replacement, as many as there are, such that their values are not all the same."""
    count = len(observed.badness)
    for _ in range(REPLICATES):
        rows = rng.integers(count, size=count)
        while np.ptp(observed.badness[rows]) == 0:
            rows = rng.integers(count, size=count)
        yield rows


def _estimates(whole: Mapping[str, float], again: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    estimates = {}
    for name, share in whole.items():
        error = 1.96 * float(np.std([replicate.get(name, 0.0) for replicate in again], ddof=1))
        estimates[name] = (float(share), (max(0.0, float(share) - error), min(1.0, float(share) + error)))
    return estimates
