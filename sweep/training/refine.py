"""Newton-Schulz refinement: what a few steps of arithmetic make of a predicted inverse."""

from __future__ import annotations

import numpy as np

from sweep.metrics import Floats


def refined(matrices: Floats, predictions: Floats, steps: int) -> Floats:
    """Refines predicted inverses by `steps` steps X ← X(2I - AX) (Schulz, 1933).

    A step squares the residual I - AX, and so helps only where that is small: a matrix keeps its prediction when a step
    would make its residual larger. Needs the matrices alone, not their true inverses.

    Args:
        matrices: A, `[count, n, n]`.
        predictions: X, `[count, n, n]`, in original units; may be non-finite, and then stay so.
        steps: at least 0.

    Returns:
        Float64 `[count, n, n]`.
    """
    a, x = np.asarray(matrices, np.float64), np.asarray(predictions, np.float64)
    identity = np.eye(a.shape[-1])
    with np.errstate(all="ignore"):
        residual = identity - a @ x
        size = _squared(residual)
        for _ in range(steps):
            x_next = x + x @ residual
            residual_next = identity - a @ x_next
            size_next = _squared(residual_next)
            smaller = size_next < size
            x = np.where(smaller[:, None, None], x_next, x)
            residual = np.where(smaller[:, None, None], residual_next, residual)
            size = np.where(smaller, size_next, size)
    return x


def without_network(matrices: Floats, steps: int) -> Floats:
    """The same steps from Aᵀ / (‖A‖₁‖A‖∞), from where they always converge: what takes no network at all."""
    a = np.asarray(matrices, np.float64)
    largest = np.abs(a).sum(1).max(1) * np.abs(a).sum(2).max(1)
    return refined(a, a.transpose(0, 2, 1) / largest[:, None, None], steps)


def _squared(residual: Floats) -> Floats:
    return np.asarray(np.square(residual).sum((1, 2)))
