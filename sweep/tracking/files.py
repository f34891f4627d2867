"""Adds files to a run that exists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sweep.tracking.store import answering, client


def add_files(uri: str, run_id: str, files: Iterable[tuple[Path, str]]) -> None:
    """Adds files to the artifacts of a run, in place of those that are there under the same names.

    Args:
        uri: MLflow's tracking URI.
        run_id: the run.
        files: each with its folder there; "" is the top.

    Raises:
        UserError: if the store does not answer, or has no such run.
    """
    with answering(uri, "an MLflow store that answers and has the study's run"):
        api = client(uri)
        for path, folder in files:
            api.log_artifact(run_id, str(path), folder or None)
