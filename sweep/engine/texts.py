"""Every text of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write


def change_texts(config: Any, change: Callable[[str], str], but: Container[str] = ()) -> None:
    """Changes every text of a node of OmegaConf's in place; what is missing, or an interpolation, stays as it is.

    Args:
        config: the node.
        change: from a text to another.
        but: keys of this node that are left alone.
    """
    with read_write(config), open_dict(config):
        keys: Any = list(config) if isinstance(config, DictConfig) else range(len(config))
        for key in keys:
            if key in but or OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key):
                continue
            value = config[key]
            if isinstance(value, DictConfig | ListConfig):
                change_texts(value, change)
            elif isinstance(value, str) and (changed := change(value)) != value:
                config[key] = changed
