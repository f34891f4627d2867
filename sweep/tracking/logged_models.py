"""The models of a study's trials in MLflow: which are there, what is registered of them, and how they go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sweep.tracking.calls import source_tags
from sweep.tracking.forget import delete_artifacts
from sweep.tracking.store import client

STUDY_ID = "sweep.study_id"
TRIAL = "sweep.trial"

_MOST = 1000
"""How many things are asked for at once."""


@dataclass(frozen=True)
class Logged:
    """A model of a trial, in MLflow.

    Attributes:
        model_id: MLflow's id of it.
        trial: number of the trial.
        ready: whether all of it is there; otherwise whoever logged it failed, was killed, or is at it.
    """

    model_id: str
    trial: int
    ready: bool


class StudyModels:
    """The models of a study in an MLflow store, found by their tags. Every method raises what MLflow raises.

    Args:
        uri: MLflow's tracking URI.
        study: the study's name.
        study_id: the study's id.
        experiments: ids of the experiments to look in; None is all.
    """

    def __init__(self, uri: str, study: str, study_id: str, experiments: Iterable[str] | None = None) -> None:
        self.uri = uri
        self.study = study
        self.study_id = study_id
        self._given = None if experiments is None else list(experiments)

    def logged(self) -> list[Logged]:
        """All models of the study, the oldest first."""
        order = [{"field_name": "creation_timestamp", "ascending": True}]
        text = f"tags.`{STUDY_ID}` = '{self.study_id}'"
        found = self._pages(
            lambda page: self._client.search_logged_models(self._experiments, text, order_by=order, page_token=page)
        )
        return [Logged(m.model_id, int(m.tags[TRIAL]), str(m.status) == "READY") for m in found]

    def complete_runs(self, trials: Iterable[int]) -> dict[int, str]:
        """The ids of the runs of complete trials, by number; of none whose run is not closed, or not written yet."""
        found = {}
        for number in trials:
            text = f"tags.`{STUDY_ID}` = '{self.study_id}' and tags.`{TRIAL}` = '{number}' and status = 'FINISHED'"
            for run in self._client.search_runs(self._experiments, text, max_results=1):
                found[number] = str(run.info.run_id)
        return found

    def registered(self, model_id: str) -> list[str]:
        """What is registered of a model, as in "quickstart version 1": as long as it is, the model has to stay."""
        return [f"{version.name} version {version.version}" for version in versions_of(self._client, model_id)]

    def remove(self, model_id: str) -> None:
        """Deletes a model and its files."""
        remove(self._client, self.uri, model_id)

    def tags(self, trial: int) -> Mapping[str, str]:
        """The tags of a trial's model, by which it is found."""
        own = {"sweep.kind": "trial", "sweep.study": self.study, STUDY_ID: self.study_id, TRIAL: str(trial)}
        return {**source_tags(), **own}

    @cached_property
    def _client(self) -> Any:
        return client(self.uri)

    @cached_property
    def _experiments(self) -> list[str]:
        if self._given is not None:
            return self._given
        from mlflow.entities import ViewType

        found = self._pages(
            lambda page: self._client.search_experiments(view_type=ViewType.ALL, max_results=_MOST, page_token=page)
        )
        return [experiment.experiment_id for experiment in found]

    def _pages(self, search: Any) -> Iterator[Any]:
        page = None
        while True:
            found = search(page)
            yield from found
            page = found.token
            if not page:
                return


def versions_of(api: Any, model_id: str) -> list[Any]:
    """The registered versions, of whatever name, that stand on a logged model's files."""
    return list(api.search_model_versions(f"source_path LIKE '%{model_id}%'"))


def remove(api: Any, uri: str, model_id: str) -> None:
    """Deletes a logged model and its files; what a server only marks as deleted, its own `mlflow gc` removes."""
    location = api.get_logged_model(model_id).artifact_location
    # The model comes last: whoever is interrupted finds it again, and what is left of its files by it.
    delete_artifacts(location, uri)
    hard = getattr(api._tracking_client.store, "_hard_delete_logged_model", None)
    (hard or api.delete_logged_model)(model_id)
