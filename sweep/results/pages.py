"""Where a study is to be seen in MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import optuna

from sweep.engine.errors import UserError
from sweep.engine.parent import TRACKING_URI
from sweep.paths import Paths


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
    """The page of the newest study: of those in the project's own store, if there is one."""
    own = f"sqlite:///{paths.database}"
    pages = [page_of(study) for study in studies if TRACKING_URI in study.user_attrs]
    if paths.database.exists():
        pages = [page for page in pages if page.uri == own]
    return pages[-1] if pages else Page(own, "")
