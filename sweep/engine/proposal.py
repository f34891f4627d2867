"""What a sampler proposes for a claimed trial: a point that fulfils the constraints and was not scored before."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.parameter import without_dust
from sweep.engine.plan import Space
from sweep.engine.study import FIXED_PARAMS

TRIES = 10
"""How often a sampler is asked anew that proposes what is known already."""

CONSTRAINED_TRIES = 20
"""How often it is asked anew for a point that fulfils the constraints, before points are drawn at random instead."""

DRAWS = 1000
"""How many points are drawn at random for one that fulfils them: that costs little, where asking a sampler may not."""


@dataclass(frozen=True)
class Proposal:
    """A point for a trial.

    Attributes:
        trial: the trial, whose params are written.
        overrides: the point as Hydra composes it.
        known: a complete trial with the same params, whose value is this one's too, if the point was scored before.
        running: whether a trial with the same params runs just now, so that its value will be known; the params are
            not written.
        violated: the constraint that the point breaks, if no other was found.
    """

    trial: optuna.Trial
    overrides: list[str]
    known: FrozenTrial | None = None
    running: bool = False
    violated: str | None = None


def propose(
    study: optuna.Study, storage: BaseStorage, claimed: FrozenTrial, space: Space, repeat: bool = False
) -> Proposal:
    """Asks the study's sampler for a point until it is worth a trial, and writes its params to the claimed trial.

    Args:
        study: the study, with its sampler.
        storage: the study's storage.
        claimed: the trial, which is RUNNING and has no params.
        space: the search space.
        repeat: whether a point that was scored before may be scored again.
    """
    draft = optuna.load_study(
        study_name=study.study_name,
        storage=_Unwritten(storage),  # type: ignore[arg-type]
        sampler=study.sampler,
        pruner=study.pruner,  # which decides about the trials that a sampler looks at
    )
    repeats = violations = in_a_row = 0
    previous: dict[str, Any] | None = None
    while True:
        trial = optuna.Trial(draft, claimed._trial_id)
        overrides = space.suggest(trial)
        params = {name: without_dust(trial.distributions[name], value) for name, value in trial.params.items()}
        violated = space.violated(params)
        same = [] if repeat or violated else _same(study, claimed, params)
        decided = set(params) <= set(claimed.system_attrs.get(FIXED_PARAMS, {}))  # asking anew gives the same again
        repeats, violations = repeats + bool(same), violations + bool(violated)
        in_a_row = in_a_row + 1 if params == previous else 1
        stuck = in_a_row == TRIES  # some samplers, such as grid, have one point for a trial
        if decided or stuck or not (violated or same) or repeats == TRIES or violations == CONSTRAINED_TRIES + DRAWS:
            break
        if violated and violations == CONSTRAINED_TRIES:
            draft.sampler = RandomSampler(seed=claimed.number)
        previous = params
    known = next((other for other in same if other.state == TrialState.COMPLETE), None)
    if same and known is None:
        return Proposal(optuna.Trial(study, claimed._trial_id), overrides, running=True)
    for name, distribution in trial.distributions.items():
        storage.set_trial_param(claimed._trial_id, name, distribution.to_internal_repr(params[name]), distribution)
    return Proposal(optuna.Trial(study, claimed._trial_id), overrides, known, violated=violated)


def _same(study: optuna.Study, claimed: FrozenTrial, params: Mapping[str, Any]) -> list[FrozenTrial]:
    """The other trials with these params that are complete, or run just now."""
    done = (TrialState.COMPLETE, TrialState.RUNNING)
    trials = study.get_trials(deepcopy=False, states=done)
    return [trial for trial in trials if trial.number != claimed.number and trial.params == params]


class _Unwritten:
    """A storage that forgets the params that a trial suggests, so that a point that is turned down leaves no trace."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A copy of a trial, on which `optuna.Trial` keeps what it suggests, without what earlier samples left."""
        trial = copy.deepcopy(self._storage.get_trial(trial_id))
        trial.system_attrs = {key: value for key, value in trial.system_attrs.items() if key == FIXED_PARAMS}
        return trial

    def set_trial_param(self, trial_id: int, name: str, value: float, distribution: BaseDistribution) -> None:
        """Does nothing."""
