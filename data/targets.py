"""What a network is to predict of a matrix. In NumPy: the command line checks configurations with this file."""

from enum import Enum
from typing import Protocol

import numpy as np

from data.matrices import Floats, det, inverse


class Target(Enum):
    """What is predicted: the inverse, n·n numbers row by row, or the determinant, one number."""

    inverse = "inverse"
    determinant = "determinant"


class Compression(Enum):
    """What is done to scaled targets so that the few large ones weigh less: nothing, or asinh, linear near 0."""

    none = "none"
    asinh = "asinh"


class Units(Protocol):
    """What networks are trained in: keys of the configuration group `data`."""

    @property
    def target(self) -> Target:
        """What is predicted."""

    @property
    def target_scale(self) -> float:
        """What targets are divided by."""

    @property
    def compression(self) -> Compression:
        """What is done to targets after that."""

    @property
    def input_norm(self) -> bool:
        """Whether targets are those of the matrix divided by the root mean square of its entries."""


def outputs(target: Target, size: int) -> int:
    """How many numbers a network for `size`×`size` matrices predicts."""
    return 1 if target is Target.determinant else size * size


def truth(matrices: Floats, target: Target) -> Floats:
    """The targets of matrices `[count, n, n]` in original units: `[count, n, n]`, or `[count, 1]` for the determinant.

    They have the dtype of the matrices: give them in float64.

    Raises:
        numpy.linalg.LinAlgError: if the target is the inverse, n > 3, and a matrix is exactly singular.
    """
    return det(matrices)[:, None] if target is Target.determinant else inverse(matrices)


def trained_units(values: Floats, matrices: Floats, units: Units) -> Floats:
    """Targets or predictions in the units of training, as `data.stream.stream` has them.

    Args:
        values: in original units, in the shape of `truth`; may be non-finite, and then stay so.
        matrices: those they belong to, `[count, n, n]`.
        units: what networks are trained in.

    Returns:
        Float32 `[count, outputs]`.
    """
    factor: Floats | float = 1.0
    if units.input_norm:
        size = np.sqrt(np.mean(np.square(matrices, dtype=np.float64), axis=(1, 2)))
        factor = size[:, None] if units.target is Target.inverse else size[:, None] ** -matrices.shape[-1]
    with np.errstate(all="ignore"):
        scaled = values.reshape(len(values), -1) * (factor / units.target_scale)
        compressed = np.arcsinh(scaled) if units.compression is Compression.asinh else scaled
        return np.asarray(compressed, np.float32)
