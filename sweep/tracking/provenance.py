"""Where something came from, left in its folder: the environment it ran in, and the source it ran from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sweep.engine.redact import redact
from sweep.tracking.environment import as_text, environment
from sweep.tracking.source import Source, source

ENVIRONMENT = "environment.json"
PATCH = "changes.patch"


def write_provenance(folder: Path, sources: Iterable[str | Path], **beside: Any) -> tuple[list[Path], dict[str, str]]:
    """Writes `environment.json`, and `changes.patch`: how tracked files of the source differ from its commit.

    Without a difference, or a checkout, the patch is empty: a run that had another keeps none but this.

    Args:
        folder: where to; it is made if it is not there.
        sources: folders that the source may be in: the first in a git checkout counts.
        beside: what else to say of the environment, as JSON has it.

    Returns:
        The files, and the tags by which MLflow knows a commit.
    """
    found: Source | None = next(filter(None, map(source, dict.fromkeys(map(str, sources)))), None)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / ENVIRONMENT, folder / PATCH]
    told: Mapping[str, Any] = {**environment(), **beside, "git": found.plain() if found else None}
    files[0].write_text(redact(as_text(told)), encoding="utf-8")
    files[1].write_text(redact(found.patch) if found else "", encoding="utf-8")
    return files, found.tags() if found else {}
