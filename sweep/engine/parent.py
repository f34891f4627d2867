"""A study's run in MLflow, if it is tracked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from omegaconf import DictConfig

from sweep.engine.study import NOT_COMPARABLE
from sweep.results.study_params import study_params

if TYPE_CHECKING:
    from sweep.engine.works import Work
    from sweep.tracking.page import StudyPage
    from sweep.tracking.runs import StudyRun
    from sweep.tracking.store import Store

TRACKING_URI = "tracking_uri"
"""Study attribute: where its runs are, without a password."""


PARENT = "parent"
"""Study attribute: MLflow's experiment, and the run that its trials' runs are under."""


def open_store(settings: DictConfig) -> Store | None:
    """The MLflow store, opened before anything else is made, so that one that does not answer costs nothing."""
    tracking = settings.tracking
    if not tracking.uri:
        return None
    from sweep.tracking import store

    return store.open_store(tracking.uri, tracking.experiment, Path(tracking.artifacts))


def open_page(store: Store | None, study: optuna.Study, work: Work) -> StudyPage | None:
    """Finds or creates the run of a study, marks it as running, and writes what earlier processes left of it.

    Raises:
        UserError: if the store does not answer.
    """
    if store is None:
        return None
    from sweep.tracking.runs import study_run

    study.set_user_attr(TRACKING_URI, store.uri)  # before any run is made, so that all can be deleted

    params = study_params(work.settings, work.space.describe(), work.identity.directions, study.user_attrs["seed"])
    run = study_run(store, work.name, study.user_attrs["id"], params, marks(study))
    study.set_user_attr("page", f"/experiments/{store.experiment_id}/runs/{run.run_id}")
    run = dataclasses.replace(run, marks=marks(study))
    _remember(run, study)
    page = run.page(work.home)
    page.begin()
    page.catch_up()
    return page


def beside(page: StudyPage | None, study: optuna.Study) -> StudyRun | None:
    """The run of a page for the trials of a study's sibling."""
    if page is None:
        return None
    study.set_user_attr(TRACKING_URI, page.run.store.uri)
    run = dataclasses.replace(page.run, study=study.study_name, study_id=study.user_attrs["id"], marks=marks(study))
    _remember(run, study)
    return run


def known_run(study: optuna.Study) -> StudyRun | None:
    """The run that a study's trials are under, whether or not its store answers; None if it is not tracked."""
    known = study.user_attrs.get(PARENT)
    if known is None:
        return None
    from sweep.tracking.runs import StudyRun
    from sweep.tracking.store import Store

    store = Store(study.user_attrs[TRACKING_URI], *known["experiment"])
    return StudyRun(store, known["run_id"], study.study_name, study.user_attrs["id"], marks=marks(study))


def _remember(run: StudyRun, study: optuna.Study) -> None:
    experiment = [run.store.experiment, run.store.experiment_id]
    study.set_user_attr(PARENT, {"experiment": experiment, "run_id": run.run_id})


def marks(study: optuna.Study) -> dict[str, str]:
    """Tags of all runs and models of a study whose trials cannot be compared; none otherwise."""
    reason = study.user_attrs.get(NOT_COMPARABLE)
    return {"sweep.comparable": "false", f"sweep.{NOT_COMPARABLE}": reason} if reason else {}
