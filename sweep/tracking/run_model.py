"""The model of a run that belongs to no study."""

from __future__ import annotations

import logging
from typing import Any

from omegaconf import DictConfig

from sweep.engine.trial import Send
from sweep.tracking.calls import source_tags
from sweep.tracking.store import client, reason

log = logging.getLogger(__name__)

_MOST = 1000
"""How many of the newest runs are looked through for one."""


class RunModel:
    """Keeps the model that a task offers, and logs it once the task's run is closed, if `config.tracking` wants it.

    A task that trains has Keras in its process, and one that is tracked MLflow, so that this takes no further process.

    Args:
        config: the task's configuration, with `tracking.uri`, `tracking.experiment` and `tracking.log_model`.
    """

    def __init__(self, config: DictConfig) -> None:
        self._config = config
        self._path: str | None = None

    def listen(self, send: Send) -> Send:
        """Where events are to be sent: the model's stays here, the others go on to `send`."""

        def sent(kind: str, payload: dict[str, Any]) -> bool:
            if kind == "model":
                self._path = payload["path"]
                return False
            return send(kind, payload)

        return sent

    def log(self) -> None:
        """Logs the model to its run. What goes wrong is a warning, as the run itself is all right."""
        tracking = self._config.tracking
        if self._path is None or tracking.uri is None or tracking.log_model.name == "none":
            return
        from hydra.core.hydra_config import HydraConfig

        try:
            log_run_model(tracking.uri, tracking.experiment, HydraConfig.get().runtime.output_dir, self._path)
        except Exception as error:
            log.warning("MLflow has not got the model %s: %s", self._path, reason(error))


def log_run_model(uri: str, experiment: str, folder: str, path: str) -> str:
    """Logs the model of a run that belongs to no study; returns its id.

    Args:
        uri: MLflow's tracking URI.
        experiment: the name of the run's experiment.
        folder: the run's output directory, by which it is found.
        path: the model's file.

    Raises:
        LookupError: if the run is not there, or not closed as FINISHED.
        Exception: what `sweep.tracking.log_model.log_model` raises.
    """
    from sweep.tracking.log_model import log_model

    api = client(uri)
    found = api.get_experiment_by_name(experiment)
    kind = "tags.`sweep.kind` = 'run' and status = 'FINISHED'"
    newest = api.search_runs([found.experiment_id], kind, max_results=_MOST) if found else []
    for run in newest:
        if run.data.tags.get("sweep.output_dir") == str(folder):
            tags = {**source_tags(), "sweep.kind": "run"}
            return log_model(uri, run.info.run_id, path, "model", tags)
    raise LookupError(f"its run is not there, as far as the last {_MOST} are looked through")
