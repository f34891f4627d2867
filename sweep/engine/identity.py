"""What makes a study this study and no other: its fixed configuration, search space and directions."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    check_distribution_compatibility,
)
from optuna.storages import BaseStorage

from sweep.engine.errors import UserError
from sweep.engine.redact import HIDDEN, redacted
from sweep.engine.study import EXHAUSTED, load_study

NAME = re.compile(r"(?!.*\.yaml$)[A-Za-z0-9_][\w.+=@-]*", re.ASCII)
"""What a study may be called: it becomes a folder, and a file that Hydra finds by its name without `.yaml`."""

IDENTITY = "identity"
"""Study attribute: the identity as plain values. It is written last: a study without it was never finished."""

MAKING_SECONDS = 2.0
"""How long the making of a study may take."""

Direction = Literal["minimize", "maximize"]


class ChangedError(UserError):
    """A study of this name exists with another configuration."""


@dataclass(frozen=True)
class Identity:
    """The identity of a study.

    Attributes:
        fixed: the part of the configuration that makes it this study and no other, by flat key.
        space: how each parameter of the search space was written.
        distributions: what Optuna draws each parameter from.
        directions: "minimize" or "maximize", one for every objective.
    """

    fixed: Mapping[str, Any]
    space: Mapping[str, str]
    distributions: Mapping[str, BaseDistribution]
    directions: Sequence[Direction]

    def plain(self) -> dict[str, Any]:
        """What is compared when the study goes on, as values that a storage keeps; trials keep their distributions."""
        plain = {"fixed": dict(self.fixed), "space": dict(self.space), "directions": list(self.directions)}
        return cast("dict[str, Any]", redacted(plain))


def check_name(what: str, name: str) -> None:
    """Raises UserError unless something may be called this; `what` names the setting that says so."""
    if not NAME.fullmatch(name):
        allowed = "letters, digits and any of _.+=@-, beginning with a letter or digit, and no .yaml at the end"
        raise UserError(what, repr(name), allowed)


def create_or_resume(
    storage: BaseStorage, name: str, identity: Identity, seed: int | None, go_on: bool = False
) -> optuna.Study:
    """Opens the study of this name, or makes it.

    Args:
        storage: where it is kept.
        name: its name.
        identity: what it is.
        seed: what all seeds of the study are derived from; None draws one, which is kept.
        go_on: whether a study with another configuration is gone on with, as far as Optuna can: its directions, and the
            choices and kinds of its parameters, stay.

    Raises:
        ChangedError: if the study exists with another fixed configuration, search space or seed.
        UserError: if it is another program's, or cannot be gone on with.
    """
    plain = identity.plain()
    try:
        study = load_study(storage, name)
    except KeyError:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # what it says, the sweeper says
        try:
            study = optuna.create_study(study_name=name, storage=storage, directions=list(identity.directions))
        except optuna.exceptions.DuplicatedStudyError:  # another machine was faster
            return create_or_resume(storage, name, identity, seed, go_on)
        return _made(study, plain, seed)
    known = _identity(study)
    if known is None:
        same = [direction.name.lower() for direction in study.directions] == plain["directions"]
        if study.get_trials(deepcopy=False) or not same:
            raise UserError("the study's name", repr(name), "a name that no other program's study has")
        return _made(study, plain, seed)  # whoever began to make it was killed
    changes = [
        *differences(known["fixed"], plain["fixed"]),
        *differences(known["space"], plain["space"]),
        *differences({"direction": known["directions"]}, {"direction": plain["directions"]}),
    ]
    if seed is not None and seed != study.user_attrs["seed"]:
        changes.append(f"seed: {study.user_attrs['seed']} -> {seed}")
    if not changes:
        return study
    if not go_on:
        differing = "".join(f"\n  {change}" for change in changes)
        raise ChangedError(
            "the study's name",
            f"{name!r}, a study that exists with another configuration (then -> now):{differing}\n",
            "the configuration that the study began with, another name, or hydra.sweeper.if_changed=new or go_on",
        )
    _check_compatible(study, name, identity)
    study.set_user_attr("changes", [*study.user_attrs.get("changes", []), {"when": time.time(), "changes": changes}])
    study.set_user_attr(EXHAUSTED, False)
    if seed is not None:
        study.set_user_attr("seed", seed)
    study.set_user_attr(IDENTITY, plain)
    return study


def _made(study: optuna.Study, identity: dict[str, Any], seed: int | None) -> optuna.Study:
    study.set_user_attr("id", uuid.uuid4().hex)
    study.set_user_attr("seed", int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed)
    study.set_user_attr("created", time.time())
    study.set_user_attr(IDENTITY, identity)
    return study


def _identity(study: optuna.Study) -> Any:
    """A study's identity; None if nobody has written it for a while, as another machine may be making it just now."""
    for _ in range(10):
        known = study.user_attrs.get(IDENTITY)
        if known is not None or study.get_trials(deepcopy=False):
            return known
        time.sleep(MAKING_SECONDS / 10)
    return None


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is another value in one of two configurations by flat key, each as `key: then -> now`."""
    keys = sorted({*then, *now})
    return [
        f"{key}: {then.get(key, 'not there')} -> {now.get(key, 'not there')}"
        for key in keys
        if not (key in then and key in now and _same(then[key], now[key]))
    ]


def _same(then: Any, now: Any) -> bool:
    """Whether two values are the same; what was hidden in one of them is, whatever it was: a password may change."""
    if isinstance(then, str) and isinstance(now, str) and HIDDEN in then + now:
        return any(
            re.fullmatch(".*".join(map(re.escape, one.split(HIDDEN))), other, re.DOTALL)
            for one, other in ((then, now), (now, then))
        )
    if isinstance(then, list) and isinstance(now, list):
        return len(then) == len(now) and all(map(_same, then, now))
    return bool(then == now)


def _check_compatible(study: optuna.Study, name: str, identity: Identity) -> None:
    """Raises UserError if Optuna cannot hold both what the study has and what it is to get."""
    directions = [direction.name.lower() for direction in study.directions]
    if directions != list(identity.directions):
        raise UserError(
            "hydra.sweeper.direction", ", ".join(identity.directions), f"{', '.join(directions)}, as study {name!r} has"
        )
    for trial in study.get_trials(deepcopy=False):
        for key, old in trial.distributions.items():
            new = identity.distributions.get(key)
            if new is None:
                continue
            try:
                check_distribution_compatibility(old, new)
            except ValueError as error:
                kept = (
                    f"the same choices, {list(old.choices)}" if isinstance(old, CategoricalDistribution) else str(old)
                )
                raise UserError(
                    key, f"{new}, while study {name!r} goes on", f"{kept}; or hydra.sweeper.if_changed=new"
                ) from error


def fixed_part(config: DictConfig, excludes: Iterable[str]) -> dict[str, Any]:
    """The configuration as plain values by flat key, without `hydra` and without the keys in `excludes`.

    Interpolations stay as they are written: what they point to is there under its own key.
    """
    return flat(OmegaConf.to_container(config, resolve=False, enum_to_str=True), ("hydra", *excludes))


def flat(values: Any, excludes: Iterable[str] = ()) -> dict[str, Any]:
    """Nested plain values by flat key ("model.depth"), without the keys in `excludes`; lists stay whole."""
    left_out = set(excludes)
    found: dict[str, Any] = {}

    def walk(key: str, value: Any) -> None:
        if key in left_out:
            return
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                walk(f"{key}.{name}" if key else str(name), inner)
        else:
            found[key] = value

    walk("", values)
    return found
