"""Where a study is to be seen in MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import optuna

from sweep.engine.errors import UserError
from sweep.engine.parent import TRACKING_URI
from sweep.paths import Paths
from sweep.tracking.store import is_gone


@dataclass(frozen=True)
class Page:
    """A page of MLflow's UI.

    Attributes:
        uri: the store that it is about.
        anchor: the part of its address after `#`; "" is the first page.
    """

    uri: str
    anchor: str


def page_of(study: optuna.Study) -> Page:
    """The page of a study's run. Raises UserError if the study is not tracked."""
    attributes = study.user_attrs
    if TRACKING_URI not in attributes:
        allowed = "a study with tracking.uri"
        raise UserError("STUDY", f"{study.study_name!r}, which is not tracked in MLflow", allowed)
    return Page(str(attributes[TRACKING_URI]), str(attributes.get("page", "")))


def page_to_show(studies: Iterable[optuna.Study], paths: Paths) -> Page:
    """The page of the newest study that is tracked, wherever its store is; without any, the project's own store.

    Args:
        studies: the oldest first.
        paths: the project's stores.

    Raises:
        UserError: if there is neither.
    """
    tracked = [page_of(study) for study in studies if TRACKING_URI in study.user_attrs]
    pages = [page for page in tracked if not is_gone(page.uri)]
    if not pages and not paths.database.exists():
        raise UserError("sweep ui", f"no runs in {paths.mlruns}", "a project with runs: `sweep run` makes one")
    return pages[-1] if pages else Page(f"sqlite:///{paths.database}", "")
