"""Configurations that are run by name: what a sibling study has instead of a search space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import BaseTrial

from sweep.engine.errors import UserError
from sweep.engine.study import CONFIGURATION


@dataclass(frozen=True)
class Configurations:
    """The overrides of each configuration, by its name.

    Attributes:
        overrides: by name.
        fixed: overrides that all have in common.
    """

    overrides: Mapping[str, tuple[str, ...]]
    fixed: tuple[str, ...] = ()

    def trials(self) -> list[dict[str, Any]]:
        """What is to be run: a configuration with other overrides than before is another trial."""
        return [{"name": name, "overrides": list(lines)} for name, lines in self.overrides.items()]

    def suggest(self, trial: BaseTrial) -> list[str]:
        """The overrides of the configuration that a trial is."""
        return list(trial.user_attrs[CONFIGURATION]["overrides"])

    def read_point(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Raises UserError: there are no points."""
        raise UserError(name, given, "nothing: named configurations have no parameters")

    def violated(self, _params: Mapping[str, Any]) -> str | None:
        """None: there are no constraints."""
        return None

    def points(self) -> Iterator[list[str]]:
        """The overrides of each."""
        yield from map(list, self.overrides.values())

    def describe(self) -> dict[str, str]:
        """Nothing: configurations may be added to those there are."""
        return {}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Nothing: nothing is drawn."""
        return {}
