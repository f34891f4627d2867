"""A study: created or resumed, its budget, its identity, and the seeds of its trials.

Every trial of the budget exists from the start, WAITING; agents claim, and never create. `n_trials` counts first
attempts: a retry is a further trial, which names its first attempt in the attribute `retry_of`.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import hydra
import numpy as np
import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.engine.errors import UserError
from sweep.engine.outcome import Outcome

RETRY_OF = "retry_of"

FIXED_PARAMS = "fixed_params"
"""System attribute of a trial whose params are decided: the one that Optuna's own `enqueue_trial` writes."""

N_TRIALS = "n_trials"
"""Study attribute: the budget, in first attempts."""

NAME = re.compile(r"[A-Za-z0-9_][\w.+=@-]*", re.ASCII)
"""What a study may be called: it becomes a folder and a file."""

Direction = Literal["minimize", "maximize"]


def load_study(storage: BaseStorage, name: str, sampler: Any = None, pruner: Any = None) -> optuna.Study:
    """Opens a study that exists. Raises KeyError if it does not."""
    return optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)


def create_or_resume(
    storage: BaseStorage,
    name: str,
    directions: Sequence[Direction],
    fixed: Mapping[str, Any],
    space: Mapping[str, str],
    seed: int | None,
) -> optuna.Study:
    """Opens the study of this name, or makes it.

    Args:
        storage: where it is kept.
        name: its name.
        directions: "minimize" or "maximize", one for every objective.
        fixed: the part of the configuration that makes it this study and no other, by flat key.
        space: how each parameter of the search space was written.
        seed: what all seeds of the study are derived from; None draws one, which is kept.

    Raises:
        UserError: if the study exists with another fixed configuration, search space or seed.
    """
    identity: dict[str, Any] = {"fixed": dict(fixed), "space": dict(space), "directions": list(directions)}
    try:
        study = load_study(storage, name)
    except KeyError:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # what it says, the sweeper says
        try:
            study = optuna.create_study(study_name=name, storage=storage, directions=list(directions))
        except optuna.exceptions.DuplicatedStudyError:  # another machine was faster
            return create_or_resume(storage, name, directions, fixed, space, seed)
        study.set_user_attr("id", uuid.uuid4().hex)
        study.set_user_attr("seed", int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed)
        study.set_user_attr("created", time.time())
        study.set_user_attr("identity", identity)  # last: a study without it was never finished being made
        return study
    known = study.user_attrs.get("identity")
    if known is None:
        if study.get_trials(deepcopy=False):
            raise UserError("the study's name", repr(name), "a name that no other program's study has")
        optuna.delete_study(study_name=name, storage=storage)
        return create_or_resume(storage, name, directions, fixed, space, seed)
    changes = [
        *_changes(known["fixed"], identity["fixed"]),
        *_changes(known["space"], identity["space"]),
        *_changes({"direction": known["directions"]}, {"direction": identity["directions"]}),
    ]
    if seed is not None and seed != study.user_attrs["seed"]:
        changes.append(f"seed: {study.user_attrs['seed']} -> {seed}")
    if changes:
        differing = "".join(f"\n  {change}" for change in changes)
        raise UserError(
            "the study's name",
            f"{name!r}, a study that exists with another configuration (then -> now):{differing}\n",
            "the configuration that the study began with, or another name",
        )
    return study


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    keys = sorted({*then, *now})
    return [
        f"{key}: {then.get(key, 'not there')} -> {now.get(key, 'not there')}"
        for key in keys
        if (key in then, then.get(key)) != (key in now, now.get(key))
    ]


def fixed_part(config: DictConfig, excludes: Iterable[str]) -> dict[str, Any]:
    """The configuration as plain values by flat key, without `hydra` and without the keys in `excludes`.

    Interpolations stay as they are written: what they point to is there under its own key.
    """
    left_out = ("hydra", *excludes)
    flat: dict[str, Any] = {}

    def walk(key: str, value: Any) -> None:
        if key in left_out:
            return
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                walk(f"{key}.{name}" if key else str(name), inner)
        else:
            flat[key] = value

    walk("", OmegaConf.to_container(config, resolve=False, enum_to_str=True))
    return flat


def first_attempt(trial: FrozenTrial) -> int:
    """The number of the trial that this one is an attempt at: its own, unless it is a retry."""
    return int(trial.user_attrs.get(RETRY_OF, trial.number))


def earlier_folders(study: optuna.Study, trial: FrozenTrial) -> list[str]:
    """Output folders of the attempts at the same trial before this one, the latest first."""
    first = first_attempt(trial)
    attempts = [t for t in study.get_trials(deepcopy=False)[: trial.number] if first_attempt(t) == first]
    return [t.user_attrs["output_dir"] for t in reversed(attempts) if "output_dir" in t.user_attrs]


