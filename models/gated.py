"""Residual blocks with gates: what multiplies two linear maps can multiply entries of the matrix."""

import keras

from models.activations import known_activation
from models.ends import flat_input, linear_output


def gated(
    size: int,
    outputs: int,
    depth: int,
    width: int,
    activation: str = "silu",
    expansion: int = 2,
    layer_norm: bool = True,
) -> keras.Model:
    """Builds a network of `depth` gated residual blocks between a linear stem and a linear output layer.

    A block is x + Down(activation(Gate(y)) * Up(y)) with y the layer normalisation of x, or x itself, and Gate, Up and
    Down linear (Shazeer, 2020, "GLU variants improve transformer"). The activation names the variant: "silu" is SwiGLU,
    "gelu" GEGLU, "relu" ReGLU, "sigmoid" GLU, and "linear" bilinear: a product of two linear maps, as in a determinant.
    Down starts at zero, so that every block starts as the identity (Zhang et al., 2019, "Fixup initialization").
    `depth` = 0 is the stem alone, and with it a linear map, but for the normalisation. Initial weights come from
    Keras's global seed (`keras.utils.set_random_seed`).

    Parameters: (m + 1)*w + d*(2*(w + 1)*e*w + (e*w + 1)*w) + (2*w*(d + 1) if layer_norm else 0) + (w + 1)*k
    with m = size**2, k = outputs, d = depth, w = width, e = expansion.

    Args:
        size: n, of the n×n matrices.
        outputs: numbers that are predicted of each.
        depth: number of blocks.
        width: units that run from block to block.
        activation: of the gates; one of `models.activations.ACTIVATIONS`.
        expansion: units of Gate, and of Up, for each unit of `width`.
        layer_norm: whether each block and the output layer see their input normalised over its units (Xiong et al.,
            2020, "On layer normalization in the transformer architecture": pre-norm).

    Returns:
        A model from matrices `[batch, n, n]` to predictions `[batch, outputs]` in trained units, row by row.

    Raises:
        ValueError: if the activation is unknown.
    """
    known_activation(activation)
    layers = keras.layers
    matrix, x = flat_input(size)
    x = layers.Dense(width, name="stem")(x)
    for _ in range(depth):
        y = layers.LayerNormalization()(x) if layer_norm else x
        gate = layers.Dense(expansion * width, activation)(y)
        up = layers.Dense(expansion * width)(y)
        down = layers.Dense(width, kernel_initializer="zeros")(layers.Multiply()([gate, up]))
        x = layers.Add()([x, down])
    return linear_output("gated", matrix, layers.LayerNormalization()(x) if layer_norm else x, outputs)
