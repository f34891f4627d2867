"""Hydra's Sweeper on Optuna: sets the study up, places agents with the Hydra launcher, closes up."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.errors import CompactHydraException, HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.exceptions import StorageInternalError

from sweep.engine import baselines, build, enqueue, roles
from sweep.engine import study as studies
from sweep.engine.address import STORAGE, TRACKING, keep, withhold
from sweep.engine.checks import check_settings, log_model
from sweep.engine.command import COMMAND, Command
from sweep.engine.errors import UserError
from sweep.engine.explain import explain
from sweep.engine.identity import ChangedError, create_or_resume
from sweep.engine.launch import launch
from sweep.engine.outcome import stopped
from sweep.engine.outputs import redacted_outputs
from sweep.engine.parent import beside, known_run, open_page, open_store
from sweep.engine.plan import Plan
from sweep.engine.redact import redact
from sweep.engine.space import SearchSpace
from sweep.engine.storage import only_one, open_storage, remember
from sweep.engine.supervisor import STOP, Supervisor
from sweep.engine.texts import change_texts
from sweep.engine.works import Work, check_no_sibling, sibling, works
from sweep.results import summary
from sweep.results.curves import Curves
from sweep.results.models import ModelLogger, model_logger
from sweep.results.progress import Progress
from sweep.results.reconcile import reconcile
from sweep.results.story import Story
from sweep.tracking.source import Source, source_of

if TYPE_CHECKING:
    from sweep.tracking.page import StudyPage
    from sweep.tracking.runs import StudyRun

log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

SEEDS = 2**30
"""From where on what is composed to be checked is given seeds: which nobody types."""

STOP_SECONDS = 20.0
"""How long agents elsewhere may take to end their trials after Ctrl-C was pressed twice."""

More = Callable[[optuna.Study], Sequence[Mapping[str, Any]]]
"""All that a sibling study is to run, as far as that can be said from what it has come to: see `CONFIGURATION`."""


@dataclasses.dataclass(frozen=True)
class Running:
    """A study that this sweeper has the lease of."""

    study: optuna.Study
    supervisor: Supervisor


@dataclasses.dataclass(frozen=True)
class Composed:
    """Composed configurations of what a study will run.

    Attributes:
        points: of points of the search space that together touch every choice and both ends of every interval.
        baselines: of its baselines, by name.
    """

    points: list[DictConfig]
    baselines: dict[str, DictConfig]


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

    def setup(
        self, hydra_context: HydraContext, task: TaskFunction, config: DictConfig, command: Command | None = None
    ) -> None:
        """Takes what Hydra composed, of this process's command unless it is another."""
        self._context, self._task, self._config = hydra_context, task, config
        change_texts(config, withhold)  # a callback may write it down
        self._folder = Path(str(config.hydra.sweep.dir)).absolute()
        self._command = command or Command.this()
        self._name = self._settings.study_name or f"{config.hydra.job.name}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"

    def check(self, arguments: list[str]) -> Composed:
        """Checks everything that can be checked before anything is created; returns what it composed for that.

        Raises:
            UserError: naming the key, what was received and what is allowed.
        """
        settings = self._settings
        check_settings(settings, self._name, self._config)
        check_no_sibling("hydra.sweeper.study_name", self._name)
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
        beside_it = baselines.read(settings, self._config, space.fixed)
        loader = self._context.config_loader
        roles.read(settings, space, self._config, loader)
        # Each has a seed of its own, as trials have: what follows the seed moves. The first keeps what was typed.
        others = ([f"{settings.seed_key}={seed}"] if settings.seed_key else [] for seed in itertools.count(SEEDS))
        seeded: Iterator[list[str]] = itertools.chain([[]], others)
        try:
            return Composed(
                [loader.load_sweep_config(self._config, [*point, *next(seeded)]) for point in space.points()],
                {
                    name: loader.load_sweep_config(self._config, [*lines, *next(seeded)])
                    for name, lines in beside_it.overrides.items()
                },
            )
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
        space = self._space(arguments)
        asked = roles.read(self._settings, space, self._config, self._context.config_loader)
        candidates = works(self._name, self._folder, space, self._settings, self._config)
        # Left last is what was entered first: an error of the leaving supervisor closes the study's run, too.
        with _told(), contextlib.ExitStack() as at_last, contextlib.ExitStack() as while_it_runs:
            work, running = self._begin(candidates, while_it_runs)
            running.study.set_user_attr(roles.ROLES, asked.plain() if asked else None)
            running.study.set_user_attr(COMMAND, self._command.plain())
            page = open_page(store, running.study, work)
            models = model_logger(running.study, page.run if page else None, log_model(self._settings), work.home)
            story = Story(running.study, page, self._command, self._config, work.home) if page else None
            at_last.enter_context(_closed(running, story, models))
            if page is not None and story is not None:
                story.begin(self._source)
                running.supervisor.looks += [Curves(running.study, page).update, story.update]
            try:
                self._run_baselines(work, running, page)
                self._run(work, running, page.run if page else None, models)
            except KeyboardInterrupt:  # Ctrl-C twice: the agents have ended their trials
                running.supervisor.interrupted.set()
                models.stop()
        supervisor, settings = running.supervisor, work.settings
        try:
            summary.close(
                running.study, work.home, story, settings.export, settings.max_retries, supervisor, settings.report
            )
        finally:  # only now the runs are closed, those that a kill had left open, too
            try:
                _finish(models)
            except KeyboardInterrupt:
                supervisor.interrupted.set()
        if supervisor.interrupted.is_set():
            raise SystemExit(INTERRUPTED)

    def follow_up(self, study: optuna.Study, work: Work, more: More) -> bool:
        """Runs a sibling of a study that is there; returns whether Ctrl-C was pressed.

        Args:
            study: the study, whose run in MLflow the sibling's runs are under.
            work: the sibling.
            more: what it is to run, asked anew every second.

        Raises:
            UserError: if somebody else runs it.
            CompactHydraException: if it was given up.
        """
        open_store(self._settings)  # one that does not answer costs nothing
        run = known_run(study)
        page = run.page(work.home) if run else None
        with _told():
            try:
                other = self._run_beside(work, page, more, study)
            except KeyboardInterrupt:
                return True
            finally:
                if page is not None:
                    summary.close_page(study, page)
        if other.supervisor.hopeless:
            anew = f"once the cause is mended, `sweep delete {work.name}` and the same command begin it anew"
            raise CompactHydraException(f"Study {work.name}: {other.supervisor.hopeless}; {anew}")
        return other.supervisor.interrupted.is_set()

    def _begin(
        self, candidates: Iterator[Work], while_it_runs: contextlib.ExitStack, sibling_of: optuna.Study | None = None
    ) -> tuple[Work, Running]:
        """Makes or resumes the first of these studies whose configuration is this one, and takes its lease.

        Args:
            candidates: the studies.
            while_it_runs: gives the lease back.
            sibling_of: the study that it is a sibling of, if it is one.
        """
        work = next(candidates)
        settings = work.settings
        storage = open_storage(settings.storage, work.home)
        try:
            with only_one(work.home):
                go_on = settings.if_changed == "go_on"
                study = create_or_resume(storage, work.name, work.identity, settings.seed, go_on)
                # Never taken back: the trials that it is said of stay. A sibling's are compared with the study's.
                marked = sibling_of.user_attrs.get(studies.NOT_COMPARABLE) if sibling_of else None
                if reason := settings.not_comparable or marked:
                    study.set_user_attr(studies.NOT_COMPARABLE, reason)
                remember(work.home, settings.storage)
                supervisor = while_it_runs.enter_context(Supervisor(study, storage, settings))
                _say_what_is_asked(study, work)
        except ChangedError:
            if (further := next(candidates, None)) is None:
                raise
            return self._begin(itertools.chain([further], candidates), while_it_runs, sibling_of)
        return work, Running(study, supervisor)

    def _run(
        self, work: Work, running: Running, parent: StudyRun | None, models: ModelLogger, more: More | None = None
    ) -> None:
        """Runs what a study has left to run; of one without a budget, what it is to run as it goes."""
        study, supervisor, settings = running.study, running.supervisor, work.settings
        before = len(study.get_trials(deepcopy=False))
        if more is None:
            studies.top_up(study, work.n_trials, work.points)
        else:
            supervisor.add_more = lambda: studies.top_up(study, None, configurations=more(study))
        supervisor.look_after()
        added = len(study.get_trials(deepcopy=False)) - before
        log.info("Study %s: %d trials, %d of them new", work.name, study.user_attrs[studies.N_TRIALS], added)
        if reason := study.user_attrs.get(studies.NOT_COMPARABLE):
            log.warning("Its trials are not comparable: %s", reason)
        with Progress(study) as display:
            supervisor.looks += [display.refresh, models.look]
            while studies.outstanding(study, settings.max_retries) and not study.user_attrs.get(STOP):
                before_it = ended(study)
                try:
                    launch(self._plan(work, supervisor, parent))
                except KeyboardInterrupt:
                    supervisor.wait_for_agents(STOP_SECONDS)
                    raise
                except Exception as error:
                    supervisor.wait_for_agents()  # those that are left go on with the study
                    if ended(study) == before_it or supervisor.failed:
                        raise
                    log.warning("An agent is gone: %s", str(error).splitlines()[0] if str(error) else repr(error))
                supervisor.look_after()
                if ended(study) == before_it:
                    break

    def _run_baselines(self, work: Work, running: Running, page: StudyPage | None) -> None:
        """Runs the study's baselines, which are as interrupted as it is."""
        found = baselines.read(work.settings, self._config, work.space.fixed)
        if found.overrides:
            theirs = sibling("baselines", work.name, work.home, found, work.settings, self._config)
            summary.show(self._run_beside(theirs, page, lambda _: found.trials(), running.study, running).study)

    def _run_beside(
        self, work: Work, page: StudyPage | None, more: More, of: optuna.Study, main: Running | None = None
    ) -> Running:
        """Runs a sibling `of` a study, whose runs are under the study's; whoever stops it stops `main`, too."""
        with contextlib.ExitStack() as while_it_runs:
            _, other = self._begin(iter([work]), while_it_runs, of)
            study, own = other.study, beside(page, other.study)
            policy = log_model(self._settings)
            models = model_logger(study, own, policy if policy == "all" else "none", work.folder)
            try:
                self._run(work, other, own, models, more)
            except BaseException:
                models.stop()
                raise
            finally:
                if main is not None and other.supervisor.interrupted.is_set():
                    main.supervisor.interrupted.set()
                    main.study.set_user_attr(STOP, True)
        if page is not None and own is not None:
            reconcile(study, own, page)
        _finish(models)
        return other

    @cached_property
    def _source(self) -> Source | None:
        """The source that the trials are run from."""
        return source_of(self._task)

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
            command=self._command,
            commit=self._source.state if self._source else None,
            tags=self._source.tags() if self._source else {},
            final=work.final,
        )


