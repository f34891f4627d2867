"""MLflow's runs of a study, made to agree with it: it is the truth, also about what a kill left open."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.tracking.ended import Ended

if TYPE_CHECKING:
    from sweep.tracking.page import StudyPage
    from sweep.tracking.runs import StudyRun


def reconcile(study: optuna.Study, run: StudyRun, page: StudyPage) -> Mapping[int, str]:
    """Makes the runs of a study's trials agree with it, if MLflow answers; returns their ids by trial number.

    Args:
        study: the study.
        run: the run that those of its trials are nested under.
        page: the page of the study, or of the one that it is beside, whose left-overs are written first.
    """
    if not page.catch_up():
        return {}
    from sweep.tracking import runs

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    done = runs.reconcile(run, {trial.number: ended(trial) for trial in finished})
    return done.runs if done else {}


def ended(trial: FrozenTrial) -> Ended:
    """What a study knows of a trial that has ended."""
    attributes = trial.user_attrs
    interrupted = trial.state == TrialState.FAIL and attributes.get("retry") == "always"
    constraints = {f"constraint/{name}": value for name, value in trial.constraints.items()}
    return Ended(
        state="STOPPED" if interrupted else trial.state.name,
        reason=str(attributes.get("reason", "")),
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
        params={key: str(value) for key, value in trial.params.items()},
        metrics={**attributes.get("metrics", {}), **constraints},
        reported=trial.intermediate_values,
        folder=attributes.get("output_dir"),
        began=_milliseconds(trial.datetime_start),
        ended=_milliseconds(trial.datetime_complete),
    )


def _milliseconds(when: datetime | None) -> int | None:
    """Optuna's local time as ms since 1970."""
    return None if when is None else int(when.timestamp() * 1000)
