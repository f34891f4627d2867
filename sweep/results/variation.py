"""How much of an objective's variation over a search space each parameter accounts for, and how sure that is.

The objective is taken as a sum of functions of one parameter and of functions of two, as in an analysis of variance:
what three parameters do together, and noise, is the rest. Each function is a sum of cosines of the parameter's place
between 0 and 1, or of contrasts between choices. They are orthonormal over the space, so that the variance a function
accounts for is the sum of its squared coefficients (Sudret, 2008, doi:10.1016/j.ress.2007.04.002), and the share of a
parameter is that of all functions it is in (its total effect; Homma and Saltelli, 1996).

The coefficients are not estimated but drawn from their posterior distribution, under a prior by which most functions
are nothing and a few are large (the horseshoe, one scale a function; Carvalho et al., 2010), with the Gibbs sampler of
Makalic and Schmidt (2016, arXiv:1508.03884). Every draw is an answer that the trials allow, so that a statement is as
certain as the share of draws in which it is true. This holds as well for trials that a sampler chose after it had seen
others, since how a point was chosen does not enter the likelihood. Where no trial has been, the draws differ.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sweep.results.observations import Axis, Numbers

DRAWS = 1000
"""Draws that are kept; by their number, a probability of 99% is known to about half a percent."""

BURN_IN = 250
"""Draws before them, in which the sampler finds its way."""

COSINES = 6
"""Waves of one parameter: up to three whole ones from one end to the other."""

PAIRED = 2
"""Waves of each of two parameters whose products are what they do together: slope and bowl."""

SMOOTHNESS = 3.0
"""The prior variance of a wave falls with this power of its frequency: between a path with kinks and one without."""

SPARSITY = 0.1
"""Scale of the half-Cauchy prior on the common scale of all functions, where the objective's own is 1."""


@dataclass(frozen=True)
class Variation:
    """Draws of what the variation of an objective is made of, as shares of all of it.

    Attributes:
        total: [draw, axis], what a parameter does alone and with others.
        pairs: of two axes [draw], what the two do together beyond what each does alone.
        rest: [draw], noise, and what is no sum of functions of two parameters.
    """

    total: Numbers
    pairs: dict[tuple[int, int], Numbers]
    rest: Numbers


@dataclass(frozen=True)
class _Part:
    """A function of one or two axes: its features [trial, wave], and how the prior variance is shared among them."""

    axes: tuple[int, ...]
    features: Numbers
    shape: Numbers
    reach: float


def decompose(axes: Sequence[Axis], points: Numbers, values: Numbers, seed: int = 0) -> Variation:
    """Draws decompositions that the trials allow.

    Args:
        axes: the parameters.
        points: places on them, [trial, axis] between 0 and 1; NaN where a trial has no such parameter.
        values: of the objective, [trial], not all equal.
        seed: of the draws.
    """
    parts = _parts(axes, points)
    standard = (values - values.mean()) / values.std()
    variances, noise = _gibbs(parts, standard, np.random.default_rng(seed))
    shares = variances / (variances.sum(1) + noise)[:, None]
    total = np.stack(
        [
            sum((shares[:, k] for k, part in enumerate(parts) if axis in part.axes), np.zeros(DRAWS))
            for axis in range(len(axes))
        ],
        axis=1,
    )
    pairs = {(part.axes[0], part.axes[1]): shares[:, k] for k, part in enumerate(parts) if len(part.axes) == 2}
    return Variation(total, pairs, 1 - shares.sum(1))


def _parts(axes: Sequence[Axis], points: Numbers) -> list[_Part]:
    waves = [_waves(axis, points[:, k]) for k, axis in enumerate(axes)]
    parts = [_Part((k,), *waves[k], reach=_reach(points[:, [k]])) for k in range(len(axes))]
    for pair in itertools.combinations(range(len(axes)), 2):
        few = [None if axes[k].is_choice else PAIRED for k in pair]
        one, other = (waves[k][0][:, :count] for k, count in zip(pair, few, strict=True))
        shapes = (waves[k][1][:count] for k, count in zip(pair, few, strict=True))
        features = (one[:, :, None] * other[:, None, :]).reshape(len(points), -1)
        parts.append(_Part(pair, features, np.outer(*shapes).ravel(), _reach(points[:, pair])))
    return parts


