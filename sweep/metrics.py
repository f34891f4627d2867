"""Error measures in original units, which way each is better, and what a network must beat."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Way = Literal["minimize", "maximize"]

_TITLES = {
    "rmse": "root mean squared error",
    "r2": "R² (variance explained)",
    "rel_error_gm": "relative error, geometric mean",
    "log10_rel_error": "relative error, log10 of that",
    "rel_error_median": "relative error, median",
    "rel_error_p90": "relative error, 90% are below",
    "rel_error_p99": "relative error, 99% are below",
    "within_5pct": "share of matrices within 5%",
    "within_1pct": "share of matrices within 1%",
    "residual_median": "‖A·X̂ - I‖, median",
    "residual_p90": "‖A·X̂ - I‖, 90% are below",
}
_MAXIMIZED = ("r2", "within_5pct", "within_1pct")

NAMES = tuple(_TITLES)
"""The measures, in the order in which tables show them. In a run they are prefixed: val/, best/, test/."""

_SMALLEST = float(np.finfo(np.float64).eps)
"""Relative errors below this count as this, so that one exact hit does not make the geometric mean zero."""


def title(name: str) -> str:
    """What a measure is, in words. `name` may have a prefix."""
    return _TITLES[_bare(name)]


def better(name: str) -> Way:
    """Which way a measure is better: "minimize" or "maximize". `name` may have a prefix.

    Raises:
        ValueError: if there is no such measure.
    """
    return "maximize" if _bare(name) in _MAXIMIZED else "minimize"


def improves(name: str, value: float, best: float | None) -> bool:
    """Whether `value` of the measure `name` is finite and better than `best` (None: anything finite is)."""
    if not np.isfinite(value):
        return False
    if best is None:
        return True
    return value > best if better(name) == "maximize" else value < best


def measures(matrices: Floats, inverses: Floats, predictions: Floats) -> dict[str, float]:
    """How good predictions of inverses are.

    The relative error of a matrix is ‖X̂ - X‖ / ‖X‖, its residual ‖A·X̂ - I‖, both in the Frobenius norm; quantiles and
    means are over matrices. `rmse` is over all entries; `r2` compares it with that of the best constant.

    Args:
        matrices: A, `[count, n, n]`.
        inverses: X, `[count, n, n]`, in original units.
        predictions: X̂, `[count, n, n]`, in original units; may be non-finite, and then the measures are, too.

    Returns:
        Every measure of `NAMES`, in that order.
    """
    a, x, x_hat = (np.asarray(array, np.float64) for array in (matrices, inverses, predictions))
    size = a.shape[-1]
    with np.errstate(all="ignore"):
        squared = np.square(x_hat - x).sum((1, 2))
        relative = np.sqrt(squared / np.square(x).sum((1, 2)))
        residual = np.sqrt(np.square(a @ x_hat - np.eye(size)).sum((1, 2)))
        log10 = np.log10(np.maximum(relative, _SMALLEST)).mean()
        values = (
            np.sqrt(squared.mean() / size**2),
            1 - squared.sum() / np.square(x - x.mean(0)).sum(),
            10**log10,
            log10,
            *_quantiles(relative, (0.5, 0.9, 0.99)),
            _share(relative, 0.05),
            _share(relative, 0.01),
            *_quantiles(residual, (0.5, 0.9)),
        )
    return dict(zip(NAMES, map(float, values), strict=True))


def zero_skill(matrices: Floats, inverses: Floats) -> dict[str, float]:
    """The measures of the best constant prediction: the mean of `inverses` over the set, entry by entry."""
    return measures(matrices, inverses, np.broadcast_to(inverses.mean(0), inverses.shape))


def best_linear(matrices: Floats, inverses: Floats) -> dict[str, float]:
    """The measures of the linear map with intercept that fits this very set best, in the least squares of entries."""
    count = len(matrices)
    flat = np.column_stack([matrices.reshape(count, -1).astype(np.float64), np.ones(count)])
    weights = np.linalg.lstsq(flat, inverses.reshape(count, -1), rcond=None)[0]
    return measures(matrices, inverses, (flat @ weights).reshape(inverses.shape))


BASELINES: dict[str, Callable[[Floats, Floats], dict[str, float]]] = {
    "zero skill": zero_skill,
    "best linear": best_linear,
}
"""What stands beside a network's own measures."""


def _quantiles(values: Floats, shares: tuple[float, ...]) -> Floats:
    return np.asarray(np.quantile(values, shares)) if len(values) else np.full(len(shares), np.nan)


def _share(relative: Floats, limit: float) -> float:
    """The share of matrices at or below the limit; nan if any error is nan, as for the other measures."""
    return float(np.mean(relative <= limit)) if not np.isnan(relative).any() else float("nan")


def _bare(name: str) -> str:
    bare = name.rpartition("/")[2]
    if bare not in _TITLES:
        allowed = ", ".join(f"val/{known}" for known in NAMES)
        raise ValueError(f"objective.metric: got {name}, allowed is one of {allowed}")
    return bare
