"""What an agent needs to know of its study; travels to the agent's machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution
from optuna.trial import BaseTrial

from sweep.engine.command import Command

if TYPE_CHECKING:
    from sweep.tracking.runs import StudyRun


class Space(Protocol):
    """What varies in a study, and what was set for all of its trials (`fixed`, overrides)."""

    @property
    def fixed(self) -> tuple[str, ...]: ...  # noqa: D102

    def suggest(self, trial: BaseTrial) -> list[str]:
        """All overrides of a trial, with a value for everything that varies."""

    def read_point(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """A point, or a part of one, as the user wrote it under this name. Raises UserError if it is none."""

    def violated(self, params: Mapping[str, Any]) -> str | None:
        """The first constraint that these params break, if any."""

    def points(self) -> Iterator[list[str]]:
        """Overrides of points that show whether the whole space can be composed."""

    def describe(self) -> dict[str, str]:
        """How it was written, by key."""

    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna draws from, by key."""


@dataclass(frozen=True)
class Plan:
    """A study, as its agents get it. A launcher may keep it in a file: there is no password in it.

    Attributes:
        study: the study's name.
        storage: its storage's URL, without its password, or None for the journal in `home`.
        home: the folder of the journal.
        folder: the folder of the trials.
        sweeper: token of the sweeper's lease; an agent whose sweeper is gone begins nothing more.
        task: the user's task function.
        hydra_context: Hydra's, of the sweep.
        config: the master configuration of the sweep.
        space: what varies.
        settings: `hydra.sweeper`.
        parent: the study's MLflow run, or None if nothing is tracked.
        command: what the sweeper was started with.
        commit: the source's, as `sweep.tracking.source.Source.state` has it; None if that is in no checkout.
        tags: tags of every trial's run: those by which MLflow knows the source.
        final: whether its trials are the last word on their configurations: see `sweep.engine.trial.Trial.final`.
    """

    study: str
    storage: str | None
    home: str
    folder: str
    sweeper: str
    task: TaskFunction
    hydra_context: HydraContext
    config: DictConfig
    space: Space
    settings: DictConfig
    parent: StudyRun | None
    command: Command
    commit: str | None
    tags: Mapping[str, str]
    final: bool = False
