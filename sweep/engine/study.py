"""The trials of a study: its budget, who gets which trial, what became of each, and what is run again.

Every trial of the budget exists from the start, WAITING; agents claim, and never create. `n_trials` counts first
attempts: a retry is a further trial, which names its first attempt in the attribute `retry_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.engine.outcome import Outcome

RETRY_OF = "retry_of"
"""Trial attribute: the number of the first attempt."""

REPEAT_OF = "repeat_of"
"""Trial attribute: the number of the trial with the same params, whose value this one was told."""

ORPHANED = "orphaned"
"""Trial attribute: whether its agent was found to be gone."""

ENQUEUED = "enqueued"
"""Trial attribute: the point that the user asked for, as it was written."""

CONFIGURATION = "configuration"
"""Trial attribute: the named configuration that a sibling study's trial is, in place of params.

It has a `name`, `overrides` of its own, and a `seed` if it is to be another than the study would give it.
"""

MODEL = "model"
"""Trial attribute: the file of the model that its task offered."""

FIXED_PARAMS = "fixed_params"
"""System attribute of a trial whose params are decided: the one that Optuna's own `enqueue_trial` writes."""

N_TRIALS = "n_trials"
"""Study attribute: the budget, in first attempts."""

MAX_RETRIES = "max_retries"
"""Study attribute: how often a trial is run again whose process died."""

NOT_COMPARABLE = "not_comparable"
"""Study attribute, and key of `hydra.sweeper`: why its trials cannot be compared by their values, if they cannot."""

WANTED = "wanted"
"""Attribute of a study without a budget: the numbers of the first attempts that were asked for last."""

EXHAUSTED = "exhausted"
"""Study attribute: whether the sampler has no further point to try."""

_ASKED = (ENQUEUED, CONFIGURATION)
"""Trial attributes of which one says what was asked for, if anything was."""


def load_study(storage: BaseStorage, name: str, sampler: Any = None, pruner: Any = None) -> optuna.Study:
    """Opens a study that exists. Raises KeyError if it does not."""
    return optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)


def beside(study: optuna.Study, kind: str) -> optuna.Study | None:
    """The study of this kind beside a study, as `sweep.engine.works.SIBLINGS` has them; None if it has not begun."""
    try:
        return load_study(study._storage, f"{study.study_name}.{kind}")
    except KeyError:
        return None


def ended_of_wanted(study: optuna.Study) -> tuple[int, int]:
    """Of a study without a budget: how many of the trials that were asked for last have ended; how many they are."""
    wanted = study.user_attrs.get(WANTED, ())
    last = {first_attempt(trial): trial.state for trial in study.get_trials(deepcopy=False)}
    return sum(last[number].is_finished() for number in wanted), len(wanted)


def first_attempt(trial: FrozenTrial) -> int:
    """The number of the trial that this one is an attempt at: its own, unless it is a retry."""
    return int(trial.user_attrs.get(RETRY_OF, trial.number))


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial fulfils its constraints, which are at most 0 where they are fulfilled."""
    return all(value <= 0 for value in trial.constraints.values())


def attempts(study: optuna.Study) -> dict[int, list[FrozenTrial]]:
    """All attempts at every trial, in order, by the number of the first."""
    found: dict[int, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False):
        found.setdefault(first_attempt(trial), []).append(trial)
    return found


def earlier_folders(study: optuna.Study, trial: FrozenTrial) -> list[str]:
    """Output folders of the attempts at the same trial before this one, the latest first."""
    before = [other for other in attempts(study)[first_attempt(trial)] if other.number < trial.number]
    return [other.user_attrs["output_dir"] for other in reversed(before) if "output_dir" in other.user_attrs]


def top_up(
    study: optuna.Study,
    n_trials: int | None,
    points: Sequence[Mapping[str, Any]] = (),
    configurations: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Sets the budget, and adds WAITING trials until the study has as many first attempts; returns how many it added.

    A budget lower than before leaves what was waiting beyond it waiting.

    Args:
        study: the study.
        n_trials: its budget; None is what is asked for here and nothing else: what was asked for earlier and has not
            begun is left waiting.
        points: params, all or some, that are to be tried before any that the sampler draws; one that was added by an
            earlier call is not added again.
        configurations: what a study without params is to run (see `CONFIGURATION`), what it has run included.
    """
    trials = study.get_trials(deepcopy=False)
    known = [(kind, trial.user_attrs[kind]) for trial in trials for kind in _ASKED if kind in trial.user_attrs]
    asked = [*((ENQUEUED, dict(each)) for each in points), *((CONFIGURATION, dict(each)) for each in configurations)]
    for kind, each in asked:
        if (kind, each) not in known:
            fixed = {FIXED_PARAMS: each} if kind == ENQUEUED else {}
            study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={kind: each}, system_attrs=fixed))
    firsts = [trial for trial in study.get_trials(deepcopy=False) if RETRY_OF not in trial.user_attrs]
    if n_trials is None:
        wanted = [t.number for t in firsts if any((kind, t.user_attrs.get(kind)) in asked for kind in _ASKED)]
        _set(study, WANTED, wanted)
    _set(study, N_TRIALS, len(firsts) if n_trials is None else n_trials)
    for _ in range((n_trials or 0) - len(firsts)):
        study.add_trial(create_trial(state=TrialState.WAITING))
    return len(study.get_trials(deepcopy=False)) - len(trials)


