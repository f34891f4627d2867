"""How sure a few trainings make us: means with intervals, paired differences, and whether one is above all others.

Scores of one configuration over seeds are taken as independent draws from a normal distribution. Then Student's t
interval (Student, Biometrika 6, 1908) of the mean, and of the mean difference of two configurations that had the same
seeds, holds with the probability that it names. `python -m benchmarks.coverage` says what is left of that where scores
are skewed or have heavy tails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
"""Of every interval; 1 less this is how often a champion is named among equals, at most."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Estimate:
    """A mean, and what it may be in truth.

    Attributes:
        mean: of the values; nan if there are none.
        low: lower end of the interval; nan of a single value.
        high: upper end.
        p: probability of a mean at least as far from zero if the true mean were zero; nan of a single value.
        count: how many values there were.
    """

    mean: float
    low: float
    high: float
    p: float
    count: int

    def __neg__(self) -> Estimate:
        return Estimate(-self.mean, -self.high, -self.low, self.p, self.count)

    @property
    def below(self) -> bool:
        """Whether the true mean is below zero, as far as the interval tells."""
        return self.high < 0

    @property
    def above(self) -> bool:
        """Whether the true mean is above zero, as far as the interval tells."""
        return self.low > 0


def estimate(values: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of independent draws `[count]`, with Student's t interval; those that are not finite are left out."""
    drawn = np.asarray(values, np.float64)
    drawn = drawn[np.isfinite(drawn)]
    count = len(drawn)
    if count < 2:
        return Estimate(float(drawn[0]) if count else np.nan, np.nan, np.nan, np.nan, count)
    mean = float(drawn.mean())
    error = float(drawn.std(ddof=1)) / np.sqrt(count)
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    # Of values that are all the same, there is nothing left to be unsure of.
    p = float(2 * stats.t.sf(abs(mean) / error, count - 1)) if error > 0 else float(mean == 0)
    return Estimate(mean, mean - half, mean + half, p, count)


def paired(first: ArrayLike, second: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of `first` less `second`, both `[seeds]`, over the seeds that both have."""
    with np.errstate(invalid="ignore"):  # of two infinite ones
        return estimate(np.asarray(first, np.float64) - np.asarray(second, np.float64), confidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979).

    To reject those that are at most α is wrong about any of them with probability α at most.
    """
    order = np.argsort(p_values)
    scaled = np.asarray(p_values, np.float64)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(value) for value in corrected]


@dataclass(frozen=True)
class Standing:
    """How configurations that had the same seeds stand to the best of them.

    Attributes:
        best: index of the one with the best mean among those that have a score for every seed; None if none has.
        differences: of each to the best, itself apart, over the seeds that both have; None with fewer than two.
        corrected: the p-value of each difference, corrected for their number.
        beaten: which of them the best is better than, beyond chance.
        stands: whether it is better than all of them, and there is another.
    """

    best: int | None
    differences: tuple[Estimate | None, ...]
    corrected: tuple[float | None, ...]
    beaten: tuple[bool, ...]
    stands: bool


def standing(scores: ArrayLike, minimize: bool) -> Standing:
    """Compares configurations with the best of them.

    The best is chosen by the same scores that it is compared by, so that each comparison is made on both sides: of two
    that are equal in truth, one is found to be better with probability 1 - `CONFIDENCE`, whichever it is.

    Args:
        scores: `[configurations, seeds]`: nan where a training failed; infinite, on the worse side, where it diverged:
            what diverges is beaten.
        minimize: whether a smaller score is the better one.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2:
        raise ValueError(f"scores: got {scores.ndim} dimensions, allowed is [configurations, seeds]")
    worse = scores if minimize else -scores
    means = np.where(np.isfinite(worse).all(axis=1), worse.mean(axis=1), np.inf)
    if not np.isfinite(means).any():
        return Standing(None, (None,) * len(scores), (None,) * len(scores), (False,) * len(scores), False)
    best = int(np.argmin(means))
    pairs = [None if i == best else paired(scores[i], scores[best]) for i in range(len(scores))]
    differences = [pair if pair is not None and pair.count >= 2 else None for pair in pairs]
    compared = [i for i, difference in enumerate(differences) if difference is not None]
    p_values = [difference.p for difference in differences if difference is not None]
    corrected: list[float | None] = [None] * len(scores)
    for i, p in zip(compared, holm(p_values), strict=True):
        corrected[i] = p
    beaten = [
        bool(np.isposinf(worse[i]).any())
        or (difference is not None and p is not None and p <= 1 - CONFIDENCE and (difference.mean > 0) == minimize)
        for i, (difference, p) in enumerate(zip(differences, corrected, strict=True))
    ]
    stands = len(scores) > 1 and all(won for i, won in enumerate(beaten) if i != best)
    return Standing(best, tuple(differences), tuple(corrected), tuple(beaten), stands)


def without_nan(value: Any) -> Any:
    """With null in the place of what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
