"""What the sweeper does while agents run: beats, finds orphans, adds retries, keeps the budget, hears Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import optuna
from hydra.errors import CompactHydraException
from omegaconf import DictConfig
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.engine import budget
from sweep.engine import study as studies
from sweep.engine.errors import UserError
from sweep.engine.lease import Lease, Watch, is_local
from sweep.engine.outcome import orphaned
from sweep.engine.storage import Unwritable

log = logging.getLogger(__name__)

STOP = "stop"
"""Study attribute: the request to start no further trial."""

NOW = "now"
"""The value of that request that ends running trials too, wherever they are."""

SWEEPER = "sweeper"
"""Study attribute: the lease of the sweeper that runs it."""

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
        settings: `hydra.sweeper`.

    Attributes:
        looks: called after every look at the study, to show how it is; one that fails is logged and not called again.
        add_more: called at every look, to add what the study is to run next.
        interrupted: whether Ctrl-C was pressed.
        spent: why the study starts no further trial although some are left, if its time or patience is spent.
        hopeless: why the study was given up, if it was.
        taken_over: whether another sweeper has the study now, which is an error that leaving the block raises.

    Raises:
        UserError: on entry, if another sweeper runs this study.
    """

    def __init__(self, study: optuna.Study, storage: BaseStorage, settings: DictConfig) -> None:
        self._study, self._storage, self._settings = study, storage, settings
        self._lease = Lease(study, SWEEPER)
        self._watch = Watch()
        self._unnamed: dict[int, float] = {}
        self._at_once = threading.Event()
        self._looking = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._failure: Exception | None = None
        self._handler: Any = None
        self.looks: list[Callable[[], None]] = []
        self.add_more: Callable[[], object] = _nothing
        self.interrupted = threading.Event()
        self.spent: str | None = None
        self.hopeless: str | None = None
        self.taken_over = False

    @property
    def token(self) -> str:
        """What tells this sweeper from every other."""
        return self._lease.token

    @property
    def failed(self) -> bool:
        """Whether the watch itself has ended, because of an error that leaving the block raises."""
        return self._failure is not None

    def wait_for_agents(self, seconds: float = math.inf) -> None:
        """Waits until no agent of this study is left, those of this process apart, for at most so long."""
        deadline = time.monotonic() + seconds
        while any(map(self._elsewhere, self._study.user_attrs.items())) and not self.failed:
            if time.monotonic() > deadline:
                break
            time.sleep(WATCH_SECONDS)

    def _elsewhere(self, attribute: tuple[str, Any]) -> bool:
        key, lease = attribute
        if not key.startswith(agent_key("")) or not self._watch.alive(lease):
            return False
        return not (is_local(lease) and lease["pid"] == os.getpid())

    def __enter__(self) -> Supervisor:
        record = self._study.user_attrs.get(SWEEPER)
        while record is not None and self._watch.alive(record):
            if is_local(record):
                who = f"process {record['pid']} on {record['host']}"
                raise UserError("the study", f"{self._study.study_name!r}, which {who} runs", "one sweeper at a time")
            time.sleep(WATCH_SECONDS)  # until its beat has stood still for long enough, or moves
            before, record = record, self._study.user_attrs.get(SWEEPER)
            if record is not None and record["beat"] != before["beat"]:
                raise UserError(
                    "the study", f"{self._study.study_name!r}, which runs on {record['host']}", "one sweeper at a time"
                )
        self._lease.beat()
        self._study.set_user_attr(STOP, False)
        self.look_after()
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._interrupt)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        self._done.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        self._lease.release()
        self._show()

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self.interrupted.is_set():
            self._at_once.set()
            raise KeyboardInterrupt
        self.interrupted.set()  # the thread writes it down: this handler may hold the journal's lock

    def _run(self) -> None:
        try:
            while not self._done.wait(WATCH_SECONDS):
                asked = self._study.user_attrs.get(STOP)
                if self._at_once.is_set() and asked != NOW:
                    self._study.set_user_attr(STOP, NOW)  # for agents that no Ctrl-C reaches
                elif self.interrupted.is_set() and not asked:
                    self._study.set_user_attr(STOP, True)
                    log.warning("Stopping after the running trials; press Ctrl-C again to stop them now")
                if self._lease.lost():
                    self.taken_over = True
                    raise CompactHydraException("Another sweeper has taken this study over; this one stops")
                self._lease.beat()
                self.look_after()
                self._show()
        except Exception as error:
            self._failure = error
            with contextlib.suppress(Exception):  # what failed may be the storage itself
                if self._lease.lost():  # to stop the study would stop the other sweeper's agents
                    return
                self._study.set_user_attr(STOP, True)
                self._lease.release()  # which its agents take as the request to stop too

    def look_after(self) -> None:
        """Closes orphans, adds retries and more, and stops the study if its time, patience or failures are spent."""
        with self._looking:
            for orphan in self._orphans():
                with contextlib.suppress(UpdateFinishedTrialError):
                    self._storage.set_trial_user_attr(orphan._trial_id, studies.ORPHANED, True)
                if studies.close(self._study, self._storage, orphan.number, orphaned()):
                    log.warning("Trial %d: its agent is gone", orphan.number)
            for failed in studies.retries(self._study, self._settings.max_retries):
                studies.retry(self._study, failed)
            self.add_more()
            self._keep_budget()

    def _show(self) -> None:
        for look in list(self.looks):
            try:
                look()
            except (StorageInternalError, Unwritable):  # not what is shown has failed, but the study itself
                raise
            except Exception:
                self.looks.remove(look)
                name = self._study.study_name
                log.exception("A part of what shows how study %s goes has failed, and is left out from now on", name)

    def _keep_budget(self) -> None:
        if self.spent or self.hopeless:
            return
        settings = self._settings
        self.hopeless = budget.hopeless(self._study, settings.max_failure_rate)
        if studies.waiting(self._study):
            self.spent = budget.spent(self._study, settings.timeout, settings.patience)
        if reason := self.hopeless or self.spent:
            log.warning("No further trial is begun. %s", reason)
            self._study.set_user_attr(STOP, True)

    def _orphans(self) -> list[FrozenTrial]:
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        attributes = self._study.user_attrs  # read after the trials: an agent signs before it claims
        orphans = []
        unnamed = {trial.number for trial in running if trial.user_attrs.get("agent") is None}
        self._unnamed = {number: since for number, since in self._unnamed.items() if number in unnamed}
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


def _nothing() -> None:
    """What is done at a look before there is anything to do."""
