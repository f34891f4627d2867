"""Every seed of a study, derived from the study's own."""

from __future__ import annotations

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from sweep.engine.study import first_attempt


def trial_seed(study: optuna.Study, trial: FrozenTrial) -> int:
    """The seed of a trial, from the study's seed and the number of the first attempt: a retry keeps it."""
    return _seed(study.user_attrs["seed"], first_attempt(trial), 0)


def sampler_seed(study: optuna.Study, agent: int) -> int:
    """The seed of an agent's sampler: no two agents, and no two runs of one study, suggest the same points."""
    finished = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    return _seed(study.user_attrs["seed"], finished, agent, 1)


def _seed(*parts: int) -> int:
    """31 bits, which every library takes as a seed."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0] >> 1)
