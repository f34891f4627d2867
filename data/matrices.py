"""n×n matrices with uniform entries: which are kept, their determinants and their inverses, in NumPy.

The command line checks configurations with this file, so it imports nothing but NumPy.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

MINIMUM_ACCEPTANCE = 0.001
"""A rule that keeps a smaller share of the matrices is refused: drawing would take longer than training."""

Floats = NDArray[np.floating[Any]]


class Rule(Enum):
    """Which matrices are kept, by their determinant."""

    above = "above"  # |det| > value


@dataclass
class Determinant:
    """A rule and its number. A new rule is a new member of `Rule` and its line in `keeps`."""

    rule: Rule = Rule.above
    value: float = 0.1

    def keeps(self, determinants: Any) -> Any:
        """Which matrices are kept: booleans, in the array type (NumPy or TensorFlow) of their `determinants`.

        A determinant that is not finite in its own dtype is never kept: its matrix has no inverse to learn.
        """
        magnitude = abs(determinants)
        return (magnitude > self.value) & (magnitude < float("inf"))


def det(matrices: Floats) -> Floats:
    """Determinants `[...]` of matrices `[..., n, n]`, in their dtype: closed form for n = 2 and 3, LAPACK beyond."""
    size = matrices.shape[-1]
    if size == 2:
        (a, b), (c, d) = _entries(matrices)
        return np.asarray(a * d - b * c)
    if size == 3:
        (a, b, c), (d, e, f), (g, h, i) = _entries(matrices)
        return np.asarray(a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g))
    return np.asarray(np.linalg.det(matrices))


def inverse(matrices: Floats) -> Floats:
    """Inverses `[..., n, n]` of matrices `[..., n, n]`, in their dtype.

    The adjugate over the determinant (Cramer's rule) for n = 2 and 3, LAPACK beyond.

    Raises:
        numpy.linalg.LinAlgError: if n > 3 and a matrix is exactly singular. For n = 2 and 3 the result is non-finite.
    """
    size = matrices.shape[-1]
    if size == 2:
        (a, b), (c, d) = _entries(matrices)
        adjugate: tuple[Floats, ...] = (d, -b, -c, a)
    elif size == 3:
        (a, b, c), (d, e, f), (g, h, i) = _entries(matrices)
        adjugate = (
            *(e * i - f * h, c * h - b * i, b * f - c * e),
            *(f * g - d * i, a * i - c * g, c * d - a * f),
            *(d * h - e * g, b * g - a * h, a * e - b * d),
        )
    else:
        return np.asarray(np.linalg.inv(matrices))
    return np.stack(adjugate, axis=-1).reshape(matrices.shape) / det(matrices)[..., None, None]


def acceptance(size: int, entry_range: tuple[float, float], determinant: Determinant) -> float:
    """The share of `size`×`size` matrices with entries uniform in `entry_range` that `determinant` keeps.

    A Monte-Carlo estimate in float32, as the training stream computes, so that what overflows or vanishes there counts
    as rejected. The same arguments always give the same estimate. Up to 4×4 its standard error at `MINIMUM_ACCEPTANCE`
    is a tenth of that; larger matrices get fewer draws, so that a check stays within tens of milliseconds.
    """
    low, high = entry_range
    return _acceptance(int(size), float(low), float(high), determinant.rule, float(determinant.value))


@lru_cache(maxsize=256)
def _acceptance(size: int, low: float, high: float, rule: Rule, value: float) -> float:
    draws = int(np.clip(5_000_000 // size**3, 200, 100_000))
    with np.errstate(all="ignore"):
        matrices = _uniform(np.random.default_rng(0), draws, size, (low, high))
        return float(np.mean(Determinant(rule, value).keeps(det(matrices))))


def draw(
    rng: np.random.Generator,
    count: int,
    size: int,
    entry_range: tuple[float, float],
    determinant: Determinant,
    dtype: DTypeLike = np.float32,
) -> Floats:
    """Draws exactly `count` kept matrices, in the order in which `rng` gave them.

    Entries are uniform in float32; the rule is applied to their float64 determinants.

    Returns:
        Matrices `[count, size, size]` of `dtype`.

    Raises:
        ValueError: if `determinant` keeps less than `MINIMUM_ACCEPTANCE` of the matrices.
    """
    share = acceptance(size, entry_range, determinant)
    if share < MINIMUM_ACCEPTANCE:
        raise ValueError(
            f"determinant.value: got {determinant.value}, which keeps {share:.2%} of matrices with entries in "
            f"{list(entry_range)}, allowed is a threshold that keeps at least {MINIMUM_ACCEPTANCE:.1%}"
        )
    kept: list[Floats] = []
    missing = count
    while missing > 0:
        candidates = _uniform(rng, min(int(missing / share * 1.02) + 64, 1_000_000), size, entry_range)
        accepted = candidates[determinant.keeps(det(candidates.astype(np.float64)))][:missing]
        kept.append(accepted)
        missing -= len(accepted)
    return np.concatenate(kept).astype(dtype, copy=False) if kept else np.empty((0, size, size), dtype)


def _uniform(rng: np.random.Generator, count: int, size: int, entry_range: tuple[float, float]) -> Floats:
    low, high = np.float32(entry_range[0]), np.float32(entry_range[1])
    return low + (high - low) * rng.random((count, size, size), dtype=np.float32)


def _entries(matrices: Floats) -> list[list[Floats]]:
    """The entries `[n][n]` of matrices `[..., n, n]`, each an array `[...]`."""
    size = matrices.shape[-1]
    return [[matrices[..., row, column] for column in range(size)] for row in range(size)]
