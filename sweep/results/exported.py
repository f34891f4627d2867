"""What of a configuration an exported file has: what it is, not where and under which name it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPECTS = "expects"
"""Key with what a run of an exported file is compared with: see `sweep.results.expectation`."""

NOT_EXPORTED = ("paths", "tracking", "storage", "study", "hydra", EXPECTS)
"""Keys that say where and under which name something is kept, or where it came from."""

NOT_CHOSEN = ("experiment", "study", "tracking", "storage")
"""Groups whose choice is not exported: an experiment's content is among the values."""


def exported_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration, given as plain values, that is exported."""
    return {key: value for key, value in config.items() if key not in NOT_EXPORTED}
