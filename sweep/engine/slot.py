"""A slot: one trial process after another, each for one trial after another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import optuna

from sweep.engine.limits import Limits
from sweep.engine.outcome import Outcome
from sweep.engine.placement import environment
from sweep.engine.process import Job, TrialProcess

REST_SECONDS = 2.0
"""How long a slot waits that was offered only what other slots are at."""


class Slot:
    """A place on an agent's machine where trials run, one at a time.

    Args:
        index: the slot's number.
        cores: the cores that its trials may use.
        setup: what every trial process is given at its start; see `sweep.engine.process.pack`.
        limits: what a trial may take.

    Attributes:
        trial: the trial that runs, or None.
        metrics: the last value of each of the trial's metrics.
        facts: what the trial said of itself.
    """

    def __init__(self, index: int, cores: frozenset[int], setup: bytes, limits: Limits) -> None:
        self.index, self.cores = index, cores
        self._setup, self._limits = setup, limits
        self._process: TrialProcess | None = None
        self._served = 0
        self._began = 0.0
        self._rests_until = 0.0
        self.trial: optuna.Trial | None = None
        self.metrics: dict[str, float] = {}
        self.facts: dict[str, Any] = {}

    @property
    def connection(self) -> Connection | None:
        """The pipe to the process of the trial that runs, if one does."""
        return self._process.connection if self._process is not None and self.trial is not None else None

    @property
    def pid(self) -> int:
        """The id of the slot's process, which there is once it has run a trial."""
        assert self._process is not None
        return self._process.pid

    @property
    def free(self) -> bool:
        """Whether a trial may begin here."""
        return self.trial is None and time.monotonic() >= self._rests_until

    def rest(self) -> None:
        """Drops the trial, and takes no other for a while."""
        self.trial, self._rests_until = None, time.monotonic() + REST_SECONDS

    def take(self, trial: optuna.Trial) -> None:
        """Begins with a trial, which has no process yet."""
        self.trial, self.metrics, self.facts = trial, {}, {}

    def run(self, job: Job) -> None:
        """Hands the trial to a process.

        Raises:
            OSError: if no process can be started, or if the one there is has died while it was idle.
        """
        if self._process is not None and self._limits.worn(self._served, self._process.pid):
            self.end()
        if self._process is None:
            variables: Mapping[str, str] = environment(self.index, len(self.cores))
            self._process, self._served = TrialProcess(self._setup, variables, self.cores), 0
        self._began = time.monotonic()
        self._served += 1
        self._process.run(job)

    def receive(self) -> tuple[str, Any]:
        """The next event of the trial. Raises EOFError or OSError if its process is gone."""
        assert self._process is not None
        kind, payload = self._process.connection.recv()
        return kind, payload

    def answer(self, stop: bool) -> None:
        """Answers a report. Raises OSError if the process is gone."""
        assert self._process is not None
        self._process.answer(stop)

    def over_limit(self) -> Outcome | None:
        """What becomes of the trial, if it is beyond a limit."""
        if self._process is None or self.trial is None:
            return None
        return self._limits.broken(time.monotonic() - self._began, self._process.pid, self._served == 1)

    def end(self) -> int | None:
        """Lets the process go, and returns its exit status."""
        process, self._process = self._process, None
        return process.end() if process is not None else None

    def kill(self) -> None:
        """Ends the process at once, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
