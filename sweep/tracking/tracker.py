"""The one writer of MLflow in its process: takes events at once, and writes them in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.engine.address import bare
from sweep.engine.redact import redacted
from sweep.tracking.calls import STATUS, source_tags
from sweep.tracking.delivery import Delivery
from sweep.tracking.spool import Event, Spool
from sweep.tracking.store import Store, shown

log = logging.getLogger(__name__)

GATHER_SECONDS = (1.0, 30.0)
"""How long events are gathered, so that a call carries many: at least, and at most however long a write takes."""

SHARE = 0.01
"""Of a tracker's time that it would spend with writing: after a write it gathers for as long as that takes."""

CLOSE_SECONDS = 60.0
"""How long `close` lets a store that answers take what is left."""

AWAY_SECONDS = 4.0
"""How long `close` waits for a store that is away."""

_BACK_OFF = (0.5, 10.0)  # seconds: the first wait for a store that is away, and the longest
_PATHS = {"begin": ("folder",), "artifact": ("path", "folder")}  # of files that will be opened


class Tracker:
    """Writes runs to a store. No method but `flush` and `close` waits for the store, and none raises because of it.

    Every event goes to a spool on disk first, from which it is written in order, again and again while the store is
    away. What is not written when the process ends, or is killed, is there for whoever takes the spool over. What
    cannot be written at all is counted and logged.

    For the trials of a study, `StudyRun.tracker` makes one.

    Args:
        store: where to.
        spool: where events wait: a new one (see `new_spool`), or one that another process left.
    """

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store = store
        self._spool = spool
        self._delivery = Delivery(store, spool)
        self._time = 0
        self._lost = 0
        self._hurry = False
        self._gather = GATHER_SECONDS[0]
        self._deadline: float | None = None
        self._give_up = 0.0
        self._ended = False
        self._failures = 0
        self._full = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()

    @property
    def store(self) -> Store:
        """Where it writes to."""
        return self._store

    @property
    def path(self) -> Path:
        """The file in which events wait."""
        return self._spool.path

    @property
    def address(self) -> str:
        """Where the store is, as it may be shown."""
        return shown(self._store.uri)

    @property
    def away(self) -> str | None:
        """Where a store is that did not answer when it was last asked, and why not; None if it did."""
        return f"{self.address} ({self._delivery.silence})" if self._delivery.silence else None

    @property
    def waiting(self) -> int:
        """How many events are not written yet."""
        return self._spool.waiting

    @property
    def lost(self) -> int:
        """How many events will never be written: MLflow refused them, or there was no space to keep them."""
        return self._lost + self._delivery.refused + self._spool.unreadable

    @property
    def refusal(self) -> str:
        """Why MLflow refused the first event that it refused."""
        return self._delivery.refusal

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
        own = {} if self._spool.whose["parent"] is None else {"sweep.trial": str(number)}
        if folder is not None:
            own["sweep.output_dir"] = str(folder)
        study_id = self._spool.whose["tags"].get("sweep.study_id")
        payload = {
            "name": name,
            "params": dict(params),
            "tags": {**own, **(tags or {})},
            "folder": None if folder is None else str(folder),
            "key": uuid.uuid4().hex if study_id is None else run_key(study_id, number),
        }
        self.put(number, "begin", payload)

    def write(self, number: int, kind: str, payload: Mapping[str, Any]) -> None:
        """Takes an event of `sweep.engine.trial`: report, metrics, constraint, facts or artifact."""
        self.put(number, kind, payload)

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
        self.put(number, "leavings", {"traceback": traceback or ""})  # its own event: it may be lost alone
        self.put(number, "end", {"state": state, "reason": reason or "", "values": values})

    def put(self, number: int, kind: str, payload: Mapping[str, Any]) -> None:
        """Takes an event of any kind that `sweep.tracking.writer` knows; its payload is what JSON has."""
        with self._changed:
            # An end is later than all else: of two points at one step and time, MLflow shows the larger.
            self._time = max(time.time_ns() // 1_000_000, self._time + (kind == "end"))
            if self._ended:
                self._lost += 1
                log.warning("The %s event of trial %d came after the tracker was closed", kind, number)
                return
            try:
                self._spool.append(Event(self._time, number, kind, redacted(payload, but=_PATHS.get(kind, ()))))
            except OSError as error:
                self._lost += 1
                if not self._full:
                    log.warning("Events for MLflow cannot be kept in %s and are lost: %s", self._spool.path, error)
                self._full = True
            except (TypeError, ValueError) as error:  # a task said what JSON has no word for
                self._lost += 1
                log.warning("The %s event of trial %d cannot be kept and is lost: %s", kind, number, error)
            self._changed.notify_all()

    def flush(self, timeout: float = CLOSE_SECONDS, patient: bool = True) -> bool:
        """Waits until everything so far is written; returns whether it is.

        Args:
            timeout: for how long, in seconds.
            patient: whether also while the store is away.
        """
        with self._changed:
            before, self._hurry = self._failures, True
            self._changed.notify_all()

            def done() -> bool:
                return not self.waiting or (not patient and self.away is not None and self._failures > before)

            self._changed.wait_for(done, min(timeout, threading.TIMEOUT_MAX))
            return not self.waiting

    def close(self, timeout: float = CLOSE_SECONDS) -> int:
        """Writes what is left, and ends the thread; returns how many events are not in MLflow.

        Those that wait are kept on disk, so this does not wait long for a store that is away.

        Args:
            timeout: how long a store that answers may take, in seconds.
        """
        with self._changed:
            now = time.monotonic()
            self._deadline, self._give_up = now + timeout, now + min(timeout, AWAY_SECONDS)
            self._changed.notify_all()
            while not self._ended and self._rest() > -1:  # a second for what is being written
                self._changed.wait(0.1)
            missing = self.lost + self.waiting
        if self.lost:
            log.warning("%d events are not in MLflow at %s", self.lost, self.address)
        if self.waiting:
            log.info("%d events wait in %s for MLflow at %s", self.waiting, self._spool.path, self.address)
        return missing

    def _rest(self) -> float:
        """How many seconds a tracker that is being closed has left."""
        assert self._deadline is not None
        return (self._give_up if self.away else self._deadline) - time.monotonic()

    def _work(self) -> None:
        delay = 0.0
        while self._next(delay):
            began = time.monotonic()
            done = self._delivery.deliver()
            with self._changed:
                if done:
                    self._delivery.settle()
                else:
                    self._failures += 1
                self._changed.notify_all()
            self._gather = min(max((time.monotonic() - began) / SHARE, GATHER_SECONDS[0]), GATHER_SECONDS[1])
            delay = min(2 * delay, _BACK_OFF[1]) if self.away and delay else 0.0 if done else _BACK_OFF[0]
        with self._changed:
            self._ended = True
            self._spool.close()
            self._changed.notify_all()

    def _next(self, delay: float) -> bool:
        """Waits `delay` seconds, and for events; False once the tracker is closed, and done or out of time."""
        with self._changed:
            if delay and self._closing():
                self._changed.wait_for(lambda: False, max(0.0, min(delay, self._rest())))
            elif delay:
                self._changed.wait_for(lambda: self._closing() or self._hurry, delay)
            else:
                self._changed.wait_for(lambda: self._closing() or self.waiting > 0)
                self._changed.wait_for(lambda: self._closing() or self._hurry, self._gather)
            self._hurry = False
            return not self._closing() or (self.waiting > 0 and self._rest() > 0)

    def _closing(self) -> bool:
        return self._deadline is not None


def new_spool(
    folder: str | Path, store: Store, parent: str | None = None, tags: Mapping[str, str] | None = None
) -> Spool:
    """A spool for a tracker, in which nothing is yet.

    Args:
        folder: where its file is to be.
        store: where its events go; the password, if there is one, is not kept.
        parent: id of the run that all runs of the tracker are nested under, or None.
        tags: tags of every run.
    """
    where = {"uri": bare(store.uri), "experiment": store.experiment, "experiment_id": store.experiment_id}
    return Spool(folder, {"store": where, "parent": parent, "tags": {**source_tags(), **(tags or {})}})


def take_over(path: Path) -> Tracker | None:
    """A tracker that writes what a process that is gone has left; None if it is not gone, or left nothing.

    Args:
        path: the file of its spool.
    """
    spool = Spool.take(path)
    if spool is None:
        return None
    return Tracker(Store(**spool.whose["store"]), spool)


def run_key(study_id: str, number: int) -> str:
    """The tag `sweep.key` by which the run of a trial is found, whoever made it."""
    return f"{study_id}/{number}"
