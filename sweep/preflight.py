"""What `sweep run` checks before Hydra creates anything, and how it says what is wrong.

Hydra composes before it makes a folder, but reports errors of composition with status 1, and runs tasks whose values
make no sense. So the configuration is composed once here, checked, and only then handed to Hydra.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

import conf.schema  # noqa: F401 - registers the schemas
from sweep import guard, metrics
from sweep.engine.address import STORAGE, TRACKING, keep
from sweep.engine.errors import UserError
from sweep.engine.explain import explain, nearest
from sweep.engine.identity import check_name
from sweep.engine.literals import text_of
from sweep.engine.study import NOT_COMPARABLE
from sweep.engine.works import check_no_sibling
from sweep.tracking.store import absolute, open_store
from sweep.training import checkpoint

CONFIG_PATH = "pkg://conf"
CONFIG_NAME = "config"
VERSION_BASE = "1.3"
"""Of Hydra: how it behaves, whichever version is installed."""

TOGETHER = ("schedule", "data.determinant")
"""Rooms of the configuration whose keys only make sense together."""


def check(arguments: list[str], task: Any, force: bool = False) -> str | None:
    """Checks the arguments of `sweep run`.

    Args:
        arguments: Hydra's.
        task: the task function.
        force: whether a study is let through whose trials cannot be compared; so is one whose arguments say why they
            cannot, as those on the page of a study that was forced do.

    Returns:
        Why the trials of a study that was let through cannot be compared; None if they can, or its arguments say why.

    Raises:
        UserError: for the first thing that is wrong; nothing has been created.
    """
    options = get_args_parser().parse_args(arguments)
    tells = options.help or options.hydra_help or options.cfg or options.info is not None or options.shell_completion
    with hydra_of(options.config_path, options.config_dir) as hydra:
        name = options.config_name or CONFIG_NAME
        mode = RunMode.MULTIRUN if options.multirun else RunMode.RUN
        try:
            config = hydra.compose_config(name, options.overrides, run_mode=mode, with_log_configuration=False)
            if tells:
                return None
            if config.hydra.mode is not None:
                mode = config.hydra.mode
            if mode == RunMode.MULTIRUN:
                check_name("study.name", config.study.name)
                check_no_sibling("study.name", config.study.name)
                context = HydraContext(hydra.config_loader, Callbacks())
                sweeper = Plugins.instance().instantiate_sweeper(
                    hydra_context=context, task_function=task, config=config
                )
                # As Hydra hands them to its sweeper: interpolations are resolved in every trial of its own.
                given = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
                composed = sweeper.check(given) if hasattr(sweeper, "check") else None
                points, baselines = (composed.points, composed.baselines) if composed else ([], {})
            else:
                points, baselines = [config], {}
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, _defaults(hydra, name)) from error
        except (ValueError, TypeError) as error:  # Hydra's own, as for a group that is given a number
            allowed = "what Hydra can compose; an option that reads as another value is quoted: \"+experiment='2026'\""
            raise UserError("the configuration", str(error), allowed) from error
    known = OmegaConf.select(config, f"hydra.sweeper.{NOT_COMPARABLE}")
    many = mode == RunMode.MULTIRUN  # a single run is compared with nothing
    trapped = check_comparable(points, baselines, force or bool(known)) if many else None
    trials = [*points, *baselines.values()]
    for trial in trials:
        check_values(trial)
    if mode == RunMode.MULTIRUN:
        check_study(config, trials)
    elif config.train.resume is not None:
        check_resume(config)
    check_paths(Path(str(config.hydra.sweep.dir if mode == RunMode.MULTIRUN else config.hydra.run.dir)))
    check_paths(Path(str(config.paths.mlruns), "artifacts"))
    if config.tracking.uri is not None:
        uri = keep(absolute(config.tracking.uri), TRACKING)  # raises if MLflow has no such store
        if not uri.startswith("sqlite:"):  # one that others have, too, may be away
            open_store(uri, config.tracking.experiment, Path(config.paths.mlruns, "artifacts"))
    if config.storage.url is not None:
        keep(config.storage.url, STORAGE)
    if mode == RunMode.MULTIRUN:
        check_storage(config.hydra.sweeper.storage)  # last: a new database gets its tables
    return None if known else trapped


@contextlib.contextmanager
def hydra_of(config_path: str | None, config_dir: str | None) -> Iterator[Hydra]:
    """Hydra, as `hydra.main` would make it for these options.

    Raises:
        UserError: if there is no such folder.
    """
    search_path = create_automatic_config_search_path(None, None, config_path or CONFIG_PATH)
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise UserError("--config-dir", config_dir, "a folder that exists")
        search_path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2(task_name="sweep", config_search_path=search_path)
    finally:
        GlobalHydra.instance().clear()


def _defaults(hydra: Hydra, name: str) -> DictConfig | None:
    """The configuration as it is without overrides: whose keys are right."""
    with contextlib.suppress(HydraException, OmegaConfBaseException):
        return hydra.compose_config(name, [], run_mode=RunMode.RUN, with_log_configuration=False)
    return None


def check_values(config: DictConfig) -> None:
    """Raises UserError unless every value of a composed configuration is within its bounds."""
    task = copy.deepcopy(config)
    with open_dict(task):
        task.pop("hydra", None)
    for key, allowed in unknown_keys(task):
        raise UserError(key, "a key that does not exist", nearest(key, allowed))
    try:
        OmegaConf.to_object(task)
    except ValueError as error:
        raise said(error) from error
    except OmegaConfBaseException as error:
        raise explain(error, task) from error
    metric, direction = str(config.objective.metric), config.objective.direction.name
    judged = config.evaluation
    measures = metrics.names(inverse=judged.target.name == "inverse", refined=judged.refine > 0)
    objectives = [*(f"val/{name}" for name in measures), metrics.VAL_LOSS, metrics.TRAIN_LOSS]
    if metric not in objectives:
        raise UserError("objective.metric", repr(metric), nearest(metric, objectives))
    if direction != metrics.better(metric):
        raise UserError("objective.direction", f"{direction} for {metric}", metrics.better(metric))


def check_comparable(points: list[DictConfig], baselines: dict[str, DictConfig], force: bool) -> str | None:
    """Why these cannot be compared, or None if they can. Raises UserError instead, unless it is forced."""
    traps: list[guard.Trap] = []
    with contextlib.suppress(OmegaConfBaseException):  # a value that cannot be resolved: `check_values` says which
        traps = guard.traps(points, baselines)
    if traps and not force:
        raise traps[0].error
    return "; ".join(trap.reason for trap in traps) or None


def marked(arguments: list[str], not_comparable: str | None) -> list[str]:
    """The arguments of `sweep run` with the reason why what they run cannot be compared, if there is one."""
    if not_comparable is None:
        return arguments
    mark = f"hydra.sweeper.{NOT_COMPARABLE}={text_of(not_comparable)}"
    overrides = get_args_parser().parse_args(arguments).overrides
    # Beside the others: Hydra takes overrides in one piece only, before or after its options.
    where = arguments.index(overrides[0]) if overrides else len(arguments)
    return [*arguments[:where], mark, *arguments[where:]]


def unknown_keys(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Keys that `+` has added to a group whose schema does not have them, each with the keys that it has."""
    schema = OmegaConf.get_type(config)
    fields = [f.name for f in dataclasses.fields(schema)] if dataclasses.is_dataclass(schema) else None
    for key in map(str, config):
        name = f"{prefix}{key}"
        if fields is not None and key not in fields:
            yield name, [f"{prefix}{known}" for known in fields]
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from unknown_keys(node, f"{name}.")


