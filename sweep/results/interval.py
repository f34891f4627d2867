"""How sure a few trainings make us: means with intervals, two configurations compared, and whether one is above all.

Scores of one configuration over seeds are taken as independent draws from one distribution. Then Student's t interval
(Student, Biometrika 6, 1908) of the mean difference of two configurations that had the same seeds holds with about the
probability that it names, as skewness cancels in it. That of a mean takes Hall's transformation for skewness beside.
`python -m benchmarks.coverage` says how often they hold where scores are skewed, have heavy tails, or diverge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

CONFIDENCE = 0.95
"""Of every interval."""

LEVEL = 1 - CONFIDENCE
"""How often something is said to be better among equals, at most."""

MOST_SKEWED = 2.0
"""Skewness of an exponential distribution. A few draws may look more skewed than what they are of."""

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


def estimate(values: ArrayLike, skewness: float = 0.0) -> Estimate:
    """The mean of independent draws `[count]`, with its interval; those that are not finite are left out.

    The interval is Student's for draws without skewness, and for others that of P. Hall, "On the removal of skewness by
    transformation", Journal of the Royal Statistical Society B 54, 1992, with Student's distribution for the normal
    one. The p-value is Student's.

    Args:
        values: the draws.
        skewness: of the distribution that they are from, if it is known from more than these few.
    """
    drawn = np.asarray(values, np.float64)
    drawn = drawn[np.isfinite(drawn)]
    count = len(drawn)
    if count < 2:
        return Estimate(float(drawn[0]) if count else np.nan, np.nan, np.nan, np.nan, count)
    mean = float(drawn.mean())
    error = float(drawn.std(ddof=1)) / math.sqrt(count)
    quantile = float(special.stdtrit(count - 1, (1 + CONFIDENCE) / 2))
    low, high = (mean - error * _untransformed(t, skewness, count) for t in (quantile, -quantile))
    # Of values that are all the same, there is nothing left to be unsure of.
    p = float(2 * special.stdtr(count - 1, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return Estimate(mean, low, high, p, count)


def _untransformed(t: float, skewness: float, count: int) -> float:
    """What Hall's transformation makes `t` of: a quantile of the studentised mean of draws with this skewness."""
    if abs(skewness) < 1e-6 or count < 3:  # which cannot tell it from none
        return t
    root = math.sqrt(count)
    return root * 3 / skewness * (float(np.cbrt(1 + skewness * (t / root - skewness / (6 * count)))) - 1)


def common_skewness(scores: ArrayLike) -> float:
    """The skewness that configurations have on average, at most `MOST_SKEWED` either way: one alone has too few scores.

    Args:
        scores: `[configurations, seeds]`, of which those that are not finite are left out.
    """
    drawn = [own[np.isfinite(own)] for own in np.asarray(scores, np.float64)]
    # Around their mean, since SciPy warns of values that differ by little beside it.
    found = [stats.skew(own - own.mean(), bias=False) for own in drawn if len(own) >= 3 and np.ptp(own) > 0]
    return float(np.clip(np.mean(found), -MOST_SKEWED, MOST_SKEWED)) if found else 0.0


def paired(first: ArrayLike, second: ArrayLike) -> Estimate:
    """The mean of `first` less `second`, both `[seeds]`, over the seeds that both have."""
    with np.errstate(invalid="ignore"):  # of two infinite ones
        return estimate(np.asarray(first, np.float64) - np.asarray(second, np.float64))


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
class Comparison:
    """Two configurations that had the same seeds.

    Attributes:
        difference: mean of the first less the second, over the seeds for which both have a score; None with fewer than
            two.
        p: probability of what tells them apart at least as clearly if they were equal; None if nothing could.
        worse: whether that speaks against the first.
    """

    difference: Estimate | None
    p: float | None
    worse: bool


