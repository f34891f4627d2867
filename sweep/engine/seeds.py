"""Every seed of a study, derived from the study's own."""

from __future__ import annotations

import itertools
from collections.abc import Container

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from sweep.engine.study import CONFIGURATION, first_attempt


def trial_seed(study: optuna.Study, trial: FrozenTrial) -> int:
    """The seed of a trial, from the study's seed and the number of the first attempt: a retry keeps it.

    A named configuration may have been given a seed of its own.
    """
    given = trial.user_attrs.get(CONFIGURATION, {}).get("seed")
    return _seed(study.user_attrs["seed"], first_attempt(trial), 0) if given is None else int(given)


def sampler_seed(study: optuna.Study, agent: int) -> int:
    """The seed of an agent's sampler: no two agents, and no two runs of one study, suggest the same points."""
    finished = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    return _seed(study.user_attrs["seed"], finished, agent, 1)


def fresh_seeds(study: optuna.Study, purpose: int, count: int, used: Container[int] = ()) -> list[int]:
    """Seeds for trials beside a study, none of which the study has: the same ones whenever they are asked for.

    Args:
        study: the study.
        purpose: what they are for, a number above 1: another purpose gets other seeds.
        count: how many; more of them begin with the same ones.
        used: seeds that are left out, such as those that the study's trials had.
    """
    drawn = (_seed(study.user_attrs["seed"], index, purpose) for index in itertools.count())
    return list(itertools.islice((seed for seed in drawn if seed not in used), count))


def _seed(*parts: int) -> int:
    """31 bits, which every library takes as a seed."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0] >> 1)
