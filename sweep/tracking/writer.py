"""Events in, calls to MLflow out. Every call may be made twice: what is sent again changes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.tracking.calls import (
    KEY,
    RECONCILED,
    REPORTED,
    STATUS,
    create_run,
    find_run,
    legal,
    log_all,
    metric,
    objectives,
    set_status,
    state_tags,
)
from sweep.tracking.inputs import dataset_input
from sweep.tracking.leavings import log_leavings
from sweep.tracking.spool import Event
from sweep.tracking.store import Store, client

_PROBE = "mlflow.sweep.probe"  # MLflow's UI shows no tag that begins like this


@dataclass
class _Run:
    """What the writer knows of a run that it began.

    Attributes:
        run_id: MLflow's id; empty for a run that another process began, until it is needed.
        folder: the output directory, whose Hydra files are logged at the end.
        step: highest step of any metric so far.
        best: the latest value of each `best/` metric, with its step and the highest step it ever had.
        there: points that another process wrote from what the study knows: name, step and value.
    """

    run_id: str
    folder: str | None
    step: int = 0
    best: dict[str, tuple[float, int, int]] = field(default_factory=dict)
    there: frozenset[tuple[str, int, float]] = frozenset()


class Writer:
    """Writes the events of runs to MLflow, now; raises what MLflow raises.

    Args:
        store: where to.
        parent: id of the run that all runs are nested under, or None.
        tags: tags of every run.
        again: whether another process may have written some of these events before.
    """

    def __init__(self, store: Store, parent: str | None, tags: Mapping[str, str], again: bool = False) -> None:
        self._store = store
        self._tags = dict(tags)
        if parent is not None:
            self._tags["mlflow.parentRunId"] = parent
        self._client = client(store.uri)
        self._again = again
        self._runs: dict[int, _Run] = {}
        self._begun: dict[int, Event] = {}
        self._doubtful: set[str] = set()

    def ping(self) -> None:
        """Raises unless the store takes what is written to it: one that can only be read is away, too."""
        self._client.set_experiment_tag(self._store.experiment_id, _PROBE, str(time.time_ns()))

    def write(self, number: int, events: Sequence[Event]) -> None:
        """Writes events of one run, in their order, in as few calls as that takes."""
        run = self._runs.get(number)
        known = (run.step, dict(run.best)) if run else (0, {})
        try:
            self._write(number, events)
        except Exception:
            if (run := self._runs.get(number)) is not None:  # what is sent again has to say the same again
                run.step, run.best = known
            raise

    def _write(self, number: int, events: Sequence[Event]) -> None:
        points: list[Any] = []
        params: dict[str, str] = {}
        tags: dict[str, str] = {}
        inputs: list[Any] = []

        def flush() -> None:
            there = self._runs[number].there if points else ()
            points[:] = [point for point in points if (point.key, point.step, point.value) not in there]
            if points or params or tags:
                log_all(self._client, self._runs[number].run_id, points, params, tags)
            if inputs:
                self._client.log_inputs(self._runs[number].run_id, inputs)
            points.clear()
            params.clear()
            tags.clear()
            inputs.clear()

        for event in events:
            if event.kind == "begin":
                self._begin(event)
                params |= event.payload["params"]
                continue
            if event.kind == "open":
                self._open(event)
                continue
            run = self._run(number)
            if event.kind == "artifact":
                self._client.log_artifact(run.run_id, event.payload["path"], event.payload["folder"] or None)
            elif event.kind == "dataset":
                inputs.append(dataset_input(event.payload))
            elif event.kind == "leavings":
                log_leavings(self._client, run.run_id, run.folder, event.payload["traceback"])
            elif event.kind == "end":
                points.extend(self._last_points(run, event))
                tags |= state_tags(event.payload)
                flush()
                set_status(self._client, run.run_id, STATUS[event.payload["state"]], event.time)
                del self._runs[number]
            elif event.kind == "status":
                flush()
                set_status(self._client, run.run_id, event.payload["status"], event.time)
            else:
                points.extend(self._points(run, event, tags))
        flush()

    def recall(self, events: Iterable[Event]) -> None:
        """Takes note of events that were written before, by whomever, and writes nothing."""
        for event in events:
            if event.kind == "begin":
                self._runs[event.number] = _Run("", event.payload["folder"])
                self._begun[event.number] = event
            elif event.kind == "open":
                self._open(event)
            elif event.kind == "end":
                self._runs.pop(event.number, None)
            elif event.number in self._runs:
                with contextlib.suppress(ValueError):  # of a kind that has no points
                    deque(self._points(self._runs[event.number], event, {}), maxlen=0)

    def carried(self) -> list[Event] | None:
        """What it takes to recall the runs that are open; None if that is still among the events."""
        if not all(run.run_id for run in self._runs.values()):
            return None
        known = {number: {**dataclasses.asdict(run), "there": sorted(run.there)} for number, run in self._runs.items()}
        return [Event(0, number, "open", payload) for number, payload in known.items()]

    def _run(self, number: int) -> _Run:
        """A run that has begun."""
        if number not in self._runs:
            raise LookupError("its run has not begun")
        if not self._runs[number].run_id:
            begun = self._begun[number]
            self._begin(begun)
            log_all(self._client, self._runs[number].run_id, [], begun.payload["params"], {})
        return self._runs[number]

    def _open(self, event: Event) -> None:
        """Takes note of a run that is there, and of what is known of it."""
        known = dict(event.payload)
        best = {name: (value, step, highest) for name, (value, step, highest) in known.pop("best", {}).items()}
        there = frozenset((name, step, value) for name, step, value in known.pop("there", []))
        self._runs[event.number] = _Run(**known, best=best, there=there)

    def _begin(self, event: Event) -> None:
        """Creates a run; if an earlier try may have come through, looks for its run first."""
        payload = event.payload
        run = self._runs.get(event.number) or _Run("", payload["folder"])
        if not run.run_id and (self._again or payload["key"] in self._doubtful):
            found = find_run(self._client, self._store, payload["key"])
            run.run_id = found.info.run_id if found else ""
            if found and RECONCILED in found.data.tags:
                histories = (self._client.get_metric_history(run.run_id, name) for name in found.data.metrics)
                run.there = frozenset((p.key, p.step, p.value) for history in histories for p in history)
        if not run.run_id:
            self._doubtful.add(payload["key"])
            tags = {**self._tags, **payload["tags"], KEY: payload["key"]}
            run.run_id = create_run(self._client, self._store, payload["name"], tags, event.time)
        self._runs[event.number] = run
        self._doubtful.discard(payload["key"])

    def _points(self, run: _Run, event: Event, tags: dict[str, str]) -> Iterator[Any]:
        """The finite numbers of an event as points; the other things that it says go to `tags`."""
        step, values = 0, event.payload
        if event.kind == "report":
            step, values = event.payload["step"], {REPORTED: event.payload["value"]}
        elif event.kind == "metrics":
            step, values = event.payload["step"], event.payload["values"]
        elif event.kind == "constraint":
            step, values = run.step, {f"constraint/{event.payload['name']}": event.payload["value"]}
        elif event.kind == "facts":
            values = {f"facts/{name}": value for name, value in values.items()}
        elif event.kind == "seen":
            step, values = event.payload["step"], event.payload["values"]
        elif event.kind == "tags":
            tags.update(values)
            return
        else:
            raise ValueError(f"event: got {event.kind!r}, which is none of sweep.engine.trial's or sweep.tracking's")
        if event.kind != "seen":  # whose steps count looks, not the trial's own
            run.step = max(run.step, step)
        for name, value in values.items():
            if not isinstance(value, int | float):
                tags[legal(name)] = str(value)
            elif math.isfinite(value):
                if name.startswith("best/"):
                    run.best[name] = (value, step, max(step, run.best.get(name, (0.0, 0, step))[2]))
                yield metric(name, value, event.time, step)
            else:
                tags[legal(f"sweep.nonfinite/{name}")] = f"{value} at step {step}"

    def _last_points(self, run: _Run, event: Event) -> Iterator[Any]:
        """The objectives, and each `best/` value that would not be shown: MLflow shows the one of the highest step."""
        for name, value in objectives(event.payload["values"]).items():
            if math.isfinite(value):
                yield metric(name, value, event.time, run.step)
        for name, (best, step, highest) in run.best.items():
            if step < highest:
                yield metric(name, best, event.time, highest)
