"""From a network that predicts scaled, flat inverses to one that predicts inverses."""

import keras


def original_units(network: keras.Model, target_scale: float) -> keras.Model:
    """Adds the layers that undo the target scale, sharing the network's own.

    They are stock Keras layers: the saved model needs nothing of this project to be loaded.

    Args:
        network: from matrices `[batch, n, n]` to predictions `[batch, n * n]` of inverse / `target_scale`.
        target_scale: what the targets were divided by.

    Returns:
        A model from matrices `[batch, n, n]` to their predicted inverses `[batch, n, n]`, in original units.
    """
    (matrix,) = network.inputs
    flat = keras.layers.Rescaling(target_scale, name="original_units")(network.outputs[0])
    return keras.Model(matrix, keras.layers.Reshape(matrix.shape[1:], name="inverse")(flat), name=network.name)