def _waves(axis: Axis, places: Numbers) -> tuple[Numbers, Numbers]:
    """Orthonormal functions of an axis, which are 0 where there is no such parameter, and their prior variances."""
    count = axis.levels - 1 if axis.is_choice else min(COSINES, axis.levels - 1 if axis.levels else COSINES)
    frequency = np.arange(1, count + 1)
    features = math.sqrt(2) * np.cos(math.pi * frequency * places[:, None])
    shape = np.ones(count) if axis.is_choice else frequency**-SMOOTHNESS
    return np.nan_to_num(features), shape / shape.sum()


def _reach(places: Numbers) -> float:
    """Share of the trials in which all of these axes exist, which stands for their share of the space."""
    return float(np.mean(~np.isnan(places).any(1)))


def _gibbs(parts: Sequence[_Part], values: Numbers, rng: Generator) -> tuple[Numbers, Numbers]:
    """Draws the variance of each part [draw, part] and that of the rest [draw]."""
    features = np.hstack([part.features for part in parts])
    features = features - features.mean(0)  # the mean of the objective is no part of the question
    shape = np.concatenate([part.shape for part in parts])
    sizes = np.array([len(part.shape) for part in parts])
    part_of = np.repeat(np.arange(len(parts)), sizes)
    order_of = np.array([len(part.axes) - 1 for part in parts])  # what one does, and what two do, has a scale each
    order_sizes = np.bincount(order_of, sizes)
    orders = len(order_sizes)

    local, local_aid = np.ones(len(parts)), np.ones(len(parts))
    common, common_aid = np.full(orders, SPARSITY**2), np.ones(orders)
    noise = 1.0
    variances, noises = np.empty((DRAWS, len(parts))), np.empty(DRAWS)
    reach = np.array([part.reach for part in parts])
    for draw in range(-BURN_IN, DRAWS):
        prior = (common[order_of] * local)[part_of] * shape
        weights = _coefficients(features, values, prior, noise, rng)
        energy = np.bincount(part_of, weights**2 / shape)
        local = _inverse_gamma(rng, (sizes + 1) / 2, 1 / local_aid + energy / (2 * common[order_of]))
        local_aid = _inverse_gamma(rng, 1.0, 1 + 1 / local)
        common = _inverse_gamma(
            rng, (order_sizes + 1) / 2, 1 / common_aid + np.bincount(order_of, energy / local, minlength=orders) / 2
        )
        common_aid = _inverse_gamma(rng, 1.0, 1 / SPARSITY**2 + 1 / common)
        missed = values - features @ weights
        # Its prior is even in its variance: one that favours none would let few trials be fitted exactly.
        noise = float(_inverse_gamma(rng, len(values) / 2 - 1, missed @ missed / 2 + 1e-4))
        if draw >= 0:
            variances[draw], noises[draw] = np.bincount(part_of, weights**2) * reach, noise
    return variances, noises


def _coefficients(features: Numbers, values: Numbers, prior: Numbers, noise: float, rng: Generator) -> Numbers:
    """Draws coefficients, given their prior variances and the noise's: of two perturbed systems, solves the smaller.

    Bhattacharya et al., 2016, doi:10.1093/biomet/asw042, where there are fewer trials than coefficients.
    """
    trials, count = features.shape
    drawn = np.sqrt(prior) * rng.standard_normal(count)
    wanted = values - math.sqrt(noise) * rng.standard_normal(trials)
    if count > trials:
        system = (features * prior) @ features.T
        system[np.diag_indices(trials)] += noise
        return drawn + prior * (features.T @ np.linalg.solve(system, wanted - features @ drawn))
    system = features.T @ features / noise
    system[np.diag_indices(count)] += 1 / prior
    found: Numbers = np.linalg.solve(system, features.T @ wanted / noise + drawn / prior).astype(np.float64)
    return found


def _inverse_gamma(rng: Generator, shape: float | NDArray[np.float64], scale: float | Numbers) -> Numbers:
    return scale / rng.gamma(shape, size=np.shape(scale))
