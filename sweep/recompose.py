"""Composes the command of a study of `sweep run` once more, for what is run beside that study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import optuna
from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep import preflight
from sweep.engine.baselines import below
from sweep.engine.command import COMMAND, Command
from sweep.engine.errors import UserError
from sweep.engine.explain import explain
from sweep.engine.overrides import written
from sweep.engine.parent import TRACKING_URI
from sweep.engine.recomposed import Recomposed
from sweep.engine.space import SearchSpace
from sweep.engine.sweeper import StudySweeper
from sweep.paths import Paths
from sweep.results.catalogue import Entry
from sweep.results.delete import check_idle

_KEYS = "n_jobs n_agents trial_timeout trial_memory max_retries max_failure_rate recycle_after recycle_memory"

HOW = tuple(f"hydra.sweeper.{key}" for key in _KEYS.split())
"""The sweeper's keys that say how trainings are run, and not what is trained, judged or compared."""


@contextmanager
def recomposed(paths: Paths, entry: Entry, task: Any, overrides: Sequence[str] = ()) -> Iterator[Recomposed]:
    """A study, with what its trials are composed by; Hydra is set up for the length of the block.

    Args:
        paths: where studies have their folders.
        entry: the study.
        task: Hydra's task.
        overrides: further ones, of the launcher's keys and of those in `HOW`.

    Raises:
        UserError: if this is no study of `sweep run`, it runs, or its command cannot be composed any more.
    """
    study = entry.load()
    said = Command.known(study.user_attrs.get(COMMAND))
    if entry.is_sibling or said is None or not said.is_own:
        raise UserError("STUDY", repr(entry.name), "a study of `sweep run`, and none of those beside it")
    for line in overrides:
        key = line.lstrip("+~").partition("=")[0]
        if not (key in HOW or below(key, ("hydra.launcher", "hydra/launcher"))):
            allowed = f"hydra/launcher, hydra.launcher.*, {', '.join(HOW)}: all else is the study's"
            raise UserError("OVERRIDES", repr(line), allowed)
    check_idle(study)
    version.setbase(preflight.VERSION_BASE)
    options = said.options
    folder = options.config_dir and str(Path(said.folder, options.config_dir))
    with preflight.hydra_of(options.config_path, folder) as hydra:
        name = options.config_name or preflight.CONFIG_NAME
        lines = [*options.overrides, *overrides, written("study.name", entry.name)]
        try:
            config = hydra.compose_config(name, lines, run_mode=RunMode.MULTIRUN, with_log_configuration=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, None) from error
        settings = _settings(config, study, entry.url)
        arguments = list(config.hydra.overrides.task)
        space = SearchSpace.read(arguments, settings, config, hydra.config_loader)
        sweeper = StudySweeper(cast("dict[str, Any]", settings))
        sweeper.setup(HydraContext(hydra.config_loader, Callbacks(config)), task, config, said)
        home = entry.home or paths.study(entry.name)
        yield Recomposed(study, home, config, settings, space.fixed, hydra.config_loader, sweeper)


def _settings(config: DictConfig, study: optuna.Study, url: str | None) -> DictConfig:
    """`hydra.sweeper` with what the study itself says of where it is kept, tracked and of its seed."""
    settings = OmegaConf.create(cast("dict[str, Any]", OmegaConf.to_container(config.hydra.sweeper, resolve=True)))
    uri = study.user_attrs.get(TRACKING_URI)
    settings.storage = url
    settings.seed = study.user_attrs["seed"]
    settings.study_name = study.study_name
    settings.tracking.uri = uri
    return settings
