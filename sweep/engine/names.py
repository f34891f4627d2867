"""Keys of a configuration, as short as they can be told apart."""

from __future__ import annotations

from collections.abc import Iterable


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last part of every key, or as many parts as it takes to tell it from the others."""
    keys = list(keys)
    names = {}
    for key in keys:
        parts = key.split(".")
        tails = [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
        alone = (tail for tail in tails if sum(_ends(other, tail) for other in keys) == 1)
        names[key] = next(alone, key)
    return names


def _ends(key: str, tail: str) -> bool:
    return key == tail or key.endswith(f".{tail}")
