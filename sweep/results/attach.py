"""Adds files to the run of a study that has ended, or runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import optuna

from sweep.engine.parent import TRACKING_URI
from sweep.engine.storage import with_password
from sweep.tracking.store import TRACKING_VARIABLE


def attach(study: optuna.Study, files: Iterable[tuple[Path, str]]) -> bool:
    """Adds files to the artifacts of a study's run; returns whether it has one.

    Args:
        study: the study.
        files: each with its folder there.

    Raises:
        UserError: if the store does not answer, or has the run no more.
    """
    uri, page = study.user_attrs.get(TRACKING_URI), study.user_attrs.get("page")
    if not uri or not page:
        return False
    from sweep.tracking.files import add_files

    add_files(with_password(str(uri), TRACKING_VARIABLE), str(page).rpartition("/")[2], files)
    return True
