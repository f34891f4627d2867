"""The run of a task that belongs to no study."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sweep.engine.outcome import Outcome, raised, returned
from sweep.tracking.params import run_params
from sweep.tracking.store import Store, open_store
from sweep.tracking.tracker import Tracker, new_spool

log = logging.getLogger(__name__)


class SingleRun:
    """A run that belongs to no study.

    Attributes:
        value: the objective; set it before the run ends.
    """

    def __init__(self, tracker: Tracker | None) -> None:
        self._tracker = tracker
        self.value: float | None = None

    def send(self, kind: str, payload: dict[str, Any]) -> bool:
        """Takes an event, as `sweep.engine.trial.Send`; never asks to stop."""
        if self._tracker is not None:
            self._tracker.write(0, kind, payload)
        return False


@contextmanager
def single_run(config: DictConfig) -> Iterator[SingleRun]:
    """Tracks what happens in a `with` block inside a Hydra task, as `config.tracking` says; a null `uri` is nowhere.

    Args:
        config: the task's configuration, with `tracking.uri`, `tracking.experiment` and `paths.mlruns`.

    Raises:
        UserError: if the store cannot be opened.
    """
    if config.tracking.uri is None:
        yield SingleRun(None)
        return
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    store = open_store(config.tracking.uri, config.tracking.experiment, Path(config.paths.mlruns, "artifacts"))
    name = (hydra.job.override_dirname or hydra.job.name)[:100]
    with run_in(store, name, run_params(config), hydra.runtime.output_dir) as run:
        yield run


@contextmanager
def run_in(
    store: Store,
    name: str,
    params: Mapping[str, str],
    folder: str | Path,
    tags: Mapping[str, str] | None = None,
) -> Iterator[SingleRun]:
    """A run for the length of a `with` block: FINISHED, FAILED after an exception, KILLED by Ctrl-C.

    Args:
        store: where.
        name: what MLflow calls the run.
        params: its params; see `run_params`.
        folder: its output directory, where events wait for MLflow, and whose `.hydra/*.yaml` are logged when it ends.
        tags: further tags.
    """
    tracker = Tracker(store, new_spool(folder, store, tags={"sweep.kind": "run"}))
    run = SingleRun(tracker)
    tracker.begin(0, name, params, tags, folder)
    try:
        yield run
    except KeyboardInterrupt:
        tracker.end(0, "STOPPED", "interrupted")
        raise
    except BaseException as error:
        outcome = raised(error)
        tracker.end(0, outcome.state, outcome.reason, outcome.traceback)
        raise
    else:
        outcome = Outcome("COMPLETE") if run.value is None else returned(run.value, 1)
        tracker.end(0, outcome.state, outcome.reason, value=run.value)
    finally:
        tracker.close()
        if tracker.waiting:
            log.warning("%d events wait for MLflow. `sweep sync` writes them when it is there again", tracker.waiting)
