"""MLflow's runs of a study, made to agree with it: it is the truth, also about what a kill left open."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.made_with import MADE_WITH
from sweep.engine.outcome import orphaned
from sweep.results.front import objective_names
from sweep.tracking.ended import Ended
from sweep.tracking.source import CHANGED

if TYPE_CHECKING:
    from sweep.tracking.page import StudyPage
    from sweep.tracking.runs import Reconciled, StudyRun


def reconcile(study: optuna.Study, run: StudyRun, page: StudyPage, orphans: bool = False) -> Reconciled | None:
    """Makes the runs of a study's trials agree with it; None if something waits for MLflow, or it does not answer.

    Args:
        study: the study.
        run: the run that those of its trials are nested under.
        page: the page of the study, or of the one that it is beside: what waits there is written first.
        orphans: whether trials that are RUNNING count as ended, since nobody runs the study.
    """
    if not page.catch_up():
        return None
    from sweep.tracking import runs

    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, *([TrialState.RUNNING] if orphans else [])]
    ended = {trial.number: _ended(trial) for trial in study.get_trials(deepcopy=False, states=tuple(states))}
    return runs.reconcile(run, ended, objective_names(study))


def _ended(trial: FrozenTrial) -> Ended:
    """What a study knows of a trial that has ended, or whose agent is gone."""
    attributes = trial.user_attrs
    orphan = not trial.state.is_finished()
    interrupted = orphan or (trial.state == TrialState.FAIL and attributes.get("retry") == "always")
    constraints = {f"constraint/{name}": value for name, value in trial.constraints.items()}
    return Ended(
        state="STOPPED" if interrupted else trial.state.name,
        reason=orphaned().reason if orphan else str(attributes.get("reason", "")),
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
        params={key: str(value) for key, value in trial.params.items()},
        metrics={**attributes.get("metrics", {}), **constraints},
        reported=trial.intermediate_values,
        folder=attributes.get("output_dir"),
        began=_milliseconds(trial.datetime_start),
        ended=_milliseconds(trial.datetime_complete),
        commit=attributes.get(MADE_WITH, {}).get("commit", "").removesuffix(CHANGED) or None,
    )


def _milliseconds(when: datetime | None) -> int | None:
    """Optuna's local time as ms since 1970."""
    return None if when is None else int(when.timestamp() * 1000)
