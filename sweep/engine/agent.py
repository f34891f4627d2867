"""One agent per machine: it keeps its slots busy with trials, and alone writes what becomes of them.

For every free slot: claim a trial, suggest its params, compose its configuration, hand it to the slot's process. The
agent then answers reports (go on, or stop) and passes events to the tracker, until the process sends an outcome, dies,
or is beyond a limit. No slot ever waits for another.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import optuna
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial

from sweep.engine import build, seeds
from sweep.engine import outcome as outcomes
from sweep.engine import study as studies
from sweep.engine.address import withhold
from sweep.engine.compose import compose
from sweep.engine.errors import UserError
from sweep.engine.lease import Lease, Watch
from sweep.engine.limits import Limits
from sweep.engine.made_with import MADE_WITH, made_with
from sweep.engine.mirror import Mirror
from sweep.engine.outcome import Outcome
from sweep.engine.outputs import redacted_outputs
from sweep.engine.placement import share_out
from sweep.engine.plan import Plan
from sweep.engine.process import Job, pack
from sweep.engine.proposal import Proposal, propose
from sweep.engine.redact import redacted
from sweep.engine.slot import Slot
from sweep.engine.storage import Unwritable, open_storage
from sweep.engine.supervisor import NOW, STOP, SWEEPER, agent_key
from sweep.engine.texts import change_texts

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often an agent looks for new work, for a request to stop, at its trials' limits, and beats."""


