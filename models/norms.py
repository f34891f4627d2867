"""The normalisations that networks of this project offer."""

NORMS = ("none", "layer", "batch")
"""None; each sample over its units (Ba et al., 2016, "Layer normalization"); each unit over a batch (Ioffe and Szegedy,
2015, "Batch normalization")."""


def known_norm(name: str) -> str:
    """Returns `name` if it is one of `NORMS`.

    Raises:
        ValueError: if it is not.
    """
    if name not in NORMS:
        raise ValueError(f"model.norm: got {name}, allowed is one of {', '.join(NORMS)}")
    return name
