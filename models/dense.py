"""A plain stack of dense layers, with skip connections and normalisation where they are wanted."""

import keras

from models.activations import known_activation
from models.ends import flat_input, linear_output
from models.norms import known_norm


def dense(
    size: int,
    outputs: int,
    depth: int,
    width: int,
    activation: str = "relu",
    skip: bool = False,
    norm: str = "none",
) -> keras.Model:
    """Builds a network of `depth` hidden layers of `width` units each.

    A hidden layer is linear, then normalised, then activated. `depth` = 0 is a linear map with intercept, 1 has one
    hidden layer; the linear output layer is not counted. Initial weights come from Keras's global seed
    (`keras.utils.set_random_seed`).

    Parameters: (m + 1)*w + (d - 1)*(w + 1)*w + d*w*r + (w + 1)*k if d else (m + 1)*k
    with m = size**2, k = outputs, d = depth, w = width, r = {"none": 0, "layer": 2, "batch": 3}[norm].

    Args:
        size: n, of the n×n matrices.
        outputs: numbers that are predicted of each.
        depth: number of hidden layers.
        width: units in each.
        activation: one of `models.activations.ACTIVATIONS`.
        skip: whether each hidden layer from the second on adds its input to its output (He et al., 2016, "Deep residual
            learning for image recognition"). Takes no parameters.
        norm: one of `models.norms.NORMS`. "layer" adds a scale and a shift to each unit; "batch" too, with the running
            mean and variance of each, which are counted, and its shift takes the bias's place.

    Returns:
        A model from matrices `[batch, n, n]` to predictions `[batch, outputs]` in trained units, row by row.

    Raises:
        ValueError: if the activation or the normalisation is unknown.
    """
    known_activation(activation)
    known_norm(norm)
    matrix, x = flat_input(size)
    for layer in range(depth):
        below = x
        x = keras.layers.Dense(width, None if norm != "none" else activation, use_bias=norm != "batch")(below)
        if norm != "none":
            normalised = keras.layers.LayerNormalization if norm == "layer" else keras.layers.BatchNormalization
            x = keras.layers.Activation(activation)(normalised()(x))
        if skip and layer > 0:
            x = keras.layers.Add()([below, x])
    return linear_output("dense", matrix, x, outputs)