def waiting(study: optuna.Study) -> list[FrozenTrial]:
    """The WAITING trials that may be run, in the order in which they are: retries, what was asked for, then the rest.

    Retries are outside of the budget. Of the first attempts there are as many as the budget has room for; none that
    nobody asked for once the sampler has no point left.
    """
    trials = study.get_trials(deepcopy=False)
    attributes = study.user_attrs
    firsts = [trial for trial in trials if RETRY_OF not in trial.user_attrs]
    begun = sum(trial.state != TrialState.WAITING for trial in firsts)
    fresh = [trial for trial in firsts if trial.state == TrialState.WAITING]
    fresh.sort(key=lambda trial: not _is_asked(trial))
    if attributes.get(EXHAUSTED):
        fresh = [trial for trial in fresh if _is_asked(trial)]
    if WANTED in attributes:
        fresh = [trial for trial in fresh if trial.number in attributes[WANTED]]
    again = [trial for trial in trials if RETRY_OF in trial.user_attrs and trial.state == TrialState.WAITING]
    return [*again, *fresh[: max(0, attributes.get(N_TRIALS, len(firsts)) - begun)]]


def unfinished(
    study: optuna.Study, configurations: Iterable[Mapping[str, Any]], max_retries: int
) -> list[Mapping[str, Any]]:
    """Those of these configurations of which there is no trial yet, or one that is still to be finished."""
    due = {first_attempt(trial) for trial in retries(study, max_retries)}
    done = [
        tries[0].user_attrs.get(CONFIGURATION)
        for first, tries in attempts(study).items()
        if tries[-1].state.is_finished() and first not in due
    ]
    return [each for each in configurations if each not in done]


def claim(study: optuna.Study, storage: BaseStorage) -> FrozenTrial | None:
    """Takes a WAITING trial, which no other agent then gets; None if there is none."""
    for trial in waiting(study):
        try:
            claimed = storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        except optuna.exceptions.UpdateFinishedTrialError:
            continue
        if claimed:
            return trial
    return None


def give_back(storage: BaseStorage, claimed: FrozenTrial) -> None:
    """Lets a claimed trial that has not begun wait again."""
    storage.set_trial_user_attr(claimed._trial_id, "agent", None)
    storage.set_trial_state_values(claimed._trial_id, TrialState.WAITING)


def close(study: optuna.Study, storage: BaseStorage, trial_number: int, outcome: Outcome) -> bool:
    """Writes a trial's outcome into the study; returns False if someone else had closed the trial before."""
    trial = study.get_trials(deepcopy=False)[trial_number]
    try:
        if outcome.reason:
            storage.set_trial_user_attr(trial._trial_id, "reason", outcome.reason)
        storage.set_trial_user_attr(trial._trial_id, "retry", outcome.retry)
        study.tell(trial_number, outcome.values or None, state=TrialState[outcome.state])
    except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
        state = study.get_trials(deepcopy=False)[trial_number].state
        if state.is_finished() or state == TrialState.WAITING:  # it was closed, or given back
            return False
        raise
    except (RuntimeError, KeyError) as error:
        if not study.get_trials(deepcopy=False)[trial_number].state.is_finished():
            raise
        # Outside of `optimize`, a sampler with nothing left raises RuntimeError as it calls `Study.stop`; KeyError is
        # GridSampler's at a trial that is not of its grid, such as an enqueued one. The trial is told all the same.
        if isinstance(error, RuntimeError):
            study.set_user_attr(EXHAUSTED, True)
    return True


def retries(study: optuna.Study, max_retries: int) -> list[FrozenTrial]:
    """The failed trials that are to be run again and have not been: each the last attempt at its trial.

    `max_retries` bounds how often one is run again after its own process died; a trial that was only interrupted, or
    lost its agent, is always run again.
    """
    due = []
    for tries in attempts(study).values():
        attributes = tries[-1].user_attrs
        # An agent that is taken for dead may write its own "retry" after ours; this mark is the supervisor's alone.
        wanted = "always" if attributes.get(ORPHANED) else attributes.get("retry")
        last = wanted if tries[-1].state == TrialState.FAIL else None
        deaths = sum(attempt.user_attrs.get("retry") == "bounded" for attempt in tries)
        if last == "always" or (last == "bounded" and deaths <= max_retries):
            due.append(tries[-1])
    return due


def retry(study: optuna.Study, failed: FrozenTrial) -> None:
    """Adds one more attempt at a failed trial: the same params, the same seed, a number and a folder of its own."""
    # An attempt that was killed before it had its params still knows those that were meant for it.
    params = {**failed.system_attrs.get(FIXED_PARAMS, {}), **failed.params}
    fixed = {FIXED_PARAMS: params} if params else {}  # that of no params would mislead GridSampler
    asked = {kind: failed.user_attrs[kind] for kind in _ASKED if kind in failed.user_attrs}
    attributes = {RETRY_OF: first_attempt(failed), **asked}
    study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=attributes, system_attrs=fixed))


def outstanding(study: optuna.Study, max_retries: int) -> int:
    """How many trials are still to be finished: waiting, running, or about to be run again."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return len(waiting(study)) + len(running) + len(retries(study, max_retries))


def _is_asked(trial: FrozenTrial) -> bool:
    return any(kind in trial.user_attrs for kind in _ASKED)


def _set(study: optuna.Study, key: str, value: Any) -> None:
    """Sets an attribute that may have this value already: a journal keeps every change."""
    if study.user_attrs.get(key) != value:
        study.set_user_attr(key, value)
