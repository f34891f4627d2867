"""Error measures in original units, which way each is better, and what a network must beat. Beside them, the losses."""

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
_UNITS = {
    "rmse": "original units",
    "r2": "share of the variance",
    "log10_rel_error": "log10 of a ratio",
    "within_5pct": "share of matrices",
    "within_1pct": "share of matrices",
}  # of all others: a ratio
_MAXIMIZED = ("r2", "within_5pct", "within_1pct")

TRAIN_LOSS, VAL_LOSS = "train/loss", "val/loss"
"""What training minimises: over the batches since the last validation, and on the evaluation set. No measures, as they
are in the units that the network is trained in: where those vary, the losses do not compare."""

_LOSSES = {
    TRAIN_LOSS: "training loss, in trained units",
    VAL_LOSS: "training loss on the evaluation set, in trained units",
}

NAMES = tuple(_TITLES)
"""The measures, in the order in which tables show them. In a run they are prefixed: val/, best/, test/."""

REFINED = "refined_"
"""Begins the name of a measure of refined predictions: val/refined_rmse beside val/rmse."""

_OF_INVERSES = ("residual_median", "residual_p90")

_SMALLEST = float(np.finfo(np.float64).eps)
"""Relative errors below this count as this, so that one exact hit does not make the geometric mean zero."""


def names(inverse: bool, refined: bool) -> tuple[str, ...]:
    """The measures that a run has, by their bare names.

    Args:
        inverse: whether inverses are predicted: only they have residuals.
        refined: whether refined predictions are judged, too.
    """
    plain = tuple(name for name in NAMES if inverse or name not in _OF_INVERSES)
    return (*plain, *(f"{REFINED}{name}" for name in plain if refined))


def title(name: str) -> str:
    """What a measure or a loss is, in words. `name` may have a prefix."""
    return _LOSSES.get(name) or _TITLES[_bare(name)]


def unit(name: str) -> str:
    """What a measure is counted in. `name` may have a prefix. Raises ValueError if there is no such measure."""
    return _UNITS.get(_bare(name), "a ratio")


def better(name: str) -> Way:
    """Which way a measure or a loss is better: "minimize" or "maximize". `name` may have a prefix.

    Raises:
        ValueError: if there is neither.
    """
    return "minimize" if name in _LOSSES or _bare(name) not in _MAXIMIZED else "maximize"


def improves(name: str, value: float, best: float | None) -> bool:
    """Whether `value` of the measure `name` is finite and better than `best` (None: anything finite is)."""
    if not np.isfinite(value):
        return False
    if best is None:
        return True
    return value > best if better(name) == "maximize" else value < best


def measures(matrices: Floats, truth: Floats, predictions: Floats) -> dict[str, float]:
    """How good predictions of inverses, or of determinants, are.

    The relative error of a matrix is ‖X̂ - X‖ / ‖X‖, its residual ‖A·X̂ - I‖, both in the Frobenius norm; quantiles and
    means are over matrices. `rmse` is over all entries; `r2` compares it with that of the best constant.

    Args:
        matrices: A, `[count, n, n]`.
        truth: X, inverses `[count, n, n]` or determinants `[count, 1]`, in original units.
        predictions: X̂, in the shape of `truth`, in original units; may be non-finite, and then the measures are, too.

    Returns:
        Every measure of `NAMES` (of determinants: but for the residuals), in that order.
    """
    a, x, x_hat = (np.asarray(array, np.float64) for array in (matrices, truth, predictions))
    inverse = x.ndim == a.ndim
    entries = tuple(range(1, x.ndim))
    with np.errstate(all="ignore"):
        squared = np.square(x_hat - x).sum(entries)
        relative = np.sqrt(squared / np.square(x).sum(entries))
        log10 = np.log10(np.maximum(relative, _SMALLEST)).mean()
        values = [
            np.sqrt(squared.sum() / x.size),
            1 - squared.sum() / np.square(x - x.mean(0)).sum(),
            10**log10,
            log10,
            *_quantiles(relative, (0.5, 0.9, 0.99)),
            _share(relative, 0.05),
            _share(relative, 0.01),
        ]
        if inverse:
            residual = np.sqrt(np.square(a @ x_hat - np.eye(a.shape[-1])).sum(entries))
            values += [*_quantiles(residual, (0.5, 0.9))]
    return dict(zip(names(inverse, False), map(float, values), strict=True))


def rmse_by_entry(truth: Floats, predictions: Floats) -> Floats:
    """The root mean squared error of each entry apart, `[n, n]` or `[1]`, over `[count, …]` of both."""
    return np.asarray(np.sqrt(np.mean(np.square(np.asarray(predictions, np.float64) - truth), axis=0)))


def zero_skill(matrices: Floats, truth: Floats) -> dict[str, float]:
    """The measures of the best constant prediction: the mean of `truth` over the set, entry by entry."""
    return measures(matrices, truth, np.broadcast_to(truth.mean(0), truth.shape))


def best_linear(matrices: Floats, truth: Floats) -> dict[str, float]:
    """The measures of the linear map with intercept that fits this very set best, in the least squares of entries."""
    count = len(matrices)
    flat = np.column_stack([matrices.reshape(count, -1).astype(np.float64), np.ones(count)])
    weights = np.linalg.lstsq(flat, truth.reshape(count, -1), rcond=None)[0]
    return measures(matrices, truth, (flat @ weights).reshape(truth.shape))


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
    bare = name.rpartition("/")[2].removeprefix(REFINED)
    if bare not in _TITLES:
        allowed = ", ".join(f"val/{known}" for known in NAMES)
        raise ValueError(f"objective.metric: got {name}, allowed is one of {allowed}")
    return bare
