"""Baselines: configurations that a study is compared with, although they are no points of its search space.

Among a study's own trials, one without its params would take the samplers' relative search space away. So baselines are
the trials of a sibling study, NAME.baselines, whose runs are under the same parent run. A baseline is configured by its
own overrides alone; what the study's trials are judged by, it takes from the study.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution
from optuna.trial import BaseTrial

from sweep.engine.errors import UserError
from sweep.engine.identity import NAME
from sweep.engine.study import BASELINE, ENQUEUED

SUFFIX = ".baselines"
"""What the name of the sibling study ends with."""

_NOWHERE = object()


@dataclass(frozen=True)
class Baselines:
    """The overrides of each baseline, by its name: what the sibling study has instead of a search space.

    Attributes:
        overrides: by name.
        fixed: overrides that all have in common.
    """

    overrides: Mapping[str, tuple[str, ...]]
    fixed: tuple[str, ...] = ()

    @classmethod
    def read(cls, settings: DictConfig, config: DictConfig, fixed: Iterable[str]) -> Baselines:
        """Reads `hydra.sweeper.baselines`.

        Args:
            settings: `hydra.sweeper`.
            config: the study's composed configuration.
            fixed: the study's fixed overrides, of which those count that say where things are kept.

        Raises:
            UserError: if a baseline has no name that a run can have, or is no list of overrides; or if there is nothing
                to compare by.
        """
        written: Any = OmegaConf.to_container(settings.baselines, resolve=True)
        kept = [line for line in fixed if below(line.lstrip("+~").partition("=")[0], settings.identity_excludes)]
        judged = [text for key in settings.compared_by for text in _overrides(config, str(key))] if written else []
        found = {}
        for name, given in written.items():
            key = f"hydra.sweeper.baselines.{name}"
            if not NAME.fullmatch(str(name)):
                raise UserError(key, repr(name), "a name of letters, digits and any of _.+=@-")
            own = [given] if isinstance(given, str) else given
            if not isinstance(own, list) or not all(isinstance(line, str) and "=" in line for line in own):
                raise UserError(key, repr(given), "a list of overrides, as in ['+experiment=question']")
            found[str(name)] = (*kept, *own, *judged)
        return cls(found, tuple(kept))

    def trials(self) -> list[dict[str, Any]]:
        """What the sibling study is to run: a baseline with other overrides than before is another trial."""
        return [{BASELINE: name, "overrides": list(lines)} for name, lines in self.overrides.items()]

    def suggest(self, trial: BaseTrial) -> list[str]:
        """The overrides of the baseline that a trial is."""
        return list(trial.user_attrs[ENQUEUED]["overrides"])

    def read_point(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Raises UserError: there are no points."""
        raise UserError(name, given, "nothing: baselines have no parameters")

    def violated(self, _params: Mapping[str, Any]) -> str | None:
        """None: there are no constraints."""
        return None

    def points(self) -> Iterator[list[str]]:
        """The overrides of each."""
        yield from map(list, self.overrides.values())

    def describe(self) -> dict[str, str]:
        """Nothing: baselines may be added to those there are."""
        return {}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Nothing: nothing is drawn."""
        return {}


def below(key: str, rooms: Iterable[str]) -> bool:
    """Whether a key is one of these rooms of the configuration, or in one."""
    return any(key == room or key.startswith(f"{room}.") for room in rooms)


def _overrides(config: DictConfig, key: str) -> list[str]:
    """A part of a configuration as overrides, one for each of its values."""
    part = OmegaConf.select(config, key, default=_NOWHERE)
    if part is _NOWHERE:
        raise UserError("hydra.sweeper.compared_by", key, "keys of the study's configuration")
    if OmegaConf.is_dict(part):
        return [text for name in part for text in _overrides(config, f"{key}.{name}")]
    plain: Any = OmegaConf.to_container(part, resolve=True, enum_to_str=True) if OmegaConf.is_config(part) else part
    return [f"{key}={Override._get_value_element_as_str(_quoted(plain))}"]


def _quoted(value: Any) -> Any:
    """A value whose strings stay strings when Hydra reads them again."""
    if isinstance(value, list):
        return [_quoted(each) for each in value]
    if isinstance(value, dict):
        return {name: _quoted(each) for name, each in value.items()}
    value = getattr(value, "name", value)  # of an enum
    return QuotedString(value, Quote.single) if isinstance(value, str) else value
