"""What `hydra.sweeper` may say, checked before anything is created."""

from __future__ import annotations

import math
from typing import Any

from omegaconf import DictConfig

from sweep.engine.address import same_database
from sweep.engine.errors import UserError
from sweep.engine.identity import Direction, check_name

IF_CHANGED = ("refuse", "go_on", "new")

LOG_MODEL = ("best", "all", "none")

_AT_LEAST = {"n_trials": 1, "n_jobs": 1, "n_agents": 1, "max_retries": 0, "recycle_after": 1, "patience": 1}
_ABOVE_0 = ("timeout", "trial_timeout", "trial_memory", "recycle_memory")
_OPTIONAL = ("patience", *_ABOVE_0)

_BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def check_settings(settings: DictConfig, name: str, config: DictConfig) -> None:
    """Checks the settings that stand for themselves; the search space, sampler and pruner have checks of their own.

    Args:
        settings: `hydra.sweeper`.
        name: the study's name, which may be made up.
        config: the composed configuration.

    Raises:
        UserError: for the first that is wrong.
    """
    for key, least in _AT_LEAST.items():
        value = settings[key]
        if not (value is None and key in _OPTIONAL) and (not isinstance(value, int) or value < least):
            raise UserError(f"hydra.sweeper.{key}", value, f"an integer of at least {least}{_or_null(key)}")
    for key in _ABOVE_0:
        value = settings[key]
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"hydra.sweeper.{key}", value, f"a number above 0{_or_null(key)}")
    if not 0 <= settings.max_failure_rate <= 1:
        raise UserError("hydra.sweeper.max_failure_rate", settings.max_failure_rate, "a share, from 0 to 1")
    for key, text in {"study_name": name, "export": settings.export}.items():
        if text is not None:
            check_name(f"hydra.sweeper.{key}", text)
    if settings.seed is not None and settings.seed < 0:
        raise UserError("hydra.sweeper.seed", settings.seed, "null or an integer of at least 0")
    if settings.if_changed not in IF_CHANGED:
        raise UserError("hydra.sweeper.if_changed", repr(settings.if_changed), ", ".join(IF_CHANGED))
    directions(settings)
    log_model(settings)
    if same_database(settings.storage, settings.tracking.uri):
        allowed = "another database than the study's storage: Optuna and MLflow both count their tables' version in one"
        raise UserError("tracking.uri", settings.tracking.uri, allowed)
    if settings.n_agents > 1 and config.hydra.launcher._target_ == _BASIC:
        allowed = "1 with hydra/launcher=basic, which has one machine; more with submitit_local, submitit_slurm or ray"
        raise UserError("hydra.sweeper.n_agents", settings.n_agents, allowed)


def directions(settings: DictConfig) -> list[Direction]:
    """The direction of every objective. Raises UserError if one is none."""
    given = settings.direction
    found: list[Direction] = []
    for one in given if hasattr(given, "__iter__") and not isinstance(given, str) else [given]:
        name: Any = getattr(one, "name", one)
        if name not in ("minimize", "maximize"):
            raise UserError("hydra.sweeper.direction", repr(name), "minimize or maximize, or a list of them")
        found.append(name)
    if not found:
        raise UserError("hydra.sweeper.direction", "an empty list", "minimize or maximize, or a list of them")
    return found


def log_model(settings: DictConfig) -> str:
    """Which trials' models are logged to MLflow. Raises UserError if it is none of "best", "all" and "none"."""
    given = settings.tracking.log_model
    name = str(getattr(given, "name", given))
    if name not in LOG_MODEL:
        raise UserError("hydra.sweeper.tracking.log_model", repr(name), ", ".join(LOG_MODEL))
    return name


def _or_null(key: str) -> str:
    return ", or null" if key in _OPTIONAL else ""
