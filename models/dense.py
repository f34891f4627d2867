"""A plain stack of dense layers."""

import keras

from models.activations import known_activation


def dense(size: int, depth: int, width: int, activation: str = "relu") -> keras.Model:
    """Builds a network of `depth` hidden layers of `width` units each.

    `depth` = 0 is a linear map with intercept, 1 has one hidden layer; the linear output layer is not counted.
    With m = n² entries there are (m + 1)·w + (d - 1)·(w + 1)·w + (w + 1)·m parameters, and (m + 1)·m at depth 0.
    Initial weights come from Keras's global seed (`keras.utils.set_random_seed`).

    Args:
        size: n, of the n×n matrices.
        depth: number of hidden layers, d.
        width: units in each, w.
        activation: one of `models.activations.ACTIVATIONS`.

    Returns:
        A model from matrices `[batch, n, n]` to scaled predictions `[batch, n * n]`, row by row.

    Raises:
        ValueError: if the activation is unknown.
    """
    known_activation(activation)
    inputs = keras.Input((size, size), name="matrix")
    x = keras.layers.Flatten()(inputs)
    for _ in range(depth):
        x = keras.layers.Dense(width, activation)(x)
    return keras.Model(inputs, keras.layers.Dense(size * size, name="scaled")(x), name="dense")
