"""How good the best of n trials is, by the number of trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.engine.study import REPEAT_OF
from sweep.results.better import weights
from sweep.results.report.buckets import end_of
from sweep.results.report.evidence import Evidence

RESAMPLES = 400
POINTS = 120
"""At how many numbers of trials the curve is known, at most."""

LEAST = 3
"""How many trials with a result it takes."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Luck:
    """The best of n trials, for rising n.

    Attributes:
        trials: n; trials that were told another's value, which were not run, do not count.
        expected: the mean of the best value over all draws of n from the study's trials, with replacement.
        low: lower end of its 95% interval over bootstrap resamples of the trials.
        high: the upper end.
        actual: the best value after n trials of the study.
    """

    trials: NDArray[np.integer]
    expected: Floats
    low: Floats
    high: Floats
    actual: Floats

    @classmethod
    def of(cls, evidence: Evidence) -> Luck | None:
        """That of a study; None if too few of its trials have a result, or there are several objectives."""
        if len(evidence.measured) < LEAST or evidence.several:
            return None
        objective = evidence.objective
        known = {trial.number: trial.values[0] for trial in evidence.measured}
        worst = evidence.measured[-1].values[0]  # of a trial without a result, that is all that is known
        own = [trial for trial in evidence.trials if REPEAT_OF not in trial.user_attrs]
        ended = [trial.number for trial in own if end_of(trial) is not None]
        cost = objective.cost(known.get(number, worst) for number in ended)
        count = len(cost)
        n = np.unique(np.round(np.geomspace(1, count, min(count, POINTS))).astype(int))
        draws = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
        curves = expected_best(np.sort(cost[draws], axis=1), n)
        low, high = np.quantile(curves, (0.025, 0.975), axis=0)
        expected = expected_best(np.sort(cost)[None], n)[0]
        actual = np.minimum.accumulate(cost)[n - 1]
        if objective.minimized:
            return cls(n, expected, low, high, actual)
        return cls(n, -expected, -high, -low, -actual)


def expected_best(ordered: Floats, n: NDArray[np.integer]) -> Floats:
    """The mean of the least of n values that are drawn, with replacement, from each row.

    Args:
        ordered: values `[rows, N]`, each row in rising order.
        n: how many are drawn, `[points]`.

    Returns:
        `[rows, points]`.
    """
    return np.asarray(ordered @ weights(ordered.shape[1], n))
