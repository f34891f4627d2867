"""Baselines: configurations that a study is compared with, although they are no points of its search space.

Among a study's own trials, one without its params would take the samplers' relative search space away. So baselines are
the trials of a sibling study. A baseline is configured by its own overrides alone; what the study's trials are judged
by, it takes from the study.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweep.engine.configurations import Configurations
from sweep.engine.errors import UserError
from sweep.engine.identity import NAME
from sweep.engine.overrides import written

_NOWHERE = object()


@dataclass(frozen=True)
class Frame:
    """What a configuration that is none of a study's own takes from the study, so that both can be compared.

    Attributes:
        kept: overrides of the study that say where things are kept: they come before the configuration's own.
        judged: overrides that say what is judged by: they come after them.
    """

    kept: tuple[str, ...]
    judged: tuple[str, ...]

    @classmethod
    def of(cls, settings: DictConfig, config: DictConfig, fixed: Iterable[str]) -> Frame:
        """The frame that a study gives.

        Args:
            settings: `hydra.sweeper`.
            config: the study's composed configuration.
            fixed: the study's fixed overrides.

        Raises:
            UserError: if there is nothing to compare by.
        """
        kept = [line for line in fixed if below(line.lstrip("+~").partition("=")[0], settings.identity_excludes)]
        judged = [text for key in settings.compared_by for text in _overrides(config, str(key))]
        return cls(tuple(kept), tuple(judged))

    def around(self, own: Iterable[str]) -> tuple[str, ...]:
        """All overrides of a configuration that has these of its own."""
        return (*self.kept, *own, *self.judged)


def read(settings: DictConfig, config: DictConfig, fixed: Iterable[str]) -> Configurations:
    """Reads `hydra.sweeper.baselines`.

    Args:
        settings: `hydra.sweeper`.
        config: the study's composed configuration.
        fixed: the study's fixed overrides, of which those count that say where things are kept.

    Raises:
        UserError: if a baseline has no name that a run can have, or is no list of overrides; or if there is nothing to
            compare by.
    """
    given_by_name: Any = OmegaConf.to_container(settings.baselines, resolve=True)
    if not given_by_name:
        return Configurations({})
    frame, found = Frame.of(settings, config, fixed), {}
    for name, given in given_by_name.items():
        key = f"hydra.sweeper.baselines.{name}"
        if not NAME.fullmatch(str(name)):
            raise UserError(key, repr(name), "a name of letters, digits and any of _.+=@-")
        own = [given] if isinstance(given, str) else given
        if not isinstance(own, list) or not all(isinstance(line, str) and "=" in line for line in own):
            raise UserError(key, repr(given), "a list of overrides, as in ['+experiment=question']")
        found[str(name)] = frame.around(own)
    return Configurations(found, frame.kept)


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
    return [written(key, plain)]
