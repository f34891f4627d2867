"""What the keys of a configuration take: the fields that type a search space.

A key with a schema takes what its schema says. A key without one takes whatever is written: an interval gives floats
there, as Hydra says, even where the value of the configuration happens to be an integer, because `x: 1` in a YAML file
says nothing about 1.5; `int(interval(1,8))` gives integers.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from omegaconf import BooleanNode, DictConfig, EnumNode, FloatNode, IntegerNode, Node, OmegaConf, StringNode
from omegaconf.errors import OmegaConfBaseException

from sweep.engine.explain import nearest
from sweep.engine.identity import fixed_part


class Field:
    """What a key takes that is no config group; `adds` says that its overrides may add keys."""

    def __init__(self, config: DictConfig, key: str, adds: bool = False) -> None:
        self._adds = adds
        parent_key, _, self._name = key.rpartition(".")
        parent = OmegaConf.select(config, parent_key, throw_on_missing=False) if parent_key else config
        self._parent = parent if isinstance(parent, DictConfig) and not parent._is_none() else None
        node = self._parent._get_node(self._name, validate_access=False) if self._parent is not None else None
        self.node = node if isinstance(node, Node) else None

    @property
    def takes_integers_only(self) -> bool:
        """Whether its schema says int, or Optional[int]."""
        return isinstance(self.node, IntegerNode)

    @property
    def takes_floats_only(self) -> bool:
        """Whether its schema says float, or Optional[float]."""
        return isinstance(self.node, FloatNode)

    def convert(self, value: Any) -> Any:
        """The value as this key holds it, plain: an enum's member by name, a path as text.

        Raises:
            ValueError: if the key cannot hold it; says what it takes.
        """
        if self._parent is None or self.node is None:
            return value
        probe = copy.deepcopy(self._parent)
        try:
            OmegaConf.update(probe, self._name, value, merge=True, force_add=self._adds)
            node = probe._get_node(self._name)
            assert isinstance(node, Node)
            if node._is_interpolation():
                return value
            if node._is_missing():
                raise ValueError("a value")
            held: Any = probe[self._name]
            if OmegaConf.is_config(held):
                return OmegaConf.to_container(held, enum_to_str=True)
        except OmegaConfBaseException as error:
            raise ValueError(self._takes(value, error)) from error
        numbers = isinstance(value, int | float) and isinstance(held, int | float)
        if numbers and value != held and value == value:  # OmegaConf takes 2 as true
            raise ValueError(self._takes(value))
        return held.name if isinstance(held, Enum) else str(held) if isinstance(held, Path) else held

    def _takes(self, value: Any, error: Exception | None = None) -> str:
        """What the key takes, as far as one can say it shorter than OmegaConf."""
        null = " or null" if self.node is not None and self.node._is_optional() else ""
        if isinstance(self.node, EnumNode):
            return nearest(str(value), [member.name for member in self.node.enum_type]) + null
        kinds: dict[type | None, str] = {
            IntegerNode: "an integer",
            FloatNode: "a number",
            BooleanNode: "true or false",
            StringNode: "a text",
        }
        if type(self.node) in kinds:
            return kinds[type(self.node)] + null
        return str(error).splitlines()[0]


class Group:
    """A config group, which takes the names of its options."""

    def __init__(self, name: str, loader: ConfigLoader) -> None:
        self._name, self._loader = name, loader

    takes_integers_only = takes_floats_only = False

    def options(self, below: str = "") -> list[str]:
        """The options of this group, or of a folder below it."""
        return list(self._loader.get_group_options(f"{self._name}/{below}".rstrip("/"), ObjectType.CONFIG))

    def convert(self, value: Any) -> Any:
        """The value, which is an option's name, or several of them. Raises ValueError if it is none."""
        for name in value if isinstance(value, list) else [value]:
            folder, _, option = str(name).rpartition("/")
            options = self.options(folder)
            if options and option not in options:  # a search path of the configuration may have more groups
                raise ValueError(nearest(option, options))
        return value if isinstance(value, list) else str(value)


class Fields:
    """The fields of a configuration whose groups may be swept.

    A key that is not there yet, because another option of a swept group brings it, is looked up with that option.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader, fixed: Iterable[str]) -> None:
        self._master, self._loader, self._fixed = config, loader, list(fixed)
        self._composed: dict[tuple[str, ...], DictConfig | None] = {}

    @functools.cached_property
    def config(self) -> DictConfig:
        """The configuration with what is fixed, which the settings of the search space may do too."""
        if "hydra" not in self._master:
            return self._master
        known = OmegaConf.to_container(self._master.hydra.overrides.task, resolve=False)
        return self._master if set(self._fixed) <= set(known or ()) else self._compose() or self._master

    def is_group(self, key: str) -> bool:
        """Whether a key is a config group, with or without a package."""
        group = key.partition("@")[0]
        if "/" in group or "@" in key or key in self.choices:
            return True
        return "." not in group and bool(Group(group, self._loader).options())

    @property
    def choices(self) -> Mapping[str, Any]:
        """The option that each group has."""
        return self.config.hydra.runtime.choices if "hydra" in self.config else {}

    def has(self, key: str) -> bool:
        """Whether a key is there, or is a config group."""
        return self.is_group(key) or Field(self.config, key).node is not None

    def keys(self) -> list[str]:
        """All keys that hold a value."""
        return list(fixed_part(self.config, []))

    def value(self, key: str) -> Any:
        """The value of a key as `Field.convert` has it, or the option of a group; None where there is none."""
        if self.is_group(key):
            return self.choices.get(key)
        try:
            return Field(self.config, key).convert(OmegaConf.select(self.config, key, throw_on_missing=False))
        except (OmegaConfBaseException, ValueError):
            return None

    def of(self, key: str, alternatives: Iterable[tuple[str, ...]] = (), adds: bool = False) -> Field | Group:
        """What a key takes.

        Args:
            key: the key, or a config group.
            alternatives: overrides of groups, with any of which the key may be there if it is not without.
            adds: whether its overrides may add keys.
        """
        if self.is_group(key):
            return Group(key.partition("@")[0], self._loader)
        field = Field(self.config, key, adds)
        for overrides in alternatives if field.node is None else ():
            config = self._compose(*overrides) if "hydra" in self._master else None
            if config is not None and (other := Field(config, key, adds)).node is not None:
                return other
        return field

    def _compose(self, *overrides: str) -> DictConfig | None:
        """The configuration with these overrides, or None if that is none: whoever composes it later says why."""
        if overrides not in self._composed:
            try:
                composed = self._loader.load_sweep_config(self._master, [*self._fixed, *overrides])
            except Exception:  # Hydra's own, and whatever its Python code raises
                composed = None
            self._composed[overrides] = composed
        return self._composed[overrides]
