"""One agent per machine: it keeps its slots busy with trials, and alone writes what becomes of them.

For every free slot: claim a trial, suggest its params, compose its configuration, hand it to the slot's process. The
agent then answers reports (go on, or stop) and passes events to the tracker, until the process sends an outcome or
dies. No slot ever waits for another.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from optuna.trial import FrozenTrial

from sweep.engine import outcome as outcomes
from sweep.engine import study as studies
from sweep.engine.lease import Lease
from sweep.engine.outcome import Outcome, run_state
from sweep.engine.process import Job, TrialProcess, pack
from sweep.engine.space import SearchSpace
from sweep.engine.storage import open_storage
from sweep.engine.supervisor import STOP, agent_key
from sweep.tracking.params import run_params

if TYPE_CHECKING:
    from sweep.tracking.runs import StudyRun

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often an agent looks for new work, for a request to stop, and beats."""


@dataclass(frozen=True)
class Plan:
    """What an agent needs to know of its study; travels to the agent's machine.

    Attributes:
        study: the study's name.
        storage: its storage's URL, or None for the journal in `folder`.
        folder: the study's folder.
        task: the user's task function.
        hydra_context: Hydra's, of the sweep.
        config: the master configuration of the sweep.
        space: what varies.
        settings: `hydra.sweeper`.
        parent: the study's MLflow run, or None if nothing is tracked.
    """

    study: str
    storage: str | None
    folder: str
    task: TaskFunction
    hydra_context: HydraContext
    config: DictConfig
    space: SearchSpace
    settings: DictConfig
    parent: StudyRun | None


@dataclass
class _Slot:
    """One trial process and the trial that it runs."""

    index: int
    process: TrialProcess | None = None
    trial: optuna.Trial | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


