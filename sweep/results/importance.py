"""How much each parameter of a study matters, and how sure that is.

Three measures of every parameter, each with its interval:

- its share of the objective's variation over the search space, alone and with others (`sweep.results.variation`). What
  is stated as certain rests on this one alone;
- PED-ANOVA: whether the best trials have other values of it than all trials;
- fANOVA: its share, alone, of the variance of a random forest. Both are Optuna's (`sweep.results.evaluators`).

Certain is what is true in at least 99% of the draws that the trials allow: that a parameter matters, which is to
account for more than 2% of the variation; that it does not; that one accounts for more than another; that what one
does depends on another, which is to account for more than 5% together. Of what is
neither, these trials cannot tell.

A share is one of the search space, each parameter drawn as its distribution says: a narrower range has another answer.
It is also one of the objective as it is, but for what is far out at the bad end, unless that is a positive error over
magnitudes, of which it is the logarithm.

Where trials were pruned, all of it is of those that were trained to their end alone: what made the others bad may be
what matters most. Then nothing is said to matter most, or not to matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import optuna

from sweep.results import sentences
from sweep.results.evaluators import Estimate, fanova, ped_anova
from sweep.results.front import objective_names
from sweep.results.observations import Numbers, Observations, observe
from sweep.results.variation import Variation, decompose

CERTAIN = 0.99
"""Share of the draws in which a statement is true that is made."""

NEGLIGIBLE = 0.02
"""Share of the variation up to which a parameter does not matter."""

TOGETHER = 0.05
"""Share of the variation above which what two parameters do together matters: a few trials far out look like that."""

FEWEST = 10
"""Trials below which nothing is said."""

NOTHING = (None, None)
"""What a measure says of a parameter that it says nothing of: neither a share nor an interval."""


@dataclass(frozen=True)
class Importance:
    """How much a parameter matters. What is None cannot be said.

    Attributes:
        param: its key.
        share: of the objective's variation, what it accounts for alone and with others, between 0 and 1. Since what two
            do together is in the share of both, shares may sum to more than 1.
        share_interval: 95%.
        ped_anova: its share among all parameters; these sum to 1.
        ped_anova_interval: 95%.
        fanova: its share among all parameters; these sum to 1.
        fanova_interval: 95%.
        matters: True if its share is certain to be above `NEGLIGIBLE`, False if it is certain not to be, and no trial
            was pruned.
    """

    param: str
    share: float | None = None
    share_interval: tuple[float, float] | None = None
    ped_anova: float | None = None
    ped_anova_interval: tuple[float, float] | None = None
    fanova: float | None = None
    fanova_interval: tuple[float, float] | None = None
    matters: bool | None = None


@dataclass(frozen=True)
class Together:
    """What two parameters do together, beyond what each does alone: what one does depends on the other.

    Attributes:
        params: their keys.
        share: of the objective's variation.
        share_interval: 95%.
        matters: True if the share is certain to be above `TOGETHER`, False as that of `Importance`.
    """

    params: tuple[str, str]
    share: float
    share_interval: tuple[float, float]
    matters: bool | None


@dataclass(frozen=True)
class Importances:
    """What a study's trials say about its parameters.

    Attributes:
        params: all that any trial had, the largest share first; those that never varied are last.
        together: every two that varied, the largest share first.
        more_than: what is certain of two: the first matters, and more than the second.
        sentences: all of it in words.
        trials: how many complete trials it is based on.
        diverged: how many trials that diverged it is based on besides.
    """

    params: tuple[Importance, ...]
    together: tuple[Together, ...]
    more_than: tuple[tuple[str, str], ...]
    sentences: tuple[str, ...]
    trials: int
    diverged: int


def importances(study: optuna.Study, seed: int = 0, objective: int = 0) -> Importances:
    """How much each parameter of a study matters. The same trials and seed give the same answer.

    Args:
        study: the study.
        seed: of all that is drawn.
        objective: which of several objectives.
    """
    observed = observe(study, objective)
    trials = len(observed.badness) - observed.diverged
    basis = sentences.basis(study, observed)
    if len(observed.badness) < FEWEST or not observed.axes or np.ptp(observed.badness) == 0:
        params = tuple(map(Importance, [*(axis.name for axis in observed.axes), *observed.constant]))
        said = sentences.nothing(observed, FEWEST)
        return Importances(params, (), (), (*basis, *said), trials, observed.diverged)
    variation = decompose(observed.axes, observed.points, observed.badness, seed)
    params = _params(observed, variation, ped_anova(observed, seed), fanova(observed, seed))
    together = _together(observed, variation)
    more_than = _more_than(observed, variation, params)
    name = f"{'the logarithm of ' if observed.logarithmic else ''}{objective_names(study)[objective]}"
    whole = not observed.pruned
    said = sentences.findings(params, together, more_than, _interval(variation.rest), name, NEGLIGIBLE, whole)
    return Importances(params, together, more_than, (*said, *basis), trials, observed.diverged)


def _params(
    observed: Observations, variation: Variation, peds: Mapping[str, Estimate], forest: Mapping[str, Estimate]
) -> tuple[Importance, ...]:
    found = []
    for column, axis in enumerate(observed.axes):
        draws = variation.total[:, column]
        ped, ped_interval = peds.get(axis.name, NOTHING)
        alone, alone_interval = forest.get(axis.name, NOTHING)
        share, interval, matters = float(draws.mean()), _interval(draws), _matters(draws, observed)
        found.append(Importance(axis.name, share, interval, ped, ped_interval, alone, alone_interval, matters))
    found.sort(key=lambda importance: importance.share or 0.0, reverse=True)
    return (*found, *map(Importance, observed.constant))


def _together(observed: Observations, variation: Variation) -> tuple[Together, ...]:
    found = [
        Together(
            (observed.axes[one].name, observed.axes[other].name),
            float(draws.mean()),
            _interval(draws),
            _matters(draws, observed, TOGETHER),
        )
        for (one, other), draws in variation.pairs.items()
    ]
    return tuple(sorted(found, key=lambda together: together.share, reverse=True))


def _more_than(
    observed: Observations, variation: Variation, params: tuple[Importance, ...]
) -> tuple[tuple[str, str], ...]:
    """Every two of which it is certain, in the order of the parameters."""
    draws = {axis.name: variation.total[:, column] for column, axis in enumerate(observed.axes)}
    return tuple(
        (one.param, other.param)
        for one, other in itertools.combinations([known for known in params if known.param in draws], 2)
        if one.matters and np.mean(draws[one.param] > draws[other.param]) >= CERTAIN
    )


def _matters(draws: Numbers, observed: Observations, least: float = NEGLIGIBLE) -> bool | None:
    if np.mean(draws > least) >= CERTAIN:
        return True
    return False if np.mean(draws > NEGLIGIBLE) <= 1 - CERTAIN and not observed.pruned else None


def _interval(draws: Numbers) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
