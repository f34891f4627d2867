"""Whether the best of one group of trials is better than that of another by more than luck: a permutation test.

If what the groups differ in changes nothing, each trial might as well have been in the other one. So the trials are
dealt anew, at random, and it is counted how often the best of equally many then lie as far apart as they do (Pitman,
Supplement to the Journal of the Royal Statistical Society 4, 1937). That holds for extremes, and whatever the values
are distributed like. The interval of a bootstrap does not: no resample is better than the best that was seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

DEALS = 10_000
"""How often the trials are dealt anew, at most: the least p-value is one in so many."""

AT_ONCE = 500

ENOUGH = 25
"""Deals at least as far apart after which it is known to be luck (Besag and Clifford, Biometrika 78, 1991)."""

Floats = NDArray[np.floating[Any]]


def compare(one: Floats, other: Floats, draws: int, rng: Generator) -> tuple[float, float]:
    """How much better the best of one group is than that of another, and how probable that is as mere luck.

    Args:
        one: costs of a group's trials, less being better.
        other: those of the other group's.
        draws: of how many trials, drawn with replacement from a group, the best is looked at.
        rng: deals.

    Returns:
        How much less the best of `one` costs on average, and the p-value.
    """
    values = np.sort(np.concatenate([one, other]))
    count, size = len(values), len(one)
    mine, others = weights(size, draws), weights(count - size, draws)
    lead = float(np.sort(other) @ others - np.sort(one) @ mine)
    least = abs(lead) - 1e-9 * np.ptp(values)  # equal but for rounding is equal
    dealt = apart = 0
    while dealt < DEALS and apart < ENOUGH:
        is_mine = np.argsort(rng.random((AT_ONCE, count)), axis=1) < size
        rank = np.cumsum(is_mine, axis=1)  # how many of the group are at most as large
        leads = np.where(is_mine, -mine[rank - 1], others[np.arange(count) - rank]) @ values
        apart += int((np.abs(leads) >= least).sum())
        dealt += AT_ONCE
    return lead, (1 + apart) / (1 + dealt)


def weights(count: int, draws: int | NDArray[np.integer]) -> Floats:
    """How probable it is that each of `count` values, in rising order, is the least of `draws` drawn with replacement.

    Of several numbers of draws `[points]`, that is `[count, points]`. The least is above the i-th smallest with
    probability ((count - i) / count)^draws (Dodge et al., 2019, "Show Your Work: Improved Reporting of Experimental
    Results", section 3).
    """
    above = np.power.outer((count - np.arange(count + 1)) / count, draws)
    return np.asarray(above[:-1] - above[1:])
