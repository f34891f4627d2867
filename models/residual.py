"""The answer's network: residual blocks of densely connected layers."""

import keras

from models.activations import known_activation


def residual(
    size: int,
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

    With m = n² entries, stem s, width w, L layers a block and d blocks there are
    (m + 1)·s + d·[Σₖ₌₀ᴸ⁻¹ (s + k·w + 1)·w + (s + L·w + 1)·s] + (s + 1)·m parameters: 4,712,713 with n = 3 and the
    defaults. Initial weights come from Keras's global seed (`keras.utils.set_random_seed`).

    Args:
        size: n, of the n×n matrices.
        depth: number of blocks, d.
        width: units in each layer of a block, w.
        activation: of the stem and of a block's layers; one of `models.activations.ACTIVATIONS`.
        stem_width: units that run from block to block, s.
        layers_per_block: densely connected layers in each block, L.

    Returns:
        A model from matrices `[batch, n, n]` to scaled predictions `[batch, n * n]`, row by row.

    Raises:
        ValueError: if the activation is unknown.
    """
    known_activation(activation)
    inputs = keras.Input((size, size), name="matrix")
    x = keras.layers.Dense(stem_width, activation, name="stem")(keras.layers.Flatten()(inputs))
    for _ in range(depth):
        seen = x
        for _ in range(layers_per_block):
            layer = keras.layers.Dense(width, activation)(seen)
            seen = keras.layers.Concatenate()([seen, layer])
        x = keras.layers.Add()([x, keras.layers.Dense(stem_width, kernel_initializer="zeros")(seen)])
    return keras.Model(inputs, keras.layers.Dense(size * size, name="scaled")(x), name="residual")