class Agent:
    """Runs the trials of a study on this machine until none is left."""

    def __init__(self, plan: Plan, index: int) -> None:
        self._plan = plan
        self._storage = open_storage(plan.storage, plan.folder)
        known = studies.load_study(self._storage, plan.study)
        sampler = studies.build(plan.settings.sampler, seed=studies.sampler_seed(known, index))
        pruner = studies.build(plan.settings.pruner)
        self._study = studies.load_study(self._storage, plan.study, sampler, pruner)
        self._lease = Lease.named(self._study, agent_key)
        self._slots = [_Slot(i) for i in range(plan.settings.n_jobs)]
        self._cores = share_out(sorted(os.sched_getaffinity(0)), len(self._slots))
        self._setup = pack(plan.task, plan.hydra_context)
        self._tracker = plan.parent.tracker() if plan.parent is not None else None

    def run(self) -> None:
        """Fills the slots until the study has nothing left to do, or is told to stop."""
        try:
            while True:
                self._lease.beat()
                idle = [slot for slot in self._slots if slot.trial is None]
                stopping = bool(self._study.user_attrs.get(STOP))
                if not stopping:
                    for slot in idle:
                        self._fenced(self._start_next, slot)
                busy = {slot.process.connection: slot for slot in self._slots if slot.trial and slot.process}
                if not busy and (stopping or not studies.outstanding(self._study, self._plan.settings.max_retries)):
                    break
                for connection in wait(list(busy), POLL_SECONDS):
                    self._fenced(self._receive, busy[connection])  # type: ignore[index]
        except BaseException:  # Ctrl-C, or a defect of ours: either way nothing may be left RUNNING
            for slot in self._slots:
                if slot.trial is not None:
                    if slot.process is not None:
                        slot.process.kill()
                    self._fenced(lambda stopped: self._finish(stopped, outcomes.stopped()), slot)
            raise
        finally:
            for slot in self._slots:
                if slot.process is not None:
                    slot.process.end()
            if self._tracker is not None:
                self._tracker.close()
            self._lease.release()

    def _fenced(self, step: Callable[[_Slot], None], slot: _Slot) -> None:
        """Takes a step with a slot; if someone else has closed its trial, as an orphan, the slot drops it."""
        try:
            step(slot)
        except optuna.exceptions.UpdateFinishedTrialError:
            trial, slot.trial = slot.trial, None
            assert trial is not None
            log.warning("Trial %d was closed by someone else before it ended here", trial.number)
            if slot.process is not None:
                slot.process.kill()
                slot.process.end()
                slot.process = None
            if self._tracker is not None:
                self._tracker.end(trial.number, run_state(outcomes.orphaned()), outcomes.orphaned().reason)

    def _start_next(self, slot: _Slot) -> None:
        trial = studies.claim(self._study, self._storage)
        if trial is None:
            return
        slot.trial, slot.metrics, slot.facts = trial, {}, {}
        trial.set_user_attr("agent", self._lease.token)
        trial.set_user_attr("slot", slot.index)
        name = f"{self._plan.study} {trial.number}"
        try:
            overrides = self._overrides(slot, trial)
            config = self._compose(trial.number, overrides)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            if self._tracker is not None:
                self._tracker.begin(trial.number, name, {key: str(value) for key, value in trial.params.items()})
            self._finish(slot, outcomes.raised(error))
            return
        folder = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).absolute()
        trial.set_user_attr("overrides", overrides)
        trial.set_user_attr("output_dir", str(folder))
        if self._tracker is not None:
            tags = {"sweep.output_dir": str(folder)}
            self._tracker.begin(trial.number, name, run_params(config), tags, folder)
        earlier = studies.earlier_folders(self._study, self._frozen(trial))
        job = Job(trial.number, config, len(self._study.directions), str(folder / "console.log"), tuple(earlier))
        try:
            if slot.process is None:
                slot.process = TrialProcess(self._setup, _environment(slot.index, self._cores), self._cores[slot.index])
            slot.process.run(job)
        except OSError as error:
            if slot.process is None:
                self._finish(slot, outcomes.not_started(error))
            else:  # it died while it was idle: what it was to do can be done again
                self._lost(slot)

    def _overrides(self, slot: _Slot, trial: optuna.Trial) -> list[str]:
        overrides = self._plan.space.suggest(trial)
        settings = self._plan.settings
        seed = studies.trial_seed(self._study, self._frozen(trial))
        threads = len(self._cores[slot.index])
        trial.set_user_attr("seed", seed)
        trial.set_user_attr("threads", threads)
        if settings.seed_key:
            overrides.append(f"{settings.seed_key}={seed}")
        if settings.threads_key and not any(o.startswith(f"{settings.threads_key}=") for o in self._plan.space.fixed):
            overrides.append(f"{settings.threads_key}={threads}")
        return overrides

    def _frozen(self, trial: optuna.Trial) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[trial.number]

    def _compose(self, number: int, overrides: list[str]) -> DictConfig:
        config = self._plan.hydra_context.config_loader.load_sweep_config(self._plan.config, overrides)
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return config

    def _receive(self, slot: _Slot) -> None:
        assert slot.process is not None
        assert slot.trial is not None
        try:
            kind, payload = slot.process.connection.recv()
        except (EOFError, OSError):
            self._lost(slot)
            return
        if kind == "outcome":
            self._finish(slot, payload)
            return
        if kind == "report":
            try:
                slot.process.answer(self._report(slot.trial, payload["value"], payload["step"]))
            except OSError:
                self._lost(slot)
                return
        elif kind == "metrics":
            slot.metrics.update(payload["values"])
        elif kind == "facts":
            slot.facts.update(payload)
        if self._tracker is not None:
            self._tracker.write(slot.trial.number, kind, payload)

    def _report(self, trial: optuna.Trial, value: float, step: int) -> bool:
        if len(self._study.directions) > 1:
            return False  # Optuna prunes on one objective only
        trial.report(value, step)
        return bool(trial.should_prune())

    def _lost(self, slot: _Slot) -> None:
        """The slot's process is gone in the middle of its trial."""
        assert slot.process is not None
        exit_code = slot.process.end()
        slot.process = None
        self._finish(slot, outcomes.died(exit_code))

    def _finish(self, slot: _Slot, outcome: Outcome) -> None:
        """Tells the study, then the tracker; the slot is free."""
        trial = slot.trial
        assert trial is not None
        trial.set_user_attr("metrics", {k: v for k, v in slot.metrics.items() if math.isfinite(v)})
        trial.set_user_attr("facts", slot.facts)
        if not studies.close(self._study, self._storage, trial.number, outcome):
            raise optuna.exceptions.UpdateFinishedTrialError
        slot.trial = None
        if outcome.state == "FAIL":
            log.warning("Trial %d failed: %s", trial.number, outcome.traceback or outcome.reason)
        if self._tracker is not None:
            value = outcome.values[0] if len(outcome.values) == 1 else None
            self._tracker.end(trial.number, run_state(outcome), outcome.reason, outcome.traceback, value)


def run_agent(plan: Plan, _config: DictConfig) -> None:
    """The task that the Hydra launcher is given: an agent, as a Hydra job of its own."""
    from hydra.core.hydra_config import HydraConfig

    setup_globals()
    Agent(plan, int(HydraConfig.get().job.num)).run()


def share_out(cores: list[int], slots: int) -> list[frozenset[int]]:
    """Shares cores out among slots: each gets as many as the others, at least one, neighbours together."""
    share = max(1, len(cores) // slots)
    return [frozenset(cores[(i * share + k) % len(cores)] for k in range(share)) for i in range(slots)]


def _environment(slot: int, cores: list[frozenset[int]]) -> Mapping[str, str]:
    """The variables that keep a slot's process to its cores and its GPU; they must be set before it imports."""
    threads = str(len(cores[slot]))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = dict.fromkeys((*names, "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), threads)
    environment["TF_CPP_MIN_LOG_LEVEL"] = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")
    gpus = _gpus()
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return environment


def _gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    return [str(index) for index, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]
