"""n×n matrices with uniform entries: which are kept, their determinants and their inverses, in NumPy.

The command line checks configurations with this file, so it imports nothing but NumPy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from data.rules import named

MINIMUM_ACCEPTANCE = 0.001
"""A rule that keeps a smaller share of the matrices is refused: drawing would take longer than training."""

Floats = NDArray[np.floating[Any]]

_HELD = 0.01
"""A rescaled matrix whose entries, rounded to float32, miss the determinant by more than this share is not kept."""


@dataclass
class Determinant:
    """A rule of `data.rules`, by its name or dotted path, and its number."""

    rule: str = "above"
    value: float = 0.1

    @property
    def rescales(self) -> bool:
        """Whether the rule changes matrices, or only chooses among them."""
        return self.row_factor(np.ones(1)) is not None

    def keeps(self, determinants: Any, size: int, entry_range: Sequence[float]) -> Any:
        """Which of the matrices that were drawn are kept, by their determinants.

        A determinant that is zero, subnormal or not finite in its own dtype is never kept, whatever the rule: its
        matrix has no inverse to learn.

        Args:
            determinants: float32 or float64 `[count]`, in NumPy or TensorFlow.
            size: n.
            entry_range: (low, high) of the uniform entries.

        Returns:
            Booleans `[count]`, in the array type of `determinants`.
        """
        magnitude = abs(determinants)
        dtype = getattr(determinants.dtype, "as_numpy_dtype", determinants.dtype)
        usable = (magnitude >= np.finfo(dtype).tiny) & (magnitude < float("inf"))
        return usable & named(self.rule).keeps(determinants, self.value, size, entry_range)

    def row_factor(self, determinants: Any) -> Any | None:
        """What row 0 of each kept matrix is multiplied by, `[count]`; None where the rule leaves matrices as drawn."""
        return named(self.rule).row_factor(determinants, self.value)

    @staticmethod
    def holds(determinants: Any, wanted: Any) -> Any:
        """Which rescaled matrices are kept: those that float32 can hold, to 1% of the determinant that was `wanted`.

        A nearly singular matrix loses its determinant when the entries of its new row are rounded.

        Args:
            determinants: those of the rounded matrices, float64 `[count]`.
            wanted: those that rescaling without rounding would give, float64 `[count]`.

        Returns:
            Booleans `[count]`.
        """
        return abs(determinants - wanted) < _HELD * abs(wanted)  # never where none is wanted: 0 is not below 0


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


def acceptance(size: int, entry_range: Sequence[float], determinant: Determinant) -> float:
    """The share of `size`×`size` matrices with entries uniform in `entry_range` that `determinant` keeps.

    A Monte-Carlo estimate in float32, as the training stream computes, so that what overflows or vanishes there counts
    as rejected. The same arguments always give the same estimate. Up to 4×4 its standard error at `MINIMUM_ACCEPTANCE`
    is a tenth of that; larger matrices get fewer draws, so that a check stays within tens of milliseconds.

    Raises:
        ValueError: if there is no such rule.
    """
    low, high = entry_range
    return _acceptance(int(size), float(low), float(high), determinant.rule, float(determinant.value))


@lru_cache(maxsize=256)
def _acceptance(size: int, low: float, high: float, rule: str, value: float) -> float:
    draws = int(np.clip(5_000_000 // size**3, 200, 100_000))
    determinant = Determinant(rule, value)
    with np.errstate(all="ignore"):
        matrices = _uniform(np.random.default_rng(0), draws, size, (low, high))
        if determinant.rescales:
            return len(_kept(matrices, (low, high), determinant)) / draws
        return float(np.mean(determinant.keeps(det(matrices), size, (low, high))))


def sufficient_acceptance(size: int, entry_range: Sequence[float], determinant: Determinant) -> float:
    """The same share, if it is one with which matrices can be drawn.

    Raises:
        ValueError: if there is no such rule, or if it keeps less than `MINIMUM_ACCEPTANCE` of the matrices.
    """
    share = acceptance(size, entry_range, determinant)
    if share < MINIMUM_ACCEPTANCE:
        raise ValueError(
            f"determinant.value: got {determinant.value}, with which rule {determinant.rule} keeps {share:.2%} of "
            f"matrices with entries in {list(entry_range)}, allowed is a value that keeps at least "
            f"{MINIMUM_ACCEPTANCE:.1%}"
        )
    return share


def draw(
    rng: np.random.Generator,
    count: int,
    size: int,
    entry_range: Sequence[float],
    determinant: Determinant,
    dtype: DTypeLike = np.float32,
) -> Floats:
    """Draws exactly `count` kept matrices, in the order in which `rng` gave them.

    Entries are uniform in float32; the rule is applied to their float64 determinants. Where it rescales, the matrices
    are rounded to float32 again.

    Returns:
        Matrices `[count, size, size]` of `dtype`.

    Raises:
        ValueError: if there is no such rule, or if it keeps less than `MINIMUM_ACCEPTANCE` of the matrices.
    """
    share = sufficient_acceptance(size, entry_range, determinant)
    kept: list[Floats] = []
    missing = count
    while missing > 0:
        candidates = _uniform(rng, min(int(missing / share * 1.02) + 64, 1_000_000), size, entry_range)
        kept.append(_kept(candidates, entry_range, determinant)[:missing])
        missing -= len(kept[-1])
    return np.concatenate(kept).astype(dtype, copy=False) if kept else np.empty((0, size, size), dtype)


def _kept(candidates: Floats, entry_range: Sequence[float], determinant: Determinant) -> Floats:
    """Those of float32 candidates `[count, n, n]` that are kept by their float64 determinants, rescaled if need be."""
    determinants = det(candidates.astype(np.float64))
    chosen = determinant.keeps(determinants, candidates.shape[-1], entry_range)
    kept, determinants = np.compress(chosen, candidates, axis=0), determinants[chosen]
    factor = determinant.row_factor(determinants)
    if factor is None:
        return kept
    with np.errstate(all="ignore"):  # what a float32 cannot hold is not kept
        rows = (kept[:, 0] * factor[:, None]).astype(np.float32)
        # TensorFlow may take subnormal numbers for zero: matrices that depend on them are not to be counted on.
        kept[:, 0] = np.where(abs(rows) < np.finfo(np.float32).tiny, 0, rows)
        holds = determinant.holds(det(kept.astype(np.float64)), determinants * factor)
        return np.compress(holds, kept, axis=0)


def _uniform(rng: np.random.Generator, count: int, size: int, entry_range: Sequence[float]) -> Floats:
    low, high = np.float32(entry_range[0]), np.float32(entry_range[1])
    return low + (high - low) * rng.random((count, size, size), dtype=np.float32)


def _entries(matrices: Floats) -> list[list[Floats]]:
    """The entries `[n][n]` of matrices `[..., n, n]`, each an array `[...]`."""
    size = matrices.shape[-1]
    return [[matrices[..., row, column] for column in range(size)] for row in range(size)]
