"""Lines of Hydra's override grammar, by the key that they set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString

from sweep.engine import literals
from sweep.engine.errors import UserError


def parse(lines: Iterable[str], loader: ConfigLoader) -> dict[str, Override]:
    """Overrides by key, of which the last of each key counts.

    Raises:
        UserError: if a line is no override.
    """
    parser = OverridesParser.create(config_loader=loader)
    overrides: dict[str, Override] = {}
    for line in lines:
        try:
            (override,) = parser.parse_overrides([line])
            if not override.is_sweep_override():
                literals.plain(override._value)
        except Exception as error:  # Hydra's parser raises whatever its Python code raises
            name, _, received = line.partition("=")
            raise UserError(name.lstrip("+~"), repr(received), f"Hydra's grammar: {_advice(error)}") from error
        overrides[override.key_or_group + (f"@{override.package}" if override.package else "")] = override
    return overrides


def written(key: str, value: Any) -> str:
    """The override that gives a key a plain value, whose texts stay texts when Hydra reads them again."""
    return f"{key}={Override._get_value_element_as_str(_quoted(value))}"


def _quoted(value: Any) -> Any:
    if isinstance(value, list):
        return [_quoted(each) for each in value]
    if isinstance(value, dict):
        return {name: _quoted(each) for name, each in value.items()}
    value = getattr(value, "name", value)  # of an enum
    return QuotedString(value, Quote.single) if isinstance(value, str) else value


def _advice(error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if "null" in str(error):
        reason += " (null among choices is written as key=null,1)"
    return reason
