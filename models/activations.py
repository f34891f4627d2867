"""The activations that networks of this project offer."""

ACTIVATIONS = ("elu", "gelu", "leaky_relu", "linear", "mish", "relu", "selu", "sigmoid", "silu", "softplus", "tanh")
"""Keras's names of them."""


def known_activation(name: str) -> str:
    """Returns `name` if it is one of `ACTIVATIONS`.

    Raises:
        ValueError: if it is not.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"model.activation: got {name}, allowed is one of {', '.join(ACTIVATIONS)}")
    return name
