"""Composes trials. One at a time in a process: Hydra's parser and loader do not say that threads may share them."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

_ONE_AT_A_TIME = threading.Lock()


def compose(loader: ConfigLoader, master: DictConfig, overrides: Iterable[str]) -> DictConfig:
    """The configuration of a trial: see Hydra's `load_sweep_config`."""
    with _ONE_AT_A_TIME:
        return loader.load_sweep_config(master, list(overrides))
