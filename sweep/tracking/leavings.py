"""What Hydra and a trial leave in the trial's folder, as artifacts of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_LOG = 5_000_000
"""Bytes of a log that are kept: of a longer one the end."""


def log_leavings(api: Any, run_id: str, folder: str | Path | None, traceback: str = "") -> None:
    """Logs Hydra's own files under `config/`, everything that ends in `.log` under `logs/`, and a traceback.

    Args:
        api: MLflow's client.
        run_id: the run.
        folder: the trial's output directory, or None.
        traceback: of the exception that ended it.
    """
    if traceback:
        api.log_text(run_id, traceback, "traceback.txt")
    if not folder:
        return
    folder = Path(folder)
    for file in sorted(Path(folder, ".hydra").glob("*.yaml")):
        api.log_artifact(run_id, str(file), "config")
    for file in sorted(folder.glob("*.log")):
        size = file.stat().st_size
        if size > _LOG:
            with file.open("rb") as whole:
                whole.seek(size - _LOG)
                end = whole.read().decode("utf-8", "replace")
            api.log_text(run_id, f"[the first {size - _LOG:,} bytes are in {file}]\n{end}", f"logs/{file.name}")
        elif size:
            api.log_artifact(run_id, str(file), "logs")