class Agent:
    """Runs the trials of a study on this machine until none is left."""

    def __init__(self, plan: Plan, index: int) -> None:
        self._plan, settings = plan, plan.settings
        self._storage = open_storage(plan.storage, plan.home)
        known = studies.load_study(self._storage, plan.study)
        seed = seeds.sampler_seed(known, index)
        sampler = build.sampler(settings.sampler, seed, plan.space, study_seed=known.user_attrs["seed"])
        self._study = studies.load_study(self._storage, plan.study, sampler, build.pruner(settings.pruner))
        self._made_with = made_with(plan.commit)
        self._lease = Lease.named(self._study, agent_key)
        self._watch = Watch()
        limits = Limits(settings.trial_timeout, settings.trial_memory, settings.recycle_after, settings.recycle_memory)
        setup = pack(plan.task, plan.hydra_context)
        cores = share_out(sorted(os.sched_getaffinity(0)), settings.n_jobs)
        self._slots = [Slot(i, cores[i], setup, limits) for i in range(settings.n_jobs)]
        self._mirror = Mirror(plan)

    def run(self) -> None:
        """Fills the slots until the study has nothing left to do, or is told to stop."""
        try:
            while True:
                self._lease.beat()
                if self._study.user_attrs.get(STOP) == NOW:
                    self._end_trials()
                    break
                stopping = self._stopping()
                for slot in self._slots:
                    if slot.trial is not None:
                        self._fenced(self._check_limits, slot)
                    if slot.free and not stopping:
                        self._fenced(self._start_next, slot)
                self._mirror.look()
                busy = {slot.connection: slot for slot in self._slots if slot.connection is not None}
                if not busy and (stopping or not studies.outstanding(self._study, self._plan.settings.max_retries)):
                    break
                for connection in wait(list(busy), POLL_SECONDS):
                    self._fenced(self._receive, busy[connection])  # type: ignore[index]
        except BaseException as error:  # Ctrl-C, a full disk, or a defect of ours: nothing may be left RUNNING
            self._end_trials(written=not isinstance(error, Unwritable | StorageInternalError))
            raise
        finally:
            for slot in self._slots:
                slot.end()
            self._mirror.close()
            with contextlib.suppress(Unwritable, StorageInternalError):
                self._lease.release()

    def _end_trials(self, written: bool = True) -> None:
        """Ends what runs, to be run again; what is not written, whoever resumes the study finds as orphans."""
        for slot in self._slots:
            slot.kill()
            if slot.trial is not None and written:
                self._fenced(lambda stopped: self._finish(stopped, outcomes.stopped()), slot)

    def _stopping(self) -> bool:
        """Whether no further trial may begin: the study was told to stop, or its sweeper is gone."""
        attributes = self._study.user_attrs
        sweeper = attributes.get(SWEEPER)
        mine = sweeper is not None and sweeper["token"] == self._plan.sweeper and self._watch.alive(sweeper)
        return bool(attributes.get(STOP)) or not mine

    def _fenced(self, step: Callable[[Slot], None], slot: Slot) -> None:
        """Takes a step with a slot; if someone else has closed its trial, as an orphan, the slot drops it."""
        try:
            step(slot)
        except UpdateFinishedTrialError:
            trial, slot.trial = slot.trial, None
            assert trial is not None
            log.warning("Trial %d was closed by someone else before it ended here", trial.number)
            slot.kill()
            self._mirror.end(trial.number, outcomes.orphaned())

    def _start_next(self, slot: Slot) -> None:
        claimed = studies.claim(self._study, self._storage)
        if claimed is None:
            return
        slot.take(optuna.Trial(self._study, claimed._trial_id))
        assert slot.trial is not None
        slot.trial.set_user_attr("agent", self._lease.token)
        slot.trial.set_user_attr("slot", slot.index)
        try:
            proposal = propose(self._study, self._storage, claimed, self._plan.space, self._repeats(claimed))
            if proposal.running:
                studies.give_back(self._storage, claimed)
                slot.rest()
                return
            slot.trial = proposal.trial
            overrides = self._overrides(slot, proposal)
            config = self._compose(claimed.number, overrides)
        except (HydraException, OmegaConfBaseException, UserError, ValueError) as error:
            self._end_unbegun(slot, outcomes.raised(error))
            return
        if proposal.violated is not None:
            self._end_unbegun(slot, outcomes.infeasible(proposal.violated))
        elif proposal.known is not None:
            self._repeat(slot, proposal.known)
        else:
            self._begin(slot, claimed, overrides, config)

    def _begin(self, slot: Slot, claimed: FrozenTrial, overrides: list[str], config: DictConfig) -> None:
        """Hands a trial that has its configuration to the slot's process."""
        assert slot.trial is not None
        folder = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).absolute()
        slot.trial.set_user_attr("overrides", redacted(overrides))
        slot.trial.set_user_attr("output_dir", str(folder))
        slot.trial.set_user_attr(MADE_WITH, self._made_with)
        self._mirror.begin(slot.trial, config, overrides, folder)
        earlier = studies.earlier_folders(self._study, claimed)
        console, objectives = str(folder / "console.log"), len(self._study.directions)
        job = Job(claimed.number, config, objectives, console, tuple(earlier), self._plan.final)
        try:
            slot.run(job)
        except OSError as error:
            if slot.connection is None:
                self._finish(slot, outcomes.not_started(error))
            else:  # it died while it was idle: what it was to do can be done again
                self._lost(slot)
        else:
            self._mirror.watch(slot.trial, slot.pid)

    def _repeat(self, slot: Slot, known: FrozenTrial) -> None:
        """Tells a trial the value that its params were found to have."""
        assert slot.trial is not None
        slot.trial.set_user_attr(studies.REPEAT_OF, known.number)
        slot.metrics, slot.facts = known.user_attrs.get("metrics", {}), known.user_attrs.get("facts", {})
        for key, value in known.constraints.items():
            slot.trial.set_constraint(key, value)
        log.info("Trial %d has the params of trial %d, which is not run again", slot.trial.number, known.number)
        self._end_unbegun(slot, outcomes.repeated(known.number, tuple(known.values)))

    def _end_unbegun(self, slot: Slot, outcome: Outcome) -> None:
        """Closes a trial that no process ran."""
        assert slot.trial is not None
        self._mirror.begin_unrun(slot.trial)
        self._finish(slot, outcome)

    def _repeats(self, claimed: FrozenTrial) -> bool:
        """Whether a trial may have params that were scored before: a retry has its trial's, a configuration none."""
        unlike = {studies.RETRY_OF, studies.CONFIGURATION} & set(claimed.user_attrs)
        return self._plan.settings.repeat or bool(unlike)

    def _overrides(self, slot: Slot, proposal: Proposal) -> list[str]:
        settings, trial = self._plan.settings, proposal.trial
        seed = seeds.trial_seed(self._study, self._study.get_trials(deepcopy=False)[trial.number])
        threads = len(slot.cores)
        trial.set_user_attr("seed", seed)
        trial.set_user_attr("threads", threads)
        overrides = list(proposal.overrides)
        if settings.seed_key:
            overrides.append(f"{settings.seed_key}={seed}")
        if settings.threads_key and not any(o.startswith(f"{settings.threads_key}=") for o in self._plan.space.fixed):
            overrides.append(f"{settings.threads_key}={threads}")
        return overrides

    def _compose(self, number: int, overrides: list[str]) -> DictConfig:
        config = compose(self._plan.hydra_context.config_loader, self._plan.config, overrides)
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
            config.hydra.sweep.dir = self._plan.folder
        change_texts(config, withhold)
        return config

    def _receive(self, slot: Slot) -> None:
        assert slot.trial is not None
        try:
            kind, payload = slot.receive()
        except (EOFError, OSError):
            self._lost(slot)
            return
        if kind == "outcome":
            self._finish(slot, payload)
            return
        stop = kind == "report" and self._report(slot.trial, payload["value"], payload["step"])
        if kind == "metrics":
            slot.metrics.update(payload["values"])
        elif kind == "facts":
            slot.facts.update(payload)
        elif kind == "constraint":
            slot.trial.set_constraint(payload["name"], payload["value"])
        elif kind == "model":  # whether it is logged, the sweeper knows, who sees all trials
            slot.trial.set_user_attr(studies.MODEL, payload["path"])
            return
        self._mirror.write(slot.trial.number, kind, payload)
        if kind == "report":
            try:
                slot.answer(stop)
            except OSError:
                self._lost(slot)

    def _report(self, trial: optuna.Trial, value: float, step: int) -> bool:
        if len(self._study.directions) > 1:
            return False  # Optuna prunes on one objective only
        trial.report(value, step)
        return bool(trial.should_prune())

    def _check_limits(self, slot: Slot) -> None:
        outcome = slot.over_limit()
        if outcome is not None:
            slot.kill()
            self._finish(slot, outcome)

    def _lost(self, slot: Slot) -> None:
        """The slot's process is gone in the middle of its trial."""
        self._finish(slot, outcomes.died(slot.end()))

    def _finish(self, slot: Slot, outcome: Outcome) -> None:
        """Tells the study, then the tracker; the slot is free."""
        trial = slot.trial
        assert trial is not None
        trial.set_user_attr("metrics", {k: v for k, v in slot.metrics.items() if math.isfinite(v)})
        trial.set_user_attr("facts", redacted(slot.facts))
        if not studies.close(self._study, self._storage, trial.number, outcome):
            raise UpdateFinishedTrialError
        slot.trial = None
        if outcome.state == "FAIL":
            log.warning("Trial %d failed: %s", trial.number, outcome.traceback or outcome.reason)
        self._mirror.end(trial.number, outcome)


@redacted_outputs()
def run_agent(plan: Plan, _config: Any) -> None:
    """The task that the Hydra launcher is given: an agent, as a Hydra job of its own."""
    from hydra.core.hydra_config import HydraConfig

    setup_globals()
    Agent(plan, int(HydraConfig.get().job.num)).run()