def compare(first: ArrayLike, second: ArrayLike, minimize: bool) -> Comparison:
    """Compares two configurations by their scores where both have one, and by how often their trainings diverged.

    That one training more has diverged may be chance, so that both are tests: Student's of the paired differences, and
    Fisher's exact one (Journal of the Royal Statistical Society 85, 1922) of the numbers that diverged. Where either
    could tell them apart, the smaller p-value counts, and twice, as there were two chances (Bonferroni).

    Args:
        first: scores `[seeds]`: nan where a training failed; infinite, on the worse side, where it diverged.
        second: the other's.
        minimize: whether a smaller score is the better one.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    found = paired(first, second)
    difference = found if found.count >= 2 else None
    tests = [] if difference is None else [(difference.p, (difference.mean > 0) == minimize)]
    diverging = _divergence(first, second)
    if diverging < 1:
        tests.append((diverging, bool(np.isinf(first).mean() > np.isinf(second).mean())))
    if not tests:
        return Comparison(difference, None, False)
    p, worse = min(tests)
    return Comparison(difference, min(len(tests) * p, 1.0), worse)


def _divergence(first: Floats, second: Floats) -> float:
    """The p-value of Fisher's exact test of how many trainings diverged, of those that did not fail."""
    counts = [[int(np.isinf(scores).sum()), int(np.isfinite(scores).sum())] for scores in (first, second)]
    return float(stats.fisher_exact(counts).pvalue) if counts[0][0] or counts[1][0] else 1.0


@dataclass(frozen=True)
class Standing:
    """How configurations that had the same seeds stand to the best of them.

    Attributes:
        best: index of the best; None if there is none.
        comparisons: of each with the best; None of itself, and if there is no best.
        beaten: which of them the best is better than, beyond chance.
        stands: whether it is better than all of them, and there is another.
    """

    best: int | None
    comparisons: tuple[Comparison | None, ...]
    beaten: tuple[bool, ...]
    stands: bool


def standing(scores: ArrayLike, minimize: bool, level: float = LEVEL) -> Standing:
    """Compares configurations with the best of them.

    The best has the best mean among those of which no training failed, and which do not diverge more often than another
    of them, beyond chance. It is chosen by the same scores that it is compared by, so that each comparison is made on
    both sides: of two that are equal in truth, one is found to be better with probability `level` at most, whichever it
    is. That it is better than all others is said only if each comparison says so, each with a p-value of its own: if it
    is false, one of them is wrong, which is no likelier than that (an intersection-union test: R. L. Berger,
    Technometrics 24, 1982). So nothing is corrected for the number of comparisons.

    Args:
        scores: `[configurations, seeds]`: nan where a training failed; infinite, on the worse side, where it diverged.
        minimize: whether a smaller score is the better one.
        level: the largest p-value that counts as beyond chance.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2:
        raise ValueError(f"scores: got {scores.ndim} dimensions, allowed is [configurations, seeds]")
    best = _best(scores, minimize, level)
    if best is None:
        return Standing(None, (None,) * len(scores), (False,) * len(scores), False)
    comparisons = [None if i == best else compare(own, scores[best], minimize) for i, own in enumerate(scores)]
    beaten = [each is not None and each.p is not None and each.p <= level and each.worse for each in comparisons]
    return Standing(best, tuple(comparisons), tuple(beaten), len(scores) > 1 and sum(beaten) == len(scores) - 1)


def _best(scores: Floats, minimize: bool, level: float) -> int | None:
    whole = [i for i, own in enumerate(scores) if np.isfinite(own).any() and not np.isnan(own).any()]
    if not whole:
        return None
    steadiest = min(whole, key=lambda i: np.isinf(scores[i]).sum())
    steady = [i for i in whole if _divergence(scores[i], scores[steadiest]) > level]
    return min(steady, key=lambda i: scores[i][np.isfinite(scores[i])].mean() * (1 if minimize else -1))


def without_nan(value: Any) -> Any:
    """With null in the place of what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
