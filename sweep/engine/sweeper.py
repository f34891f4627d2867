"""Hydra's Sweeper on Optuna: sets the study up, places agents with the Hydra launcher, closes up."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.errors import CompactHydraException, HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.exceptions import StorageInternalError

from sweep.engine import build, enqueue
from sweep.engine import study as studies
from sweep.engine.address import STORAGE, TRACKING, keep, withhold
from sweep.engine.baselines import Baselines
from sweep.engine.checks import check_settings
from sweep.engine.errors import UserError
from sweep.engine.explain import explain
from sweep.engine.identity import ChangedError, create_or_resume
from sweep.engine.launch import launch
from sweep.engine.outputs import redacted_outputs
from sweep.engine.parent import beside, open_run, open_store
from sweep.engine.plan import Plan
from sweep.engine.redact import redact
from sweep.engine.space import SearchSpace
from sweep.engine.storage import only_one, open_storage, remember
from sweep.engine.supervisor import STOP, Supervisor
from sweep.engine.texts import change_texts
from sweep.engine.works import Work, sibling, works
from sweep.results import summary
from sweep.results.progress import Progress

if TYPE_CHECKING:
    from sweep.tracking.runs import StudyRun

log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

STOP_SECONDS = 20.0
"""How long agents elsewhere may take to end their trials after Ctrl-C was pressed twice."""


@dataclasses.dataclass(frozen=True)
class Running:
    """A study that this sweeper has the lease of."""

    study: optuna.Study
    supervisor: Supervisor


class StudySweeper:
    """What `hydra/sweeper=optuna` does. `settings` are the keys of `sweep.engine.settings.Settings`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = OmegaConf.create(dict(settings))
        sampler = self._settings.sampler
        if self._settings.seed is None and OmegaConf.is_dict(sampler) and sampler.get("seed") is not None:
            # One seed in all agents, and whenever the study goes on, would suggest the same points again and again.
            self._settings.seed, sampler.seed = sampler.seed, None
        # From here on no address has a password in it: whoever opens one finds it in the environment.
        if self._settings.storage:
            self._settings.storage = keep(self._settings.storage, STORAGE)
        if self._settings.tracking.uri:
            self._settings.tracking.uri = keep(self._settings.tracking.uri, TRACKING)

    def setup(self, hydra_context: HydraContext, task: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra composed."""
        self._context, self._task, self._config = hydra_context, task, config
        change_texts(config, withhold)  # a callback may write it down
        self._folder = Path(str(config.hydra.sweep.dir)).absolute()
        self._name = self._settings.study_name or f"{config.hydra.job.name}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"

    def check(self, arguments: list[str]) -> list[DictConfig]:
        """Checks everything that can be checked before anything is created.

        Returns:
            The composed configurations of points of the search space that together touch every choice and both ends
            of every interval, and of every baseline.

        Raises:
            UserError: naming the key, what was received and what is allowed.
        """
        settings = self._settings
        check_settings(settings, self._name, self._config)
        space = self._space(arguments)
        if not space.parameters:
            raise UserError(
                "the search space",
                "no parameter that varies",
                "at least one, as in study=quickstart or 'model.width=range(16,257,16)'; a single run is without -m",
            )
        for key in ("seed_key", "threads_key"):
            if settings[key] in space.parameters:
                raise UserError(settings[key], "a search space", "one value: a study sets it for each trial")
        build.sampler(settings.sampler, 0, space, study_seed=0)
        build.pruner(settings.pruner)
        enqueue.points(space, settings)
        baselines = Baselines.read(settings, self._config, space.fixed)
        loader = self._context.config_loader
        try:
            points = [*space.points(), *baselines.points()]
            return [loader.load_sweep_config(self._config, point) for point in points]
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, self._config) from error
        except (ValueError, TypeError) as error:  # Hydra's own, as for a group that is given a number
            raise UserError("the configuration", str(error), "what Hydra can compose") from error

    @redacted_outputs()
    def sweep(self, arguments: list[str]) -> None:
        """Runs the study until its budget is spent, or somebody stops it; its baselines first.

        Raises:
            UserError: if what was asked for cannot be run; a study that was there is as it was.
            SystemExit: with status 130, after Ctrl-C.
        """
        self.check(arguments)
        store = open_store(self._settings)
        candidates = works(self._name, self._folder, self._space(arguments), self._settings, self._config)
        with _told(), contextlib.ExitStack() as while_it_runs:
            work, running = self._begin(candidates, while_it_runs)
            parent = open_run(store, running.study, work)
            try:
                self._run_baselines(work, running, parent)
                self._run(work, running, parent)
            except KeyboardInterrupt:  # Ctrl-C twice: the agents have ended their trials
                running.supervisor.interrupted.set()
            except Exception:
                summary.close_run(running.study, parent, "FAILED")
                raise
        supervisor, settings = running.supervisor, work.settings
        summary.close(running.study, work.home, parent, settings.export, settings.max_retries, supervisor)
        if supervisor.interrupted.is_set():
            raise SystemExit(INTERRUPTED)

    def _begin(self, candidates: Iterator[Work], while_it_runs: contextlib.ExitStack) -> tuple[Work, Running]:
        """Makes or resumes the first of these studies whose configuration is this one, and takes its lease."""
        work = next(candidates)
        storage = open_storage(self._settings.storage, work.home)
        try:
            with only_one(work.home):
                go_on = self._settings.if_changed == "go_on"
                study = create_or_resume(storage, work.name, work.identity, self._settings.seed, go_on)
                remember(work.home, self._settings.storage)
                supervisor = while_it_runs.enter_context(Supervisor(study, storage, work.settings))
        except ChangedError:
            if (further := next(candidates, None)) is None:
                raise
            return self._begin(itertools.chain([further], candidates), while_it_runs)
        return work, Running(study, supervisor)

    def _run(self, work: Work, running: Running, parent: StudyRun | None) -> None:
        """Runs what a study has left to run."""
        study, supervisor, settings = running.study, running.supervisor, work.settings
        added = studies.top_up(study, work.n_trials, work.points)
        for key, value in {"objective": settings.objective, "slots": settings.n_jobs}.items():
            study.set_user_attr(key, value)
        log.info("Study %s: %d trials, %d of them new", work.name, study.user_attrs[studies.N_TRIALS], added)
        with Progress(study) as display:
            supervisor.refresh = display.refresh
            supervisor.look_after()
            while studies.outstanding(study, settings.max_retries) and not study.user_attrs.get(STOP):
                ended = _ended(study)
                try:
                    launch(self._plan(work, supervisor, parent))
                except KeyboardInterrupt:
                    supervisor.wait_for_agents(STOP_SECONDS)
                    raise
                except Exception as error:
                    supervisor.wait_for_agents()  # those that are left go on with the study
                    if _ended(study) == ended or supervisor.failed:
                        raise
                    log.warning("An agent is gone: %s", str(error).splitlines()[0] if str(error) else repr(error))
                supervisor.look_after()
                if _ended(study) == ended:
                    break

    def _run_baselines(self, work: Work, running: Running, parent: StudyRun | None) -> None:
        """Runs the study's baselines in their sibling study, whose runs are under the same one."""
        theirs = sibling(work, self._config)
        if theirs is None:
            return
        with contextlib.ExitStack() as while_they_run:
            _, other = self._begin(iter([theirs]), while_they_run)
            own = beside(parent, other.study)
            try:
                self._run(theirs, other, own)
            finally:
                if other.supervisor.interrupted.is_set():
                    running.supervisor.interrupted.set()
                    running.study.set_user_attr(STOP, True)
        summary.close_baselines(other.study, own)

    def _space(self, arguments: list[str]) -> SearchSpace:
        arguments = list(map(withhold, arguments))
        return SearchSpace.read(arguments, self._settings, self._config, self._context.config_loader)

    def _plan(self, work: Work, supervisor: Supervisor, parent: StudyRun | None) -> Plan:
        return Plan(
            study=work.name,
            storage=work.settings.storage,
            home=str(work.home),
            folder=str(work.folder),
            sweeper=supervisor.token,
            task=self._task,
            hydra_context=self._context,
            config=self._config,
            space=work.space,
            settings=work.settings,
            parent=parent,
        )


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Tells the user of a database that has gone away, instead of raising Optuna's error."""
    try:
        yield
    except StorageInternalError as error:
        reason = redact(str(error.__cause__ or error).splitlines()[0])
        raise CompactHydraException(
            f"The study's database does not answer ({reason}). "
            "Nothing that was in it is lost: when it is there again, the same command goes on"
        ) from error


def _ended(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
