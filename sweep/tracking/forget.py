"""Takes the runs of a study out of MLflow, with their artifacts, for good."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweep.tracking.store import answering, client, full, is_gone

log = logging.getLogger(__name__)

NOTHING_DELETED = "an MLflow store that answers; nothing was deleted"

SOME_LEFT = "an MLflow store that lets things be deleted; the same command goes on"

_MOST = 1000
"""How many runs are asked for at once."""


def find_runs(uri: str, study_id: str) -> list[str]:
    """The ids of all runs of a study, those that were deleted but are still there too.

    Args:
        uri: MLflow's tracking URI; a SQLite file that is gone has no runs, and is not made.
        study_id: what the runs are tagged with.

    Raises:
        UserError: if the store does not answer.
    """
    if is_gone(uri):
        return []
    with answering(uri, NOTHING_DELETED):
        return _tagged(client(uri), study_id)


def forget(uri: str, run_ids: Sequence[str]) -> bool:
    """Deletes runs and their artifacts; returns whether they are gone for good, as in a database.

    A server only marks runs as deleted: its own `mlflow gc` removes what is left of them.

    Raises:
        UserError: if one cannot be deleted; those before it are.
    """
    if not run_ids:
        return True
    with answering(uri, SOME_LEFT):
        api = client(uri)
        remove = _remover(api)
        for run_id in run_ids:
            # The run comes last: whoever is interrupted finds it again, and what is left of its artifacts by it.
            delete_artifacts(api.get_run(run_id).info.artifact_uri, uri)
            (remove or api.delete_run)(run_id)
    return remove is not None


def delete_artifacts(location: str, uri: str) -> None:
    """Deletes what is at an artifact location of MLflow's, with the folder that was made for it; `uri` is the store."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    repository = get_artifact_repository(location, tracking_uri=full(uri))
    try:
        repository.delete_artifacts()
    except NotImplementedError:
        log.warning("The artifacts at %s stay: MLflow cannot delete them there", location)
    if isinstance(repository, LocalArtifactRepository):
        own = Path(repository.artifact_dir).parent
        with contextlib.suppress(OSError):  # somebody else's files, or gone already
            own.rmdir()


def _tagged(api: Any, study_id: str) -> list[str]:
    from mlflow.entities import ViewType

    runs = ViewType.ALL if _remover(api) else ViewType.ACTIVE_ONLY  # what a server has marked stays
    experiments = [experiment.experiment_id for experiment in api.search_experiments(view_type=ViewType.ALL)]
    found: list[str] = []
    page = None
    while True:
        text = f"tags.`sweep.study_id` = '{study_id}'"
        some = api.search_runs(experiments, text, run_view_type=runs, max_results=_MOST, page_token=page)
        found += [run.info.run_id for run in some]
        page = some.token
        if not page:
            return found


def _remover(api: Any) -> Any:
    """What `mlflow gc` removes a run for good with; None for a store that has no such thing, as a server."""
    return getattr(api._tracking_client.store, "_hard_delete_run", None)
