"""When a study starts no further trial although some are left: its time, its patience or its failures are spent."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.study import REPEAT_OF, first_attempt, is_feasible

LEAST_ATTEMPTS = 10
"""How many attempts have to end before their failures are judged."""


def spent(study: optuna.Study, timeout: float | None, patience: int | None) -> str | None:
    """Why the study has run for long enough, or None if it has not.

    Args:
        study: the study.
        timeout: the running time that it has, in seconds; None is without end.
        patience: how many trials in a row may end without a better one; None is without end.
    """
    trials = study.get_trials(deepcopy=False)
    if timeout is not None and (ran := running_time(trials)) >= timeout:
        return f"hydra.sweeper.timeout: it has run for {ran:.0f} s, allowed are {timeout:g} s"
    if patience is not None and (since := _since_better(study, trials)) >= patience:
        return f"hydra.sweeper.patience: {since} trials in a row brought nothing better, allowed are {patience}"
    return None


def hopeless(study: optuna.Study, max_failure_rate: float) -> str | None:
    """Why the study should be given up, or None if it should not.

    Attempts count that were run; those that were interrupted, or lost their agent, do not.

    Args:
        study: the study.
        max_failure_rate: the share of attempts that may fail.
    """
    ended = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and trial.user_attrs.get("retry") != "always" and REPEAT_OF not in trial.user_attrs
    ]
    failed = [trial for trial in ended if trial.state == TrialState.FAIL]
    if len(ended) < LEAST_ATTEMPTS or len(failed) <= max_failure_rate * len(ended):
        return None
    last = str(failed[-1].user_attrs.get("reason", "")).splitlines()[0:1]
    return (
        f"hydra.sweeper.max_failure_rate: {len(failed)} of {len(ended)} attempts failed, allowed is a share of "
        f"{max_failure_rate:g}; the last of them, trial {failed[-1].number}: {''.join(last)}"
    )


def running_time(trials: list[FrozenTrial]) -> float:
    """Seconds during which at least one trial ran: a study that lay still for a night did not take the night."""
    now = datetime.now()
    ran = [trial for trial in trials if trial.state != TrialState.WAITING]  # one may have been given back
    spans = sorted((t.datetime_start, t.datetime_complete or now) for t in ran if t.datetime_start)
    total, reached = timedelta(), datetime.min
    for start, end in spans:
        total += max(end - max(start, reached), timedelta())
        reached = max(reached, end)
    return total.total_seconds()


def _since_better(study: optuna.Study, trials: list[FrozenTrial]) -> int:
    """How many trials have ended since the last that is among the best; 0 before one is complete."""
    done = {TrialState.COMPLETE, TrialState.PRUNED}
    tried = [t for t in trials if t.state in done and t.datetime_complete and REPEAT_OF not in t.user_attrs]
    ended = sorted(tried, key=_ended)
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE and is_feasible(trial)]
    if not complete:
        return 0
    if len(study.directions) > 1:
        best = {trial.number for trial in study.best_trials}
    else:
        pick = min if study.direction == StudyDirection.MINIMIZE else max
        best = {pick(complete, key=lambda trial: float(trial.values[0])).number}
    since = itertools.takewhile(lambda trial: trial.number not in best, reversed(ended))
    return len({first_attempt(trial) for trial in since})


def _ended(trial: FrozenTrial) -> datetime:
    assert trial.datetime_complete is not None
    return trial.datetime_complete
