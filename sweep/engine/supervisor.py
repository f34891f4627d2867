"""What the sweeper does while agents run: beats, finds orphans, adds retries, shows progress, hears Ctrl-C."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import optuna
from hydra.errors import CompactHydraException
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.engine import study as studies
from sweep.engine.errors import UserError
from sweep.engine.lease import Lease, Watch, is_local
from sweep.engine.outcome import orphaned

log = logging.getLogger(__name__)

STOP = "stop"
"""Study attribute: the request to start no further trial."""

WATCH_SECONDS = 1.0
"""How often the sweeper looks after the study."""

CLAIM_SECONDS = 10.0
"""How long a claimed trial may be without the name of its agent."""


def agent_key(token: str) -> str:
    """The study attribute that holds an agent's lease."""
    return f"agent:{token}"


class Supervisor:
    """Looks after a study from a thread of its own, for the length of a `with` block.

    Args:
        study: the study; the thread uses it, so it should not be the agents' object.
        storage: its storage.
        max_retries: how often a trial may be run again.
        refresh: called after every look, to show how the study is.

    Attributes:
        interrupted: whether Ctrl-C was pressed.

    Raises:
        UserError: on entry, if another sweeper runs this study.
    """

    def __init__(
        self, study: optuna.Study, storage: BaseStorage, max_retries: int, refresh: Callable[[], None]
    ) -> None:
        self._study, self._storage, self._max_retries, self._refresh = study, storage, max_retries, refresh
        self._lease = Lease(study, "sweeper")
        self._watch = Watch()
        self._unnamed: dict[int, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._failure: Exception | None = None
        self._handler: Any = None
        self.interrupted = threading.Event()

    def __enter__(self) -> Supervisor:
        record = self._study.user_attrs.get("sweeper")
        while record is not None and self._watch.alive(record):
            if is_local(record):
                who = f"process {record['pid']} on {record['host']}"
                raise UserError("the study", f"{self._study.study_name!r}, which {who} runs", "one sweeper at a time")
            time.sleep(WATCH_SECONDS)  # until its beat has stood still for long enough, or moves
            before, record = record, self._study.user_attrs.get("sweeper")
            if record is not None and record["beat"] != before["beat"]:
                raise UserError(
                    "the study", f"{self._study.study_name!r}, which runs on {record['host']}", "one sweeper at a time"
                )
        self._lease.beat()
        self._study.set_user_attr(STOP, False)
        self._look_after()
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._interrupt)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        self._done.set()
        self._thread.join()
        self._lease.release()
        self._refresh()
        if self._failure is not None:
            raise self._failure

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self.interrupted.is_set():
            raise KeyboardInterrupt
        self.interrupted.set()  # the thread writes it down: this handler may hold the journal's lock

    def _run(self) -> None:
        try:
            while not self._done.wait(WATCH_SECONDS):
                if self.interrupted.is_set() and not self._study.user_attrs.get(STOP):
                    log.warning("Stopping after the running trials; press Ctrl-C again to stop them now")
                    self._study.set_user_attr(STOP, True)
                if self._lease.lost():
                    raise CompactHydraException("Another sweeper has taken this study over; this one stops")
                self._lease.beat()
                self._look_after()
                self._refresh()
        except Exception as error:
            self._failure = error
            if not self._lease.lost():  # else that would stop the other sweeper's agents
                self._study.set_user_attr(STOP, True)

    def _look_after(self) -> None:
        for orphan in self._orphans():
            if studies.close(self._study, self._storage, orphan.number, orphaned()):
                log.warning("Trial %d: its agent is gone", orphan.number)
        for failed in studies.retries(self._study, self._max_retries):
            studies.retry(self._study, failed)

    def _orphans(self) -> list[FrozenTrial]:
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        attributes = self._study.user_attrs  # read after the trials: an agent signs before it claims
        orphans = []
        for trial in running:
            token = trial.user_attrs.get("agent")
            if token is None:  # its agent may have died before it could sign
                since = self._unnamed.setdefault(trial.number, time.monotonic())
                orphan = time.monotonic() - since > CLAIM_SECONDS
            else:
                orphan = not self._watch.alive(attributes.get(agent_key(token)))
            if orphan:
                orphans.append(trial)
        return orphans
