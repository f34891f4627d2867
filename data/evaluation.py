"""Frozen evaluation sets: the matrices that networks are judged on, in original units."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, get_args

import numpy as np

from data.matrices import Determinant, Floats, Rule, draw, inverse

Split = Literal["validation", "test"]


class Recipe(Protocol):
    """What an evaluation set is made from: the keys of the configuration group `evaluation`."""

    matrix_size: int
    entry_range: list[float]
    determinant: Determinant
    size: int
    seed: int


_EVALUATION = 0xE7A1
"""Keeps the evaluation sets' seeds apart from those of the training stream."""


@dataclass(frozen=True)
class EvaluationSet:
    """Matrices and their inverses, read-only.

    Attributes:
        inputs: matrices, float32 `[size, n, n]`.
        inverses: those of exactly these float32 matrices, computed in float64, in original units, `[size, n, n]`.
        digest: names recipe and inputs. It leaves out the inverses, whose last bit differs between processors.
    """

    inputs: Floats
    inverses: Floats
    digest: str


def evaluation_set(config: Recipe, split: Split) -> EvaluationSet:
    """The frozen set of a split: the same matrices for every trial, whatever it was trained on.

    Validation, test and the training stream draw from separate generators, whatever their seeds. The last set that was
    asked for of each split is kept in memory, for the next trial of the same process.

    Raises:
        ValueError: if `split` is neither "validation" nor "test", or if the determinant's rule keeps too few matrices.
    """
    if split not in get_args(Split):
        raise ValueError(f"split: got {split}, allowed is one of {', '.join(get_args(Split))}")
    low, high = config.entry_range
    rule, value = config.determinant.rule, config.determinant.value
    return _evaluation_set(split, config.size, config.matrix_size, float(low), float(high), rule, value, config.seed)


@lru_cache(maxsize=2)
def _evaluation_set(
    split: Split, count: int, size: int, low: float, high: float, rule: Rule, value: float, seed: int
) -> EvaluationSet:
    recipe = {
        "split": split,
        "size": count,
        "matrix_size": size,
        "entry_range": [low, high],
        "determinant": [rule.value, value],
        "seed": seed,
    }
    rng = np.random.default_rng(np.random.SeedSequence([seed, _EVALUATION, get_args(Split).index(split)]))
    inputs = draw(rng, count, size, (low, high), Determinant(rule, value))
    inverses = inverse(inputs.astype(np.float64))
    inputs.flags.writeable = inverses.flags.writeable = False
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode() + inputs.astype("<f4").tobytes())
    return EvaluationSet(inputs, inverses, digest.hexdigest()[:16])
