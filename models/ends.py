"""What all networks begin and end with: matrices flattened row by row, and a linear layer of the trained units."""

from typing import Any

import keras

Tensor = Any


def flat_input(size: int) -> tuple[Tensor, Tensor]:
    """The input of matrices `[batch, size, size]`, called "matrix", and their entries `[batch, size * size]`."""
    matrix = keras.Input((size, size), name="matrix")
    return matrix, keras.layers.Flatten()(matrix)


def linear_output(name: str, matrix: Tensor, features: Tensor, outputs: int) -> keras.Model:
    """The model from `matrix` to a linear layer of `features`, called "scaled".

    That layer is float32 whatever the dtype policy: bfloat16 keeps less than three digits, which no loss could mend.

    Args:
        name: of the model.
        matrix: its input.
        features: what the last hidden layer gives, `[batch, features]`.
        outputs: how many numbers are predicted of each matrix.

    Returns:
        A model from matrices `[batch, n, n]` to predictions `[batch, outputs]` in trained units.
    """
    scaled = keras.layers.Dense(outputs, dtype="float32", name="scaled")(features)
    return keras.Model(matrix, scaled, name=name)
