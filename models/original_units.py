"""From a network that predicts in the units in which it was trained to one that predicts in original units."""

import keras
from keras import ops

from models.input_norm import root_mean_square

TARGETS = ("inverse", "determinant")
COMPRESSIONS = ("none", "asinh")


def original_units(
    network: keras.Model,
    target_scale: float,
    target: str = "inverse",
    compression: str = "none",
    input_norm: bool = False,
) -> keras.Model:
    """Adds the layers that undo what was done to the targets, sharing the network's own.

    With s the root mean square of the matrix's entries, or 1 without `input_norm`, the network was trained on
    inverse * s / `target_scale`, or on determinant / sⁿ / `target_scale`, or with `compression` on the asinh of that.
    All that is added are stock Keras layers and operations in float32: the saved model needs nothing of this project to
    be loaded, and predicts in float32 whatever the dtype policy.

    Args:
        network: what was trained, from matrices `[batch, n, n]` as they are (with `input_norm`, what
            `models.input_norm.normalized_input` made) to predictions `[batch, outputs]` in trained units.
        target_scale: what the targets were divided by.
        target: "inverse", of n·n outputs, or "determinant", of 1.
        compression: "none" or "asinh".
        input_norm: whether the targets were those of the matrix divided by s.

    Returns:
        A model from matrices `[batch, n, n]` to predictions in original units: inverses `[batch, n, n]` or determinants
        `[batch, 1]`.

    Raises:
        ValueError: if the target or the compression is unknown, or if the network has another number of outputs.
    """
    _known("data.target", target, TARGETS)
    _known("data.compression", compression, COMPRESSIONS)
    (matrix,) = network.inputs
    size = matrix.shape[-1]
    shape = (size, size) if target == "inverse" else (1,)
    x = network.outputs[0]
    if compression == "asinh":
        x = ops.sinh(x)
    x = keras.layers.Rescaling(target_scale, dtype="float32", name="original_units")(x)
    x = keras.layers.Reshape(shape, dtype="float32", name=target)(x)
    if input_norm and target == "inverse":
        x = ops.divide(x, root_mean_square(matrix))
    elif input_norm:
        x = ops.multiply(x, ops.power(ops.squeeze(root_mean_square(matrix), -1), size))
    return keras.Model(matrix, x, name=network.name)


def _known(key: str, name: str, allowed: tuple[str, ...]) -> None:
    if name not in allowed:
        raise ValueError(f"{key}: got {name}, allowed is one of {', '.join(allowed)}")
