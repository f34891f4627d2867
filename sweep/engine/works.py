"""The studies that a command is about: the one that it names, the ones that it may begin anew, and the baselines'."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from sweep.engine import enqueue
from sweep.engine.baselines import SUFFIX, Baselines, below
from sweep.engine.checks import directions
from sweep.engine.identity import Identity, fixed_part
from sweep.engine.plan import Space
from sweep.engine.space import SearchSpace


@dataclass(frozen=True)
class Work:
    """A study to be run.

    Attributes:
        name: the study's name.
        home: the folder of its journal.
        folder: the folder of its trials.
        space: what varies.
        identity: what it is.
        settings: `hydra.sweeper`.
        n_trials: its budget; None is as many as there are points.
        points: what is tried first.
    """

    name: str
    home: Path
    folder: Path
    space: Space
    identity: Identity
    settings: DictConfig
    n_trials: int | None
    points: Sequence[Mapping[str, Any]]


def works(name: str, folder: Path, space: SearchSpace, settings: DictConfig, config: DictConfig) -> Iterator[Work]:
    """The study of the name that was asked for; then, if a new one may be begun, those of its further names.

    Args:
        name: of the study.
        folder: of the study.
        space: its search space.
        settings: `hydra.sweeper`.
        config: the composed configuration.
    """
    fixed = fixed_part(config, [*settings.identity_excludes, *space.parameters])
    identity = Identity(fixed, space.describe(), space.distributions(), directions(settings))
    points = enqueue.points(space, settings)
    yield Work(name, folder, folder, space, identity, settings, settings.n_trials, points)
    for number in itertools.count(2) if settings.if_changed == "new" else ():
        further, its_folder = f"{name}-{number}", folder.with_name(f"{folder.name}-{number}")
        own = cast("DictConfig", OmegaConf.merge(settings, {"export": further} if settings.export else {}))
        yield Work(further, its_folder, its_folder, space, identity, own, settings.n_trials, points)


def sibling(work: Work, config: DictConfig) -> Work | None:
    """The study of a study's baselines, or None if it has none."""
    settings = work.settings
    baselines = Baselines.read(settings, config, work.space.fixed)
    if not baselines.overrides:
        return None
    judged = {key: value for key, value in fixed_part(config, []).items() if below(key, settings.compared_by)}
    without = {"sampler": None, "pruner": None, "timeout": None, "patience": None}
    return Work(
        name=work.name + SUFFIX,
        home=work.home,
        folder=work.home / "baselines",
        space=baselines,
        identity=Identity(judged, {}, {}, work.identity.directions),
        settings=cast("DictConfig", OmegaConf.merge(settings, without)),
        n_trials=None,
        points=baselines.trials(),
    )
