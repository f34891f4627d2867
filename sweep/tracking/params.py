"""A composed configuration as the flat params of an MLflow run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from sweep.engine.names import short_names

NOT_PARAMS = ("hydra", "paths", "tracking", "storage", "expects")
"""Where a run is kept, and what it is compared with, say nothing about what it is."""

LOG_SCALED = ("learning_rate",)
"""Last parts of keys that are logged as log10 too, whether they vary or not."""


def run_params(
    config: DictConfig, excludes: Iterable[str] = NOT_PARAMS, log_scaled: Iterable[str] = ()
) -> dict[str, str]:
    """Flattens a composed configuration to params by Hydra key ("model.depth"), plus `log10_<name>`.

    Values are resolved; lists stay whole; null, true and numbers are written as YAML writes them. A value that cannot
    be resolved (a missing one, an unknown resolver) is written as it stands.

    Args:
        config: what Hydra composed.
        excludes: top-level keys to leave out.
        log_scaled: keys whose log10 is added, beside those that end in one of `LOG_SCALED`.
    """
    values = dict(_leaves(config, (), set(excludes)))
    flat = {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in values.items()}
    known = (key for key in values if key.rpartition(".")[2] in LOG_SCALED)
    return log10_params(values, [*log_scaled, *known]) | flat


def log10_params(values: Mapping[str, Any], log_scaled: Iterable[str]) -> dict[str, str]:
    """The log10 of values that are drawn on a log scale, as params: MLflow's parallel coordinates have no log axis.

    Each is called after the last part of its key, or as many parts as it takes to tell it from the others.

    Args:
        values: by key.
        log_scaled: the keys of all values of the study that are drawn so; this trial may have fewer.
    """
    found = {}
    for key, name in short_names(dict.fromkeys(log_scaled)).items():
        value = values.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            found[f"log10_{name}"] = json.dumps(round(math.log10(value), 6))
    return found


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