def top_up(study: optuna.Study, n_trials: int) -> int:
    """Sets the budget, and adds WAITING trials until the study has as many first attempts; returns how many it added.

    A budget lower than before leaves what was waiting beyond it waiting.
    """
    study.set_user_attr(N_TRIALS, n_trials)
    have = sum(RETRY_OF not in trial.user_attrs for trial in study.get_trials(deepcopy=False))
    missing = max(0, n_trials - have)
    for _ in range(missing):
        study.add_trial(create_trial(state=TrialState.WAITING))
    return missing


def waiting(study: optuna.Study) -> list[FrozenTrial]:
    """The WAITING trials that the budget allows: all retries, and first attempts up to its number."""
    trials = study.get_trials(deepcopy=False)
    firsts = [trial.number for trial in trials if RETRY_OF not in trial.user_attrs]
    beyond = set(firsts[study.user_attrs.get(N_TRIALS, len(firsts)) :])
    return [trial for trial in trials if trial.state == TrialState.WAITING and trial.number not in beyond]


def claim(study: optuna.Study, storage: BaseStorage) -> optuna.Trial | None:
    """Takes a WAITING trial, which no other agent then gets; None if there is none."""
    for trial in waiting(study):
        try:
            claimed = storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        except optuna.exceptions.UpdateFinishedTrialError:
            continue
        if claimed:
            return optuna.Trial(study, trial._trial_id)
    return None


def close(study: optuna.Study, storage: BaseStorage, trial_number: int, outcome: Outcome) -> bool:
    """Writes a trial's outcome into the study; returns False if someone else had closed the trial before."""
    trial = study.get_trials(deepcopy=False)[trial_number]
    try:
        if outcome.reason:
            storage.set_trial_user_attr(trial._trial_id, "reason", outcome.reason)
        storage.set_trial_user_attr(trial._trial_id, "retry", outcome.retry)
        study.tell(trial_number, outcome.values or None, state=TrialState[outcome.state])
    except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
        if study.get_trials(deepcopy=False)[trial_number].state.is_finished():
            return False
        raise
    return True


def retries(study: optuna.Study, max_retries: int) -> list[FrozenTrial]:
    """The failed trials that are to be run again and have not been: each the last attempt at its trial.

    `max_retries` bounds how often one is run again after its own process died; a trial that was only interrupted, or
    lost its agent, is always run again.
    """
    attempts: dict[int, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False):
        attempts.setdefault(first_attempt(trial), []).append(trial)
    due = []
    for tries in attempts.values():
        last = tries[-1].user_attrs.get("retry") if tries[-1].state == TrialState.FAIL else None
        deaths = sum(attempt.user_attrs.get("retry") == "bounded" for attempt in tries)
        if last == "always" or (last == "bounded" and deaths <= max_retries):
            due.append(tries[-1])
    return due


def retry(study: optuna.Study, failed: FrozenTrial) -> None:
    """Adds one more attempt at a failed trial: the same params, the same seed, a number and a folder of its own."""
    # An attempt that was killed before it had its params still knows those that were meant for it.
    params = {**failed.system_attrs.get(FIXED_PARAMS, {}), **failed.params}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            user_attrs={RETRY_OF: first_attempt(failed)},
            system_attrs={FIXED_PARAMS: params},
        )
    )


def outstanding(study: optuna.Study, max_retries: int) -> int:
    """How many trials are still to be finished: waiting, running, or about to be run again."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return len(waiting(study)) + len(running) + len(retries(study, max_retries))


def build(node: Any, **given: Any) -> Any:
    """Builds a sampler or pruner from its node; what is `given` fills in keys that the node leaves null."""
    if node is None:
        return None
    filled = {key: value for key, value in given.items() if key in node and node[key] is None}
    return hydra.utils.instantiate(node, **filled)


def trial_seed(study: optuna.Study, trial: FrozenTrial) -> int:
    """The seed of a trial, from the study's seed and the number of the first attempt: a retry keeps it."""
    sequence = np.random.SeedSequence([study.user_attrs["seed"], first_attempt(trial), 0])
    return int(sequence.generate_state(1)[0] >> 1)  # 31 bits: what every library takes as a seed


def sampler_seed(study: optuna.Study, agent: int) -> int:
    """The seed of an agent's sampler: no two agents, and no two runs of one study, suggest the same points."""
    finished = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    sequence = np.random.SeedSequence([study.user_attrs["seed"], finished, agent, 1])
    return int(sequence.generate_state(1)[0] >> 1)
