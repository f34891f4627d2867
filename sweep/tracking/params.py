"""A composed configuration as the flat params of an MLflow run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

NOT_PARAMS = ("hydra", "paths", "tracking", "storage", "expects")
"""Where a run is kept, and what it is compared with, say nothing about what it is."""

LOG_SCALED = ("learning_rate",)
"""Last parts of keys that are also logged as log10: MLflow's parallel coordinates have no log axis."""


def run_params(
    config: DictConfig, excludes: Iterable[str] = NOT_PARAMS, log_scaled: Iterable[str] = LOG_SCALED
) -> dict[str, str]:
    """Flattens a composed configuration to params by Hydra key ("model.depth"), plus `log10_<name>`.

    Values are resolved; lists stay whole; null, true and numbers are written as YAML writes them. A value that cannot
    be resolved (a missing one, an unknown resolver) is written as it stands.

    Args:
        config: what Hydra composed.
        excludes: top-level keys to leave out.
        log_scaled: keys, or last parts of keys, whose log10 is added.
    """
    scaled = set(log_scaled)
    flat: dict[str, str] = {}
    for key, value in _leaves(config, (), set(excludes)):
        flat[key] = value if isinstance(value, str) else json.dumps(value, default=str)
        name = key.rpartition(".")[2]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and value > 0 and {key, name} & scaled:
            flat.setdefault(f"log10_{name}", json.dumps(round(math.log10(value), 6)))
    return flat


def _leaves(config: DictConfig, prefix: tuple[str, ...], excludes: set[str]) -> Iterable[tuple[str, Any]]:
    for name in config:
        if not prefix and str(name) in excludes:
            continue
        path = (*prefix, str(name))
        try:
            value = config[name]
        except Exception:  # a resolver may raise anything
            value = str(OmegaConf.to_container(config, resolve=False)[name])  # type: ignore[index]
        if isinstance(value, DictConfig) and len(value):
            yield from _leaves(value, path, excludes)
        else:
            yield ".".join(path), _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, DictConfig | ListConfig):
        try:
            return OmegaConf.to_container(value, resolve=True, enum_to_str=True)
        except Exception:
            return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return getattr(value, "name", value)
    return getattr(value, "name", str(value))