def check_study(config: DictConfig, trials: list[DictConfig]) -> None:
    """Raises UserError if what a study would write could not be found again, or compared."""
    sweeper = config.hydra.sweeper
    for key, ours in {"study_name": config.study.name, "direction": config.objective.direction.name}.items():
        if str(getattr(sweeper[key], "name", sweeper[key])) != ours:
            source = "study.name" if key == "study_name" else "objective.direction"
            raise UserError(f"hydra.sweeper.{key}", sweeper[key], f"{ours!r}, as {source} says")
    if config.train.resume is not None:
        raise UserError("train.resume", config.train.resume, "null: a study's killed trials go on by themselves")
    objectives = [OmegaConf.to_container(trial.objective, resolve=True) for trial in trials]
    if any(other != objectives[0] for other in objectives):
        raise UserError("objective", "a setting that changes from trial to trial", "one for all: a study has one")


def check_storage(url: str | None) -> None:
    """Raises UserError unless a study can be kept there."""
    if url is not None and url.startswith("journal://"):
        check_paths(Path(url.removeprefix("journal://")).parent, "storage.url")
    elif url is not None:
        from sweep.engine.storage import open_storage

        open_storage(url, "", "storage.url")


def check_resume(config: DictConfig) -> None:
    """Raises UserError unless `train.resume` names a checkpoint of this configuration."""
    try:
        checkpoint.named(config)
    except ValueError as error:
        raise said(error) from error


def said(error: ValueError) -> UserError:
    """An error in the form of UserError (see conf.require) as one."""
    what, _, rest = str(error).partition(": got ")
    received, _, allowed = rest.rpartition(", allowed is ")
    if not allowed:
        raise error  # not in that form: a mistake of ours, whose traceback is wanted
    return UserError(what, received, allowed)


def check_paths(folder: Path, what: str = "paths.mlruns") -> None:
    """Raises UserError unless a folder is one, or can become one."""
    folder = folder.absolute()
    for path in (folder, *folder.parents):
        if path.is_dir():
            return
        if path.exists():
            raise UserError(what, f"{folder}, but {path} is a file", "a folder, or a path that is still free")
