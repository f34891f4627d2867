"""A configuration without the password of the study's database, for what is left on disk."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write


def redact(config: Any, url: str, shown: str) -> None:
    """Replaces a URL by what may be shown of it, wherever it is part of a text of this node of OmegaConf."""
    with read_write(config), open_dict(config):
        keys: Any = list(config) if isinstance(config, DictConfig) else range(len(config))
        for key in keys:
            if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key):
                continue
            value = config[key]
            if isinstance(value, DictConfig | ListConfig):
                redact(value, url, shown)
            elif isinstance(value, str) and url in value:
                config[key] = value.replace(url, shown)
