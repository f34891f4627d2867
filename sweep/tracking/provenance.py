"""Where something came from, left in its folder: the environment it ran in, and the source it ran from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep.engine.redact import redact
from sweep.tracking.environment import as_text, environment
from sweep.tracking.source import Source

ENVIRONMENT = "environment.json"
PATCH = "changes.patch"


def write_provenance(folder: Path, source: Source | None, **beside: Any) -> list[Path]:
    """Writes `environment.json`, and `changes.patch`: how tracked files of the source differ from its commit.

    Without a difference, or a checkout, the patch is empty: a run that had another keeps none but this.

    Args:
        folder: where to; it is made if it is not there.
        source: what it ran from, if that is in a checkout.
        beside: what else to say of the environment, as JSON has it.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / ENVIRONMENT, folder / PATCH]
    told: Mapping[str, Any] = {**environment(), **beside, "git": source.plain() if source else None}
    files[0].write_text(redact(as_text(told)), encoding="utf-8")
    files[1].write_text(redact(source.patch) if source else "", encoding="utf-8")
    return files