def _say_what_is_asked(study: optuna.Study, work: Work) -> None:
    """Writes down what whoever looks at a study has to know before it has a trial: its baselines come first."""
    settings = work.settings
    asked = {"objective": settings.objective, "slots": settings.n_jobs, studies.MAX_RETRIES: settings.max_retries}
    if work.n_trials is not None:
        asked[studies.N_TRIALS] = work.n_trials
    for key, value in asked.items():
        study.set_user_attr(key, value)


def _finish(models: ModelLogger) -> None:
    """Waits for the models that belong in MLflow; Ctrl-C, which goes on, leaves them to the same command."""
    try:
        models.finish()
    except KeyboardInterrupt:
        models.stop()
        raise


@contextlib.contextmanager
def _closed(running: Running, story: Story | None, models: ModelLogger) -> Iterator[None]:
    """Closes a study's run in MLflow after an error, unless it is another sweeper's by now."""
    try:
        yield
    except Exception:
        models.stop()
        if not running.supervisor.taken_over:
            summary.close_run(running.study, story, "failed")
        elif story is not None:
            summary.close_page(running.study, story.page)
        raise


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


def ended(study: optuna.Study) -> int:
    """How many trials have ended by themselves: what an agent's own end stopped is no progress."""
    trials = study.get_trials(deepcopy=False)
    return sum(t.state.is_finished() and t.user_attrs.get("reason") != stopped().reason for t in trials)
