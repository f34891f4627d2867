"""Registers `hydra/sweeper=optuna`; everything behind the door is in `sweep.engine`.

Hydra imports this module whenever any Hydra application starts, and wants the plugin's class defined here.
"""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweep.engine.settings import register

register("hydra_plugins.sweep_optuna.sweeper.OptunaSweeper")


class OptunaSweeper(Sweeper):
    """Hydra's view of `sweep.engine.sweeper.StudySweeper`. Takes the keys of `sweep.engine.settings.Settings`."""

    def __init__(self, **settings: Any) -> None:
        from sweep.engine.sweeper import StudySweeper

        self._sweeper = StudySweeper(settings)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra composed."""
        self._sweeper.setup(hydra_context, task_function, config)

    def check(self, arguments: list[str]) -> Any:
        """See `StudySweeper.check`."""
        return self._sweeper.check(arguments)

    def sweep(self, arguments: list[str]) -> None:
        """Runs the study that the overrides describe."""
        self._sweeper.sweep(arguments)
