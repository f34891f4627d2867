"""The runs of MLflow: one for a study, one for each of its trials, or one alone.

MLflow mirrors a study and Optuna is the truth: what a kill left open here is closed from there.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.engine.errors import UserError
from sweep.tracking.ended import Ended
from sweep.tracking.params import run_params
from sweep.tracking.single import SingleRun, run_in, single_run
from sweep.tracking.store import Store, client, is_away, reason, shown
from sweep.tracking.tracker import CLOSE_SECONDS, Tracker
from sweep.tracking.writer import REPORTED, create_run, end_run, log_all, objectives, source_tags

__all__ = [
    "SingleRun",
    "StudyRun",
    "Tracker",
    "add_to_study",
    "finish_study",
    "known_study_run",
    "reconcile",
    "run_in",
    "run_params",
    "single_run",
    "study_run",
    "trial_runs",
    "with_section",
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
    """

    store: Store
    run_id: str
    study: str
    study_id: str

    def tracker(self) -> Tracker:
        """A new tracker for trials of this study, whose runs are nested under this one."""
        # A filter on a parent's tags drops its children, so they carry the study's name and id too.
        return Tracker(self.store, self.run_id, _study_tags(self.study, self.study_id, "trial"))


def study_run(
    store: Store, study: str, study_id: str, params: Mapping[str, str], tags: Mapping[str, str] | None = None
) -> StudyRun:
    """Finds or creates the parent run of a study, and marks it as running.

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
    try:
        api = client(store.uri)
        found = list(_runs(api, store, study_id, "study"))
        if found:
            run_id, known = found[0].info.run_id, found[0].data.params
            api.update_run(run_id, status="RUNNING")
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
    return StudyRun(store, run_id, study, study_id)


def known_study_run(store: Store, study: str, study_id: str) -> StudyRun | None:
    """The parent run of a study as it stands, or None if there is none.

    Raises:
        UserError: if the store does not answer.
    """
    try:
        found = list(_runs(client(store.uri), store, study_id, "study"))
    except Exception as error:
        if not is_away(error):
            raise
        received = f"{shown(store.uri)} ({reason(error)})"
        raise UserError("tracking.uri", received, "an MLflow store that answers") from error
    return StudyRun(store, found[0].info.run_id, study, study_id) if found else None


def add_to_study(
    parent: StudyRun,
    heading: str,
    text: str,
    metrics: Mapping[str, float],
    artifacts: Iterable[tuple[Path, str]],
    patience: float = CLOSE_SECONDS,
) -> bool:
    """Adds to the run of a study what was found out after its end; returns whether MLflow has it.

    Never raises because of the store. The run's state stays as it is.

    Args:
        parent: the study's run.
        heading: of the section of the run's description; a section of this heading that is there is replaced.
        text: of that section, in Markdown.
        metrics: numbers.
        artifacts: files, each with the folder of the run's artifacts that it goes to ("" is the top).
        patience: how long to wait for a store that is away, in seconds.
    """
    files, now = list(artifacts), _now()

    def add() -> None:
        from mlflow.entities import Metric

        api = client(parent.store.uri)
        for path, folder in files:
            api.log_artifact(parent.run_id, str(path), folder or None)
        points = [Metric(name, float(value), now, 0) for name, value in metrics.items() if math.isfinite(value)]
        note = api.get_run(parent.run_id).data.tags.get("mlflow.note.content", "")
        log_all(api, parent.run_id, points, {}, {"mlflow.note.content": with_section(note, heading, text)})

    return _patiently(add, patience, f"has not got what was added to study {parent.study}: {heading}")


def with_section(note: str, heading: str, text: str) -> str:
    """A description in Markdown with a section of this heading, which replaces the one that is there, at its end."""
    parts = re.split(r"^(?=## )", note, flags=re.MULTILINE)
    kept = [part for part in parts if part.partition("\n")[0] != f"## {heading}"]
    return "\n\n".join([*(part.strip() for part in kept if part.strip()), f"## {heading}\n\n{text.strip()}\n"])


def reconcile(parent: StudyRun, ended: Mapping[int, Ended], patience: float = CLOSE_SECONDS) -> int:
    """Makes the runs of a study's trials agree with it, as after a kill; returns how many it closed.

    A run that is RUNNING although its trial has ended is given what the study knows, and closed; a trial whose run was
    never written gets one.

    Never raises because of the store: what cannot be closed is logged.

    Args:
        parent: the study's run.
        ended: every trial that has ended, by number.
        patience: how long to wait for a store that is away, in seconds.
    """
    closed = 0

    def close() -> None:
        nonlocal closed
        api = client(parent.store.uri)
        runs = {int(run.data.tags["sweep.trial"]): run for run in _runs(api, parent.store, parent.study_id, "trial")}
        for number, trial in ended.items():
            if number not in runs:
                tags = _study_tags(parent.study, parent.study_id, "trial")
                tags |= {"mlflow.parentRunId": parent.run_id, "sweep.trial": str(number), **source_tags()}
                run_id = create_run(api, parent.store, f"{parent.study} {number}", tags)
                log_all(api, run_id, [], trial.params, {})
            elif runs[number].info.status == "RUNNING":
                run_id = runs[number].info.run_id
            else:
                continue
            log_all(api, run_id, _points(trial), {}, {})
            payload = {"state": trial.state, "reason": trial.reason, "traceback": ""}
            end_run(api, run_id, _now(), payload, trial.folder)
            closed += 1

    _patiently(close, patience, f"has not got the runs of study {parent.study} that were left open")
    return closed


def trial_runs(parent: StudyRun, patience: float = CLOSE_SECONDS) -> dict[int, str]:
    """The ids of the runs of a study's trials, by trial number; of none that is not there.

    Never raises because of the store: if it does not answer, that is logged, and there are none.

    Args:
        parent: the study's run.
        patience: how long to wait for a store that is away, in seconds.
    """
    found: dict[int, str] = {}

    def look() -> None:
        runs = _runs(client(parent.store.uri), parent.store, parent.study_id, "trial")
        found.update((int(run.data.tags["sweep.trial"]), str(run.info.run_id)) for run in runs)

    _patiently(look, patience, f"has not told the runs of study {parent.study}")
    return found


def finish_study(
    parent: StudyRun,
    status: str = "FINISHED",
    metrics: Mapping[str, float] | None = None,
    artifacts: Iterable[tuple[Path, str]] = (),
    note: str = "",
    patience: float = CLOSE_SECONDS,
) -> bool:
    """Closes the run of a study; returns whether MLflow has it. Never raises because of the store.

    Args:
        parent: the study's run.
        status: FINISHED, FAILED or KILLED.
        metrics: final numbers, such as the counts of states and the best objective.
        artifacts: files, each with the folder of the run's artifacts that it goes to ("" is the top).
        note: description shown on the run's page, in Markdown.
        patience: how long to wait for a store that is away, in seconds.
    """
    files = list(artifacts)
    now = _now()

    def finish() -> None:
        from mlflow.entities import Metric

        api = client(parent.store.uri)
        for path, folder in files:
            api.log_artifact(parent.run_id, str(path), folder or None)
        points = [Metric(name, float(value), now, 0) for name, value in (metrics or {}).items()]
        log_all(api, parent.run_id, points, {}, {"mlflow.note.content": note} if note else {})
        api.set_terminated(parent.run_id, status, now)

    return _patiently(finish, patience, f"has not got the end of study {parent.study}")


def _points(trial: Ended) -> list[Any]:
    """What a study knows of a trial, as MLflow's points: objectives, last metrics, and intermediate values."""
    from mlflow.entities import Metric

    now, last = _now(), max(trial.reported, default=0)
    values = {**trial.metrics, **objectives(trial.values)}
    points = [(REPORTED, value, step) for step, value in trial.reported.items()]
    points += [(name, value, last) for name, value in values.items()]
    return [Metric(name, float(value), now, step) for name, value, step in points if math.isfinite(value)]


def _study_tags(study: str, study_id: str, kind: str) -> dict[str, str]:
    return {"sweep.study": study, "sweep.study_id": study_id, "sweep.kind": kind}


def _runs(api: Any, store: Store, study_id: str, kind: str, condition: str = "") -> Iterator[Any]:
    """The runs of a study of one kind, oldest first."""
    tags = f"tags.`sweep.study_id` = '{study_id}' and tags.`sweep.kind` = '{kind}'"
    text = f"{tags} and {condition}" if condition else tags
    page = None
    while True:
        found = api.search_runs([store.experiment_id], text, order_by=["attributes.start_time ASC"], page_token=page)
        yield from found
        page = found.token
        if not page:
            return


def _patiently(call: Callable[[], None], patience: float, failure: str) -> bool:
    """Makes a call again until the store answers or patience ends; returns whether it was made, and logs if not."""
    deadline = time.monotonic() + patience
    delay = 0.5
    while True:
        try:
            call()
        except Exception as error:
            if is_away(error) and time.monotonic() + delay < deadline:
                time.sleep(delay)
                delay = min(2 * delay, 10.0)
                continue
            log.warning("MLflow %s: %s", failure, reason(error))
            return False
        return True


def _now() -> int:
    return time.time_ns() // 1_000_000
