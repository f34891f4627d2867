"""How a schema says that a value is out of its bounds."""


def require(ok: bool, key: str, received: object, allowed: str) -> None:
    """Raises ValueError with the one form that all errors of values have."""
    if not ok:
        raise ValueError(f"{key}: got {received}, allowed is {allowed}")
