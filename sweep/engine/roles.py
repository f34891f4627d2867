"""What a study asks about, and what it only has to tune or hold still (`hydra.sweeper.roles`).

The roles of the tuning playbook (Godbole et al., 2023, "Deep Learning Tuning Playbook"): scientific parameters are what
the study is about; nuisance parameters are tuned so that each scientific value is seen at its best; fixed ones were
held still, so that what is concluded holds for their values alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from sweep.engine.errors import UserError
from sweep.engine.explain import nearest
from sweep.engine.fields import Fields
from sweep.engine.space import SearchSpace

ROLES = "roles"
"""Study attribute, and key of `hydra.sweeper`: what `Roles.plain` gives."""


@dataclass(frozen=True)
class Roles:
    """The roles of a study's keys.

    Attributes:
        scientific: parameters that it asks about.
        nuisance: all its other parameters.
        fixed: keys that were held still, with their values.
    """

    scientific: tuple[str, ...] = ()
    nuisance: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """All of it as values that a storage keeps."""
        return {**asdict(self), "scientific": list(self.scientific), "nuisance": list(self.nuisance)}


def read(settings: DictConfig, space: SearchSpace, config: DictConfig, loader: ConfigLoader) -> Roles | None:
    """Reads the roles; None if no parameter was given one.

    A parameter without a role is a nuisance. With a search space in Python, whose parameters nobody knows before they
    are suggested, any key may be a scientific or nuisance parameter.

    Args:
        settings: `hydra.sweeper`.
        space: what varies.
        config: the composed configuration.
        loader: Hydra's.

    Raises:
        UserError: for an unknown role or key, one with two roles, a scientific or nuisance key that does not vary, or a
            fixed one that does.
    """
    given: Any = OmegaConf.to_container(settings.roles, resolve=True)
    if not given:
        return None
    keys = {role: _keys(role, value) for role, value in given.items()}
    fields = Fields(config, loader, space.fixed)
    role_of: dict[str, str] = {}
    for role, key in [(role, key) for role, its_keys in keys.items() for key in its_keys]:
        name = f"hydra.sweeper.{ROLES}.{role}"
        if key in role_of:
            raise UserError(name, f"{key}, which is {role_of[key]}, too", "keys with one role each")
        role_of[key] = role
        varies = key in space.parameters
        if role == "fixed" and varies:
            raise UserError(name, f"{key}, which varies", "keys with one value; what varies is scientific or nuisance")
        if role == "fixed" and not fields.has(key):
            raise UserError(name, key, nearest(key, fields.keys()))
        if role != "fixed" and not varies and space.custom is None:
            raise UserError(name, key, f"a parameter that varies: {nearest(key, space.parameters)}")
    others = [key for key in space.parameters if key not in role_of]
    return Roles(
        scientific=tuple(keys.get("scientific", ())),
        nuisance=(*keys.get("nuisance", ()), *others),
        fixed={key: fields.value(key) for key in keys.get("fixed", ())},
    )


def _keys(role: str, given: Any) -> list[str]:
    roles = ("scientific", "nuisance", "fixed")
    if role not in roles:
        raise UserError(f"hydra.sweeper.{ROLES}.{role}", "a role that does not exist", nearest(role, roles))
    if not isinstance(given, list) or not all(isinstance(key, str) for key in given):
        raise UserError(f"hydra.sweeper.{ROLES}.{role}", repr(given), "a list of keys")
    return given
