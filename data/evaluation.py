"""Frozen evaluation sets: the matrices that networks are judged on, in original units."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, get_args

import numpy as np

from data.matrices import Determinant, Floats, draw
from data.targets import Target, truth

Split = Literal["validation", "test"]


class Recipe(Protocol):
    """What an evaluation set is made from: the keys of the configuration group `evaluation`."""

    matrix_size: int
    entry_range: list[float]
    determinant: Determinant
    target: Target
    size: int
    seed: int


_EVALUATION = 0xE7A1
"""Keeps the evaluation sets' seeds apart from those of the training stream."""


@dataclass(frozen=True)
class EvaluationSet:
    """Matrices and what a network is to predict of them, read-only.

    Attributes:
        inputs: matrices, float32 `[size, n, n]`.
        truth: the targets of exactly these float32 matrices, computed in float64, in original units: inverses
            `[size, n, n]`, or determinants `[size, 1]`.
        digest: names recipe and inputs. It leaves out the truth, whose last bit differs between processors.
    """

    inputs: Floats
    truth: Floats
    digest: str


def evaluation_set(config: Recipe, split: Split) -> EvaluationSet:
    """The frozen set of a split: the same matrices for every trial, whatever it was trained on.

    Validation, test and the training stream draw from separate generators, whatever their seeds. The last set that was
    asked for of each split is kept in memory, for the next trial of the same process.

    Raises:
        ValueError: if `split` is neither "validation" nor "test", if there is no such rule for the determinant, or if
            it keeps too few matrices.
    """
    if split not in get_args(Split):
        raise ValueError(f"split: got {split}, allowed is one of {', '.join(get_args(Split))}")
    low, high = config.entry_range
    rule, value = config.determinant.rule, config.determinant.value
    return _evaluation_set(
        split, config.size, config.matrix_size, float(low), float(high), rule, value, config.target, config.seed
    )


@lru_cache(maxsize=2)
def _evaluation_set(
    split: Split, count: int, size: int, low: float, high: float, rule: str, value: float, target: Target, seed: int
) -> EvaluationSet:
    recipe = {
        "split": split,
        "size": count,
        "matrix_size": size,
        "entry_range": [low, high],
        "determinant": [rule, value],
        "seed": seed,
    }
    rng = np.random.default_rng(np.random.SeedSequence([seed, _EVALUATION, get_args(Split).index(split)]))
    return freeze(draw(rng, count, size, (low, high), Determinant(rule, value)), target, recipe)


def freeze(inputs: Floats, target: Target, recipe: dict[str, Any]) -> EvaluationSet:
    """An evaluation set of given matrices.

    Args:
        inputs: float32 `[size, n, n]`. They become read-only.
        target: what is to be predicted of them.
        recipe: where they come from, as JSON can say it, but for the target.
    """
    if target is not Target.inverse:  # sets are older than targets: those of inverses keep their digests
        recipe = recipe | {"target": target.value}
    true = truth(inputs.astype(np.float64), target)
    inputs.flags.writeable = true.flags.writeable = False
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode() + inputs.astype("<f4").tobytes())
    return EvaluationSet(inputs, true, digest.hexdigest()[:16])
