"""Points of the search space that a study tries before any that its sampler draws (`hydra.sweeper.enqueue`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweep.engine.errors import UserError
from sweep.engine.space import SearchSpace


def points(space: SearchSpace, settings: DictConfig) -> list[dict[str, Any]]:
    """The enqueued points, as values of the space's distributions; what a point leaves out, the sampler draws.

    Raises:
        UserError: if one is no point of the space.
    """
    found: list[dict[str, Any]] = []
    for index, given in enumerate(OmegaConf.to_container(settings.enqueue, resolve=True) or []):
        name = f"hydra.sweeper.enqueue[{index}]"
        if not isinstance(given, Mapping) or not given:
            raise UserError(name, repr(given), "a mapping from keys of the search space to values")
        point = space.read_point(name, {str(key): value for key, value in given.items()})
        if violated := space.violated(point):
            raise UserError(name, given, f"a point that fulfils {violated}")
        found.append(point)
    return found
