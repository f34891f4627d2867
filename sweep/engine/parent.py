"""A study's run in MLflow, if it is tracked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from omegaconf import DictConfig

from sweep.engine.checks import directions
from sweep.engine.storage import bare

if TYPE_CHECKING:
    from sweep.engine.works import Work
    from sweep.tracking.runs import StudyRun
    from sweep.tracking.store import Store


TRACKING_URI = "tracking_uri"
"""Study attribute: where its runs are."""


def open_store(settings: DictConfig) -> Store | None:
    """The MLflow store, opened before anything else is made, so that one that does not answer costs nothing."""
    tracking = settings.tracking
    if not tracking.uri:
        return None
    from sweep.tracking import store

    return store.open_store(tracking.uri, tracking.experiment, Path(tracking.artifacts))


def open_run(store: Store | None, study: optuna.Study, work: Work) -> StudyRun | None:
    """Finds or creates the run of a study."""
    if store is None:
        return None
    from sweep.tracking.runs import study_run

    study.set_user_attr(TRACKING_URI, bare(store.uri))  # before any run is made, so that all can be deleted

    settings = work.settings
    params = {f"space/{key}": text for key, text in work.space.describe().items()}
    params |= {key: str(settings[key]) for key in ("n_trials", "n_jobs", "n_agents", "objective", "max_retries")}
    params |= {key: str(settings[key]._target_).rpartition(".")[2] for key in ("sampler", "pruner") if settings[key]}
    params |= {"direction": ",".join(directions(settings)), "seed": str(study.user_attrs["seed"])}
    run = study_run(store, work.name, study.user_attrs["id"], params)
    study.set_user_attr("page", f"/experiments/{store.experiment_id}/runs/{run.run_id}")
    return run


def known_run(store: Store | None, study: optuna.Study) -> StudyRun | None:
    """The run of a study that was run before, as it stands; None if nothing is tracked, or it is not there any more."""
    if store is None:
        return None
    from sweep.tracking.runs import known_study_run

    return known_study_run(store, study.study_name, study.user_attrs["id"])


def beside(run: StudyRun | None, study: optuna.Study) -> StudyRun | None:
    """The same run for the trials of a study's sibling."""
    if run is None:
        return None
    study.set_user_attr(TRACKING_URI, bare(run.store.uri))
    return dataclasses.replace(run, study=study.study_name, study_id=study.user_attrs["id"])
