"""The studies that a command is about: the one that it names, those that it may begin anew, and those beside it.

What is no point of a study's search space, but belongs to it, runs in a sibling study: NAME.baselines, NAME.confirm,
NAME.ablate. It is kept where the study is kept, its trials have a folder of their own in the study's, and their runs
are under the study's run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from sweep.engine import enqueue
from sweep.engine.baselines import below
from sweep.engine.checks import directions
from sweep.engine.configurations import Configurations
from sweep.engine.errors import UserError
from sweep.engine.identity import Identity, fixed_part
from sweep.engine.plan import Space
from sweep.engine.space import SearchSpace

SIBLINGS = ("baselines", "confirm", "ablate")
"""The studies that may be beside a study, by what their names end with and their folders are called."""


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
        n_trials: its budget; None is what is asked for and nothing else.
        points: what is tried first.
        final: whether its trials are the last word on their configurations: see `sweep.engine.trial.Trial.final`.
    """

    name: str
    home: Path
    folder: Path
    space: Space
    identity: Identity
    settings: DictConfig
    n_trials: int | None
    points: Sequence[Mapping[str, Any]] = ()
    final: bool = False


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


def sibling(
    kind: str,
    name: str,
    home: Path,
    space: Configurations,
    settings: DictConfig,
    config: DictConfig,
    final: bool = False,
) -> Work:
    """A study beside another, all of whose configurations are run to their ends.

    Args:
        kind: one of `SIBLINGS`.
        name: of the study.
        home: of the study.
        space: the configurations.
        settings: `hydra.sweeper`, as the study has it.
        config: the study's composed configuration.
        final: see `Work`.
    """
    judged = {key: value for key, value in fixed_part(config, []).items() if below(key, settings.compared_by)}
    own = settings.copy()
    own.pruner = {"_target_": "optuna.pruners.NopPruner"}  # null would be Optuna's default, which prunes
    own.sampler = own.timeout = own.patience = None
    return Work(
        name=f"{name}.{kind}",
        home=home,
        folder=home / kind,
        space=space,
        identity=Identity(judged, {}, {}, directions(settings)),
        settings=own,
        n_trials=None,
        final=final,
    )


def check_no_sibling(what: str, name: str) -> None:
    """Raises UserError if a study of this name could not be told from one beside another; `what` names the setting."""
    study, kind = split(name)
    if kind is not None:
        raise UserError(what, repr(name), f"a name without .{kind} at the end, which study {study} may have beside it")


def split(name: str) -> tuple[str, str | None]:
    """The name of a study whose sibling the study of this name may be, and which; None if it can be none's."""
    study, _, kind = name.rpartition(".")
    return (study, kind) if study and kind in SIBLINGS else (name, None)
