"""The runs of MLflow: one for a study, one for each of its trials, or one alone.

MLflow mirrors a study and Optuna is the truth: what a kill left open here is closed from there.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.engine.errors import UserError
from sweep.tracking.calls import (
    KEY,
    RECONCILED,
    REPORTED,
    STATUS,
    create_run,
    legal,
    log_all,
    metric,
    objectives,
    set_status,
    source_tags,
    state_tags,
)
from sweep.tracking.ended import Ended
from sweep.tracking.leavings import log_leavings
from sweep.tracking.note import NOTE, Note, ended
from sweep.tracking.page import DONE, StudyPage
from sweep.tracking.params import run_params
from sweep.tracking.single import SingleRun, run_in, single_run
from sweep.tracking.source import COMMIT
from sweep.tracking.store import Store, answering, client, is_away, reason, shown
from sweep.tracking.tracker import Tracker, new_spool, run_key

__all__ = [
    "Reconciled",
    "SingleRun",
    "StudyPage",
    "StudyRun",
    "Tracker",
    "reconcile",
    "run_in",
    "run_params",
    "single_run",
    "status",
    "study_run",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyRun:
    """The parent run of a study. Travels to the study's agents.

    Attributes:
        store: where it is.
        run_id: MLflow's id.
        study: the study's name.
        study_id: the study's id, which no other study has.
        step: the highest step of its curves when it was found; -1 if it has none.
        marks: tags of the runs of its trials.
    """

    store: Store
    run_id: str
    study: str
    study_id: str
    step: int = field(default=-1, compare=False)
    marks: Mapping[str, str] = field(default_factory=dict)

    def tracker(self, folder: str | Path) -> Tracker:
        """A new tracker for trials of this study, whose runs are nested under this one.

        Args:
            folder: the study's folder, where events wait for MLflow.
        """
        # A filter on a parent's tags drops its children, so they carry the study's name and id too.
        tags = {**_study_tags(self.study, self.study_id, "trial"), **self.marks}
        return Tracker(self.store, new_spool(folder, self.store, self.run_id, tags))

    def page(self, folder: str | Path) -> StudyPage:
        """What writes to this run without waiting for it.

        Args:
            folder: the study's folder, where events wait for MLflow.
        """
        return StudyPage(self, folder)


@dataclass(frozen=True)
class Reconciled:
    """The runs of a study's trials, which agree with it.

    Attributes:
        runs: their ids, by trial number.
        closed: how many had been left open.
        made: how many were not there.
    """

    runs: Mapping[int, str]
    closed: int
    made: int


def study_run(
    store: Store, study: str, study_id: str, params: Mapping[str, str], tags: Mapping[str, str] | None = None
) -> StudyRun:
    """Finds or creates the parent run of a study.

    MLflow never changes a param: one that differs from an earlier run of the study is put in the tag `sweep.now.<key>`.

    Args:
        store: where.
        study: the study's name.
        study_id: the study's id.
        params: the search space, sampler, pruner and budget.
        tags: further tags.

    Raises:
        UserError: if the store does not answer.
    """
    own = {**_study_tags(study, study_id, "study"), **(tags or {})}
    step = -1
    try:
        api = client(store.uri)
        found = list(_runs(api, store, study_id, "study"))
        if found:
            run_id, known = found[0].info.run_id, found[0].data.params
            step = _last_step(api, run_id)
        else:
            run_id, known = create_run(api, store, study, {**source_tags(), **own}), {}
        changed = {f"sweep.now.{key}": value for key, value in params.items() if known.get(key, value) != value}
        new = {key: value for key, value in params.items() if key not in known}
        log_all(api, run_id, [], new, {**own, **changed} if found else changed)
    except Exception as error:
        if not is_away(error):
            raise
        received = f"{shown(store.uri)} ({reason(error)})"
        raise UserError("tracking.uri", received, "an MLflow store that answers") from error
    return StudyRun(store, run_id, study, study_id, step)


def reconcile(
    parent: StudyRun, trials: Mapping[int, Ended], objectives: Sequence[str] = ("objective",)
) -> Reconciled | None:
    """Makes the runs of a study's trials agree with it, as after a kill.

    A run that is RUNNING although its trial has ended is given what the study knows and MLflow does not, and closed; a
    trial without a run gets one. What waits in a spool has to be written before, or would be written once more.

    Never raises because of the store: what it answers instead is logged, and None is returned.

    Args:
        parent: the study's run.
        trials: every one that has ended, by number.
        objectives: what the objectives are called.
    """
    try:
        return _reconcile(parent, trials, objectives)
    except Exception as error:  # it is away, or an experiment was deleted
        log.warning("MLflow has not got the runs of study %s that were left open: %s", parent.study, reason(error))
        return None


def status(parent: StudyRun) -> str:
    """The status that MLflow has of a study's own run.

    Raises:
        UserError: if the store does not answer.
    """
    with answering(parent.store.uri, "an MLflow store that answers and has the study's run"):
        return str(client(parent.store.uri).get_run(parent.run_id).info.status)


def last_step(parent: StudyRun) -> int:
    """The highest step of the curves of a study's own run; -1 if it has none.

    Raises:
        UserError: if the store does not answer.
    """
    with answering(parent.store.uri):
        return _last_step(client(parent.store.uri), parent.run_id)


def _last_step(api: Any, run_id: str) -> int:
    return max((int(point.step) for point in api.get_metric_history(run_id, DONE)), default=-1)


def _reconcile(parent: StudyRun, trials: Mapping[int, Ended], called: Sequence[str]) -> Reconciled:
    api = client(parent.store.uri)
    found = {int(run.data.tags["sweep.trial"]): run for run in _runs(api, parent.store, parent.study_id, "trial")}
    ids = {number: str(run.info.run_id) for number, run in found.items()}
    closed = made = 0
    for number, trial in trials.items():
        run = found.get(number)
        if run is None:
            tags = {**source_tags(), **_study_tags(parent.study, parent.study_id, "trial")}
            tags |= {"mlflow.parentRunId": parent.run_id, "sweep.trial": str(number), **parent.marks}
            tags |= {KEY: run_key(parent.study_id, number), **({COMMIT: trial.commit} if trial.commit else {})}
            ids[number] = create_run(api, parent.store, f"{parent.study} {number}", tags, trial.began)
            made += 1
        elif run.info.status == "RUNNING":
            closed += 1
        else:
            continue
        params = {key: value for key, value in trial.params.items() if run is None or legal(key) not in run.data.params}
        note = Note(f"Trial {number} of study {parent.study}", trial.params, objectives=called)
        text = ended(run.data.tags.get(NOTE) if run else None, note, trial.state, trial.reason, trial.values)
        tags = {NOTE: text, RECONCILED: "true", **state_tags({"state": trial.state, "reason": trial.reason})}
        log_all(api, ids[number], _missing(api, run, trial), params, tags)
        set_status(api, ids[number], STATUS[trial.state], trial.ended or _now())
        try:
            log_leavings(api, ids[number], trial.folder)
        except Exception as error:
            log.warning("MLflow has not got the files of trial %d of study %s: %s", number, parent.study, reason(error))
    return Reconciled(ids, closed, made)


def _missing(api: Any, run: Any, trial: Ended) -> list[Any]:
    """What a study knows of a trial and its run does not, as points: objectives, last metrics, intermediate values."""
    known = run.data.metrics if run is not None else {}
    steps = {point.step for point in api.get_metric_history(run.info.run_id, REPORTED)} if REPORTED in known else set()
    last = max(trial.reported, default=0)
    points = [(REPORTED, value, step) for step, value in trial.reported.items() if step not in steps]
    # Of a curve, the study has the last value alone, which is added only where there is none, or to be what is shown.
    points += [(name, value, last) for name, value in trial.metrics.items() if _to_be_shown(name, value, known)]
    points += [(name, value, last) for name, value in objectives(trial.values).items() if known.get(name) != value]
    now = trial.ended or _now()
    return [metric(name, value, now, step) for name, value, step in points if math.isfinite(value)]


def _to_be_shown(name: str, value: float, known: Mapping[str, float]) -> bool:
    shown_value = known.get(legal(name))
    return shown_value is None or (name.startswith("best/") and shown_value != value)


def _study_tags(study: str, study_id: str, kind: str) -> dict[str, str]:
    return {"sweep.study": study, "sweep.study_id": study_id, "sweep.kind": kind}


def _runs(api: Any, store: Store, study_id: str, kind: str) -> Iterator[Any]:
    """The runs of a study of one kind, oldest first."""
    text = f"tags.`sweep.study_id` = '{study_id}' and tags.`sweep.kind` = '{kind}'"
    page = None
    while True:
        found = api.search_runs([store.experiment_id], text, order_by=["attributes.start_time ASC"], page_token=page)
        yield from found
        page = found.token
        if not page:
            return


def _now() -> int:
    return time.time_ns() // 1_000_000
