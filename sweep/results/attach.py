"""Adds files to the run of a study that has ended, or runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import optuna

from sweep.engine.parent import known_run


def attach(study: optuna.Study, files: Iterable[tuple[Path, str]]) -> bool:
    """Adds files to the artifacts of a study's run; returns whether it has one.

    Args:
        study: the study.
        files: each with its folder there.

    Raises:
        UserError: if the store does not answer, or has the run no more.
    """
    run = known_run(study)
    if run is None:
        return False
    from sweep.tracking.files import add_files

    add_files(run.store.uri, run.run_id, files)
    return True
