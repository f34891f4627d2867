"""How a study searches, as the params of its run: search space, sampler, pruner, budget."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

BUDGET = (
    "n_trials",
    "timeout",
    "patience",
    "n_jobs",
    "n_agents",
    "trial_timeout",
    "trial_memory",
    "max_retries",
    "max_failure_rate",
    "recycle_after",
    "recycle_memory",
    "repeat",
    "if_changed",
)
"""Keys of `hydra.sweeper` that say how much is run, and how."""


def study_params(
    settings: DictConfig, space: Mapping[str, str], directions: Sequence[str], seed: int
) -> dict[str, str]:
    """The params of a study's run; what is not set of its budget is null, and of sampler and pruner left out.

    Args:
        settings: `hydra.sweeper`.
        space: how each parameter, condition and constraint of the search space was written, by key.
        directions: of every objective.
        seed: what all seeds of the study are derived from.
    """
    params = {"objective": str(settings.objective), "direction": ",".join(directions), "seed": str(seed)}
    params |= {key: _text(settings[key]) for key in BUDGET}
    for name in ("sampler", "pruner"):
        params |= _chosen(name, settings[name])
    params |= {f"space/{key}": text for key, text in space.items()}
    params |= {"enqueue": str(len(settings.enqueue)), "baselines": ", ".join(map(str, settings.baselines)) or "none"}
    return params


def _chosen(name: str, group: Any) -> dict[str, str]:
    """What was chosen of a configuration group, with its own settings."""
    if group is None:
        return {name: "none"}
    plain: Any = OmegaConf.to_container(group, resolve=True) if OmegaConf.is_config(group) else group
    if not isinstance(plain, dict):
        return {name: str(plain)}
    own = {f"{name}/{key}": _text(value) for key, value in plain.items() if key[0] != "_" and value is not None}
    return {name: str(plain.get("_target_", "")).rpartition(".")[2], **own}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
