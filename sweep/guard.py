"""Refuses a study whose objective a swept parameter can shrink without anything being learnt.

What a study varies is seen in the configurations that it composes, not in how they were written: a key moves if it has
more than one value at the points that touch both ends of everything, or another one in a baseline. So groups,
conditions, interpolations and spaces in Python are all seen.

Measures (val/rmse and the others) are of one evaluation set in original units: nothing but that set can shrink them.
Losses are in the units that a network is trained in, and the training loss is of whatever it is trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweep.engine.baselines import below
from sweep.engine.errors import UserError
from sweep.engine.identity import flat
from sweep.metrics import TRAIN_LOSS, VAL_LOSS

INSTEAD = "val/log10_rel_error"
"""The objective to use instead: no parameter of a study moves it but by what is learnt."""

FORCE = "--force runs it all the same, and marks everything it writes as not comparable"

_ROOMS = ("data", "train", "evaluation", "objective")

_ONE_FOR_ALL = {
    "data.matrix_size": "errors of matrices of different sizes do not compare",
    "data.target": "errors of inverses and of determinants do not compare",
    "evaluation": "trials are judged on the same matrices, or their errors do not compare",
}
"""What has one value in a study, whatever its objective."""

_UNITS = {
    "train.loss": "each loss is another number",
    "data.target_scale": "targets are divided by it",
    "data.compression": "it makes large targets small",
    "data.input_norm": "it multiplies targets by the size of their matrices",
}
"""What changes the units of the loss: the training loss, and that on the evaluation set."""

_OF_UNITS_ALONE = tuple(_UNITS)[1:]
_IN_ORIGINAL_UNITS = {"relative", "residual"}
"""Losses that undo what was done to the targets."""

_MATRICES = {
    "data.entry_range": "the larger a matrix, the smaller its inverse",
    "data.determinant": "matrices far from singular have small inverses, which are easy",
    "data.num_samples": "a small pool is learnt by heart",
    "data.validation_split": "it makes the pool smaller, and a small pool is learnt by heart",
    "train.batch_size": "of the means between validations the smallest counts: with fewer matrices in one, by luck",
    "train.validate_every": "of the means between validations the smallest counts: with fewer matrices in one, by luck",
    "train.max_steps": "the last mean is of what is left after a validation: it may be of one step",
    "train.epochs": "the last mean is of what is left after a validation: it may be of one step",
}
"""What changes the matrices that the training loss is of."""

_LOSS, _POOL = "train.loss", "data.num_samples"


@dataclass(frozen=True)
class Trap:
    """Why the trials of a study cannot be compared.

    Attributes:
        error: what refuses the study.
        reason: the same as a mark of what is run all the same, in one line.
    """

    error: UserError
    reason: str


def traps(points: Sequence[DictConfig], baselines: Mapping[str, DictConfig]) -> list[Trap]:
    """What keeps a study's trials from being compared by its objective, the worst first; nothing in most studies.

    Args:
        points: composed configurations that together touch both ends of everything that varies.
        baselines: those of its baselines, by name, which are judged by the same objective.
    """
    studied = [_values(point) for point in points]
    if not studied:
        return []
    moving = dict.fromkeys(_moving(studied), "changes from trial to trial")
    for name, baseline in baselines.items():
        for key in _moving([studied[0], _values(baseline)]):
            moving.setdefault(key, f"is another one in baseline {name}")
    return [*_one_for_all(moving), *_objective(studied, moving)]


def _one_for_all(moving: Mapping[str, str]) -> Iterator[Trap]:
    for key, how in moving.items():
        for why in [why for room, why in _ONE_FOR_ALL.items() if below(key, [room])]:
            allowed = f"one for all trials and baselines: {why}. {FORCE}"
            yield Trap(UserError(key, f"a setting that {how}", allowed), f"{key} {how}: {why}")


def _objective(studied: Sequence[Mapping[str, Any]], moving: Mapping[str, str]) -> Iterator[Trap]:
    """The trap that the objective is, if it is a loss."""
    metric = studied[0].get("objective.metric")
    if metric not in (TRAIN_LOSS, VAL_LOSS):
        return
    causes = _UNITS | (_MATRICES if metric == TRAIN_LOSS else {})
    if _LOSS not in moving and studied[0][_LOSS] in _IN_ORIGINAL_UNITS:
        causes = {key: why for key, why in causes.items() if key not in _OF_UNITS_ALONE}
    found = [
        f"{key} {how} ({why})" for room, why in causes.items() for key, how in moving.items() if below(key, [room])
    ]
    if metric == TRAIN_LOSS and _POOL not in moving and studied[0][_POOL] is not None:
        found.append(f"{_POOL} is {studied[0][_POOL]} (a pool can be learnt by heart)")
    if found:
        received = f"{metric}, which shrinks without anything being learnt: {', '.join(found)}"
        yield Trap(UserError("objective.metric", received, f"{INSTEAD}, in original units. {FORCE}"), received)


def _moving(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that do not have the same value in all of these."""
    keys = dict.fromkeys(key for values in configs for key in values)
    return [key for key in keys if any(values.get(key, ...) != configs[0].get(key, ...) for values in configs)]


def _values(config: DictConfig) -> dict[str, Any]:
    """The values that decide what trials are judged by, by flat key."""
    return flat({room: OmegaConf.to_container(config[room], resolve=True, enum_to_str=True) for room in _ROOMS})
