"""The one writer of MLflow in its process: takes events at once, and writes them in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.engine.redact import redacted
from sweep.tracking.backlog import Backlog, Event
from sweep.tracking.store import Store, is_away, reason, shown
from sweep.tracking.writer import STATUS, Writer

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
"""How long events are gathered, so that a call carries many."""

CLOSE_SECONDS = 60.0
"""How long `close` waits for a store that is away."""

_BACK_OFF = (0.5, 10.0)  # seconds: the first wait for a store that is away, and the longest
_PATIENCE = 5  # tries of what a store refuses as if it were away, although it answers other calls
_BATCH = 5000  # events taken at once
_PATHS = {"begin": ("folder",), "artifact": ("path", "folder")}  # of files that will be opened


class Tracker:
    """Writes runs to a store. No method waits for the store, and none raises because of it.

    For the trials of a study, `StudyRun.tracker` makes one. While the store is away, events are kept in order and tried
    again. What cannot be written is counted and logged.

    Args:
        store: where to.
        parent: id of the run that all runs of this tracker are nested under, or None.
        tags: tags of every run.
    """

    def __init__(self, store: Store, parent: str | None = None, tags: Mapping[str, str] | None = None) -> None:
        self._store = store
        self._parent = parent
        self._tags = dict(tags or {})
        self._backlog = Backlog()
        self._time = 0
        self._in_hand = 0
        self._lost = 0
        self._hurry = False
        self._deadline: float | None = None
        self._away = False
        self._tries: dict[int, int] = {}
        self._complained: set[int] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()

    def begin(
        self,
        number: int,
        name: str,
        params: Mapping[str, str],
        tags: Mapping[str, str] | None = None,
        folder: str | Path | None = None,
    ) -> None:
        """Begins the run of a trial.

        Args:
            number: the trial's number, by which the other methods know the run.
            name: what MLflow calls the run.
            params: its params, by flat key; see `run_params`.
            tags: further tags.
            folder: its output directory, whose `.hydra/*.yaml` are logged when it ends.
        """
        own = {} if self._parent is None else {"sweep.trial": str(number)}
        if folder is not None:
            own["sweep.output_dir"] = str(folder)
        payload = {
            "name": name,
            "params": dict(params),
            "tags": {**own, **(tags or {})},
            "folder": None if folder is None else str(folder),
            "key": uuid.uuid4().hex,
        }
        self._put(number, "begin", payload)

    def write(self, number: int, kind: str, payload: Mapping[str, Any]) -> None:
        """Takes an event of `sweep.engine.trial`: report, metrics, constraint, facts or artifact."""
        self._put(number, kind, dict(payload))

    def end(
        self,
        number: int,
        state: str,
        reason: str | None = None,
        traceback: str | None = None,
        value: float | Sequence[float] | None = None,
    ) -> None:
        """Ends a run.

        Args:
            number: the trial's number.
            state: COMPLETE, PRUNED, FAIL, or STOPPED (by Ctrl-C).
            reason: why it was pruned or failed.
            traceback: of the exception that ended it.
            value: the objective of a complete trial, or all of its objectives.
        """
        assert state in STATUS
        values = () if value is None else tuple(value) if isinstance(value, Sequence) else (value,)
        payload = {"state": state, "reason": reason or "", "traceback": traceback or "", "values": values}
        self._put(number, "end", payload)

    def flush(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Waits until everything so far is written; returns whether it is."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting(), timeout)

    def close(self, timeout: float = CLOSE_SECONDS) -> int:
        """Writes what is left, for at most `timeout` seconds; returns how many events were not written."""
        with self._changed:
            self._deadline = time.monotonic() + timeout
            self._changed.notify_all()
        self._thread.join(timeout + 1)
        with self._changed:
            missing = self._lost + self._waiting()
        if missing:
            log.warning("%d events are not in MLflow at %s", missing, shown(self._store.uri))
        return missing

    def _put(self, number: int, kind: str, payload: dict[str, Any]) -> None:
        with self._changed:
            # An end is later than all else: of two points at one step and time, MLflow shows the larger.
            self._time = max(time.time_ns() // 1_000_000, self._time + (kind == "end"))
            self._backlog.append(Event(self._time, number, kind, redacted(payload, but=_PATHS.get(kind, ()))))
            self._changed.notify_all()
        if not self._thread.is_alive():
            log.warning("The %s event of trial %d came after the tracker was closed", kind, number)

    def _waiting(self) -> int:
        return len(self._backlog) + self._in_hand

    def _work(self) -> None:
        writer: Writer | None = None
        delay = 0.0
        while events := self._next(delay):
            left = events
            try:
                writer = writer or Writer(self._store, self._parent, self._tags)
                left = self._write(writer, events)
            except Exception as error:  # no store, or no mlflow
                self._warn(error)
            with self._changed:
                self._backlog.give_back(left)
                self._in_hand = 0
                self._changed.notify_all()
            if not left:
                self._answered()
            delay = min(2 * delay, _BACK_OFF[1]) if self._away and delay else _BACK_OFF[0] if left else 0.0

    def _next(self, delay: float) -> list[Event]:
        """The next events, after `delay` seconds; none once the tracker is closed and done, or out of time."""
        with self._changed:
            if self._deadline is not None:
                rest = self._deadline - time.monotonic()
                if delay and rest <= 0:
                    return []
                if delay:
                    self._changed.wait_for(lambda: False, min(delay, rest))
            elif delay:
                self._changed.wait_for(self._closing, delay)
            else:
                self._changed.wait_for(lambda: self._closing() or bool(self._backlog))
                self._changed.wait_for(lambda: self._closing() or self._hurry, FLUSH_SECONDS)
            self._hurry = False
            events = self._backlog.take(_BATCH)
            self._in_hand = len(events)
            return events

    def _closing(self) -> bool:
        return self._deadline is not None

    def _write(self, writer: Writer, events: list[Event]) -> list[Event]:
        """Writes what can be written; returns the rest, in order."""
        runs: dict[int, list[Event]] = {}
        for event in events:
            runs.setdefault(event.number, []).append(event)
        for number, own in runs.items():
            runs[number] = self._write_run(writer, number, own)
            if runs[number] and self._away:
                break
        left = {id(event) for own in runs.values() for event in own}
        return [event for event in events if id(event) in left]

    def _write_run(self, writer: Writer, number: int, events: list[Event]) -> list[Event]:
        """Writes events of one run; returns those to be tried again. One that is refused does not hold up the rest."""
        try:
            writer.write(number, events)
        except Exception as error:
            if is_away(error) and self._worth_waiting(writer, number, error):
                return events
            if len(events) == 1:
                self._refused(events[0], error)
                return []
            half = len(events) // 2
            left = self._write_run(writer, number, events[:half])
            return [*left, *events[half:]] if left else self._write_run(writer, number, events[half:])
        self._tries.pop(number, None)
        return []

    def _worth_waiting(self, writer: Writer, number: int, error: Exception) -> bool:
        """Whether a failed call should be made again: while the store is away; a few times, if only this call fails."""
        try:
            writer.ping()
        except Exception as silence:
            if is_away(silence):
                self._warn(error)
                return True
        self._answered()
        self._tries[number] = self._tries.get(number, 0) + 1
        return self._tries[number] <= _PATIENCE

    def _warn(self, error: Exception) -> None:
        """Says that the store is away, once until it is back."""
        if not self._away:
            self._away = True
            log.warning("MLflow at %s is away (%s); events wait, trials go on", shown(self._store.uri), reason(error))

    def _answered(self) -> None:
        if self._away:
            self._away = False
            log.info("MLflow at %s answers again; what had waited is being written", shown(self._store.uri))

    def _refused(self, event: Event, error: Exception) -> None:
        """Counts an event that will never be written, and says so: in full once a run."""
        self._lost += 1
        level = logging.DEBUG if event.number in self._complained else logging.WARNING
        self._complained.add(event.number)
        log.log(level, "MLflow refused the %s event of trial %d: %s", event.kind, event.number, reason(error))
