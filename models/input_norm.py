"""Networks that see every matrix at the same size: divided by the root mean square of its entries."""

from typing import Any

import keras
from keras import ops

Tensor = Any


def root_mean_square(matrix: Tensor) -> Tensor:
    """That of the entries of each matrix, `[batch, 1, 1]` of `[batch, n, n]`. In stock Keras operations."""
    return ops.sqrt(ops.mean(ops.square(matrix), axis=(1, 2), keepdims=True))


def normalized_input(network: keras.Model) -> keras.Model:
    """Puts the division before a network, which stays the one that is trained.

    Args:
        network: from matrices `[batch, n, n]`.

    Returns:
        A model of the same name and weights from matrices `[batch, n, n]`, as they are, to what `network` makes of
        each divided by its root mean square. A matrix of zeros gives nan.
    """
    matrix = keras.Input(network.inputs[0].shape[1:], name="matrix")
    return keras.Model(matrix, network(ops.divide(matrix, root_mean_square(matrix))), name=network.name)
