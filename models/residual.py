"""The answer's network: residual blocks of densely connected layers."""

import keras

from models.activations import known_activation
from models.ends import flat_input, linear_output


def residual(
    size: int,
    outputs: int,
    depth: int = 7,
    width: int = 256,
    activation: str = "relu",
    stem_width: int = 128,
    layers_per_block: int = 4,
) -> keras.Model:
    """Builds a network of `depth` residual blocks between a stem and a linear output layer.

    In a block, each of `layers_per_block` layers of `width` units sees everything so far: the block's input and the
    outputs of its earlier layers, concatenated (Huang et al., 2017, "Densely connected convolutional networks").
    A linear layer of `stem_width` units sees all of it, too, and is added to the block's input; it starts at zero, so
    that every block starts as the identity (Zhang et al., 2019, "Fixup initialization"). `depth` = 0 is the stem alone.
    Initial weights come from Keras's global seed (`keras.utils.set_random_seed`).

    Parameters: (m + 1)*s + d*(sum((s + i*w + 1)*w for i in range(L)) + (s + L*w + 1)*s) + (s + 1)*k
    with m = size**2, k = outputs, d = depth, w = width, s = stem_width, L = layers_per_block.
    That is 4,712,713 for the inverses of 3×3 matrices with the defaults.

    Args:
        size: n, of the n×n matrices.
        outputs: numbers that are predicted of each.
        depth: number of blocks.
        width: units in each layer of a block.
        activation: of the stem and of a block's layers; one of `models.activations.ACTIVATIONS`.
        stem_width: units that run from block to block.
        layers_per_block: densely connected layers in each block.

    Returns:
        A model from matrices `[batch, n, n]` to predictions `[batch, outputs]` in trained units, row by row.

    Raises:
        ValueError: if the activation is unknown.
    """
    known_activation(activation)
    matrix, x = flat_input(size)
    x = keras.layers.Dense(stem_width, activation, name="stem")(x)
    for _ in range(depth):
        seen = x
        for _ in range(layers_per_block):
            layer = keras.layers.Dense(width, activation)(seen)
            seen = keras.layers.Concatenate()([seen, layer])
        x = keras.layers.Add()([x, keras.layers.Dense(stem_width, kernel_initializer="zeros")(seen)])
    return linear_output("residual", matrix, x, outputs)
