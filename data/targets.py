"""What a network is to predict of a matrix. In NumPy: the command line checks configurations with this file."""

from enum import Enum

from data.matrices import Floats, det, inverse


class Target(Enum):
    """What is predicted: the inverse, n·n numbers row by row, or the determinant, one number."""

    inverse = "inverse"
    determinant = "determinant"


class Compression(Enum):
    """What is done to scaled targets so that the few large ones weigh less: nothing, or asinh, linear near 0."""

    none = "none"
    asinh = "asinh"


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
