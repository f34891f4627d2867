"""Hydra's Sweeper on Optuna: sets the study up, places agents with the Hydra launcher, closes up."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import optuna
from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep.engine import study as studies
from sweep.engine.agent import Plan, run_agent
from sweep.engine.errors import UserError
from sweep.engine.explain import explain
from sweep.engine.space import SearchSpace
from sweep.engine.storage import only_one, open_storage
from sweep.engine.supervisor import Supervisor
from sweep.results import summary
from sweep.results.progress import Progress

if TYPE_CHECKING:
    from sweep.tracking.runs import StudyRun
    from sweep.tracking.store import Store

log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

MAX_POINTS_CHECKED = 64
"""How many points of a search space are composed before a study starts."""


class StudySweeper:
    """What `hydra/sweeper=optuna` does. `settings` are the keys of `sweep.engine.settings.Settings`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = OmegaConf.create(dict(settings))

    def setup(self, hydra_context: HydraContext, task: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra composed."""
        self._context, self._task, self._config = hydra_context, task, config
        self._folder = Path(str(config.hydra.sweep.dir)).absolute()
        self._name = self._settings.study_name or f"{config.hydra.job.name}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"

    def check(self, arguments: list[str]) -> list[DictConfig]:
        """Checks everything that can be checked before anything is created.

        Returns:
            The composed configurations of points of the search space that together touch every choice and both ends
            of every interval.

        Raises:
            UserError: naming the key, what was received and what is allowed.
        """
        for key, least in {"n_trials": 1, "n_jobs": 1, "max_retries": 0}.items():
            value = self._settings[key]
            if not isinstance(value, int) or value < least:
                raise UserError(f"hydra.sweeper.{key}", value, f"an integer of at least {least}")
        for key, name in {"study_name": self._name, "export": self._settings.export}.items():
            if name is not None and not studies.NAME.fullmatch(name):
                allowed = "letters, digits and any of _.+=@-, beginning with a letter or digit"
                raise UserError(f"hydra.sweeper.{key}", repr(name), allowed)
        seed = self._settings.seed
        if seed is not None and seed < 0:
            raise UserError("hydra.sweeper.seed", seed, "null or an integer of at least 0")
        for key in ("sampler", "pruner"):
            try:
                studies.build(self._settings[key], seed=0)
            except (HydraException, ValueError, TypeError) as error:
                reason = str(error.__cause__ or error).splitlines()[0]
                raise UserError(f"hydra.sweeper.{key}", f"settings that do not fit ({reason})", "Optuna's") from error
        for direction in self._directions():
            if direction not in ("minimize", "maximize"):
                raise UserError("hydra.sweeper.direction", repr(direction), "minimize or maximize, or a list of them")
        space = self._space(arguments)
        if not space.parameters:
            raise UserError(
                "the search space",
                "no parameter that varies",
                "at least one, as in study=quickstart or 'model.width=range(16,257,16)'; a single run is without -m",
            )
        for key in ("seed_key", "threads_key"):
            if self._settings[key] in space.parameters:
                raise UserError(self._settings[key], "a search space", "one value: a study sets it for each trial")
        loader = self._context.config_loader
        try:
            return [loader.load_sweep_config(self._config, point) for point in points(space)]
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, self._config) from error

    def sweep(self, arguments: list[str]) -> None:
        """Runs the study until its budget is spent, or somebody stops it.

        Raises:
            UserError: if what was asked for cannot be run; a study that was there is as it was.
            SystemExit: with status 130, after Ctrl-C.
        """
        self.check(arguments)
        settings, space = self._settings, self._space(arguments)
        store = self._open_store()
        storage = open_storage(settings.storage, self._folder)
        fixed = studies.fixed_part(self._config, [*settings.identity_excludes, *space.parameters])
        with contextlib.ExitStack() as while_it_runs:
            with only_one(self._folder):
                study = studies.create_or_resume(
                    storage, self._name, self._directions(), fixed, space.describe(), settings.seed
                )
                display = while_it_runs.enter_context(Progress(study))
                supervisor = Supervisor(study, storage, settings.max_retries, display.refresh)
                while_it_runs.enter_context(supervisor)
            added = studies.top_up(study, settings.n_trials)
            study.set_user_attr("objective", settings.objective)
            study.set_user_attr("slots", settings.n_jobs)
            log.info("Study %s: %d trials, %d of them new", self._name, settings.n_trials, added)
            parent = self._open_run(store, study, space)
            try:
                if studies.outstanding(study, settings.max_retries):
                    self._launch(space, parent)
            except KeyboardInterrupt:  # Ctrl-C twice: the agent has ended its trials
                pass
            except Exception:
                summary.close_run(study, parent, "FAILED")
                raise
        summary.close(study, self._folder, parent, settings.export, settings.max_retries)
        if supervisor.interrupted.is_set():
            raise SystemExit(INTERRUPTED)

    def _directions(self) -> list[studies.Direction]:
        direction = self._settings.direction
        listed = list(direction) if OmegaConf.is_list(direction) else [direction]
        return [cast("studies.Direction", str(getattr(one, "name", one))) for one in listed]

    def _space(self, arguments: list[str]) -> SearchSpace:
        params = OmegaConf.to_container(self._settings.params, resolve=True)
        return SearchSpace.parse(arguments, cast("dict[str, Any]", params), self._config, self._context.config_loader)

    def _open_store(self) -> Store | None:
        """The MLflow store, opened before anything else is made, so that one that does not answer costs nothing."""
        tracking = self._settings.tracking
        if not tracking.uri:
            return None
        from sweep.tracking.store import open_store

        return open_store(tracking.uri, tracking.experiment, Path(tracking.artifacts))

    def _open_run(self, store: Store | None, study: optuna.Study, space: SearchSpace) -> StudyRun | None:
        if store is None:
            return None
        from sweep.tracking.runs import study_run

        settings = self._settings
        params = {f"space/{key}": text for key, text in space.describe().items()}
        params |= {key: str(settings[key]) for key in ("n_trials", "n_jobs", "objective", "max_retries")}
        params |= {
            key: str(settings[key]._target_).rpartition(".")[2] for key in ("sampler", "pruner") if settings[key]
        }
        params |= {"direction": ",".join(self._directions()), "seed": str(study.user_attrs["seed"])}
        run = study_run(store, self._name, study.user_attrs["id"], params)
        study.set_user_attr("page", f"/experiments/{store.experiment_id}/runs/{run.run_id}")
        return run

    def _launch(self, space: SearchSpace, parent: StudyRun | None) -> None:
        plan = Plan(
            study=self._name,
            storage=self._settings.storage,
            folder=str(self._folder),
            task=self._task,
            hydra_context=self._context,
            config=self._config,
            space=space,
            settings=self._settings,
            parent=parent,
        )
        # An agent is a Hydra job too: it gets a folder apart from the trials', and none of the user's callbacks.
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(self._context.config_loader, Callbacks()),
            task_function=functools.partial(run_agent, plan),
            config=self._config,
        )
        overrides = [*next(points(space)), "hydra.sweep.subdir=agents/0"]
        for job in launcher.launch([overrides], initial_job_idx=0):
            _ = job.return_value  # raises what the agent raised


def points(space: SearchSpace) -> Iterator[list[str]]:
    """Overrides of points that together touch every choice and both ends of every interval of a search space."""
    extremes = {parameter: parameter.extremes() for parameter in space.parameters.values()}
    count = max(map(len, extremes.values()), default=0)
    for index in range(min(count, MAX_POINTS_CHECKED)):
        yield [*space.fixed, *(p.override(values[min(index, len(values) - 1)]) for p, values in extremes.items())]
