"""Adds files to a run that exists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sweep.engine.errors import UserError
from sweep.tracking.store import client, reason, shown

_SQLITE = "sqlite:///"


def add_files(uri: str, run_id: str, files: Iterable[tuple[Path, str]]) -> None:
    """Adds files to the artifacts of a run, in place of those that are there under the same names.

    Args:
        uri: MLflow's tracking URI; a SQLite file that is gone is not made anew.
        run_id: the run.
        files: each with its folder there; "" is the top.

    Raises:
        UserError: if the store does not answer, or has no such run.
    """
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE).partition("?")[0]).exists():
        raise UserError("tracking.uri", f"{shown(uri)}, which is gone", "the store that the study was tracked in")
    try:
        api = client(uri)
        for path, folder in files:
            api.log_artifact(run_id, str(path), folder or None)
    except Exception as error:
        received = f"{shown(uri)} ({reason(error)})"
        raise UserError("tracking.uri", received, "an MLflow store that answers and has the study's run") from error
