"""The calls to MLflow that make runs and write to them, with everything named and cut as MLflow takes it."""

from __future__ import annotations

import getpass
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, TypeVar

from sweep.tracking.store import Store

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED", "STOPPED": "KILLED"}
"""MLflow's status of every state, so that FINISHED alone means: this run has its objective. STOPPED: Ctrl-C."""

OBJECTIVE = "objective"
"""Metric: the final value that a run was judged by; of several, `objective/1` and so on."""

REPORTED = "reported"
"""Metric: the intermediate values that the pruner saw, by step."""

KEY = "sweep.key"
"""Tag: what tells a run from every other, whoever made it."""

RECONCILED = "sweep.reconciled"
"""Tag: what a study knew of a trial was written to its run before all events were that wait for it, if any do."""

_POINTS = 800  # with twice 100 params and tags, MLflow's limit of one call
_PAIRS = 100
_PARAM = 6000
_TAG = 8000
_NAME = 250

T = TypeVar("T")


def objectives(values: Sequence[float]) -> dict[str, float]:
    """Final values by the names of their metrics."""
    if len(values) == 1:
        return {OBJECTIVE: values[0]}
    return {f"{OBJECTIVE}/{index}": value for index, value in enumerate(values, 1)}


def create_run(api: Any, store: Store, name: str, tags: Mapping[str, str], time: int | None = None) -> str:
    """Creates a run and returns its id."""
    cut = {legal(key): _cut(str(value), _TAG) for key, value in tags.items()}
    return str(api.create_run(store.experiment_id, start_time=time, tags=cut, run_name=name).info.run_id)


def find_run(api: Any, store: Store, key: str) -> Any:
    """MLflow's run with this key, deleted or not; None if there is none."""
    from mlflow.entities import ViewType

    found = api.search_runs([store.experiment_id], f"tags.`{KEY}` = '{key}'", ViewType.ALL, max_results=1)
    return found[0] if found else None


def set_status(api: Any, run_id: str, status: str, time: int) -> None:
    """Marks a run as RUNNING, or as ended with another status at a time in ms since 1970."""
    if status == "RUNNING":
        api.update_run(run_id, status=status)
    else:
        api.set_terminated(run_id, status, time)


def state_tags(payload: Mapping[str, Any]) -> dict[str, str]:
    """How a trial ended, as tags of its run.

    Args:
        payload: state and reason.
    """
    reason = {"sweep.reason": payload["reason"]} if payload["reason"] else {}
    return {"sweep.state": payload["state"], **reason}


def log_all(api: Any, run_id: str, points: Sequence[Any], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
    """Logs any number of metric points, params and tags in as few calls as MLflow takes; what is too long is cut."""
    from mlflow.entities import Param, RunTag

    entries = [Param(legal(key), _cut(str(value), _PARAM)) for key, value in params.items()]
    labels = [RunTag(legal(key), _cut(str(value), _TAG)) for key, value in tags.items()]
    parts = zip_longest(_parts(points, _POINTS), _parts(entries, _PAIRS), _parts(labels, _PAIRS), fillvalue=())
    for part in parts:
        api.log_batch(run_id, *part, synchronous=True)


def source_tags() -> dict[str, str]:
    """Who runs this, and what."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": Path(sys.argv[0]).name, "mlflow.source.type": "LOCAL"}


def legal(name: str) -> str:
    """A name that MLflow takes for a metric, param or tag: its own characters, a clean path, at most 250 long."""
    parts = re.sub(r"[^\w\-./: ]", "_", name).split("/")
    return posixpath.join(*[part for part in parts if part not in ("", ".", "..")] or ["_"])[:_NAME]


def metric(name: str, value: float, time: int, step: int) -> Any:
    """A point of a metric, at a time in ms since 1970."""
    from mlflow.entities import Metric

    return Metric(legal(name), float(value), time, int(step))


def _cut(text: str, most: int) -> str:
    """The text, or its beginning with a note of how much there was."""
    note = f"… (cut: {len(text)} characters)"
    return text if len(text) <= most else text[: most - len(note)] + note


def _parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while part := list(islice(left, size)):
        yield part
