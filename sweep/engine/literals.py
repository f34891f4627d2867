"""Values as Hydra's override grammar writes them, and back."""

from __future__ import annotations

import re
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString, Sweep

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*([/.][A-Za-z_][A-Za-z0-9_-]*)*")
_KEYWORDS = {"true", "false", "null", "inf", "nan"}


def text_of(value: Any) -> str:
    """The text of a plain value in an override: what Hydra reads back as the same value, of the same type."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(text_of, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_key_text(key)}:{text_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and not (_BARE.fullmatch(value) and value.lower() not in _KEYWORDS):
        return QuotedString(value, Quote.single).with_quotes()
    return str(Override._get_value_element_as_str(value))


def as_written(value: Any) -> str:
    """What YAML has for an override as its text, which is what a string is already."""
    return value if isinstance(value, str) else text_of(value)


def plain(value: Any) -> Any:
    """A parsed value without its quotes. Raises ValueError if there is a sweep inside of it."""
    if isinstance(value, Sweep | Glob):
        raise ValueError("a sweep inside of a value")
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value


def read(text: str) -> Any:
    """The value that a text has in an override; the text itself if it has none there."""
    try:
        return plain(OverridesParser.create().parse_override(f"key={text}")._value)
    except Exception:  # Hydra's parser raises whatever its Python code raises
        return text


def _key_text(key: Any) -> str:
    return str(Override._get_value_element_as_str(key))
