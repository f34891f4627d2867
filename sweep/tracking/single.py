"""The run of a task that belongs to no study."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sweep.engine.command import Command
from sweep.engine.outcome import Outcome, raised, returned
from sweep.tracking.note import NOTE, Note
from sweep.tracking.params import run_params
from sweep.tracking.provenance import write_provenance
from sweep.tracking.source import Source
from sweep.tracking.store import Store, open_store
from sweep.tracking.system import watched
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
def single_run(config: DictConfig, source: Source | None = None) -> Iterator[SingleRun]:
    """Tracks what happens in a `with` block inside a Hydra task, as `config.tracking` says; a null `uri` is nowhere.

    Args:
        config: the task's configuration, with `tracking.uri`, `tracking.experiment` and `paths.mlruns`.
        source: what the task is run from, if that is in a checkout.

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
    command, folder = Command.this(), Path(hydra.runtime.output_dir)
    note = Note(f"Run {name}", again=[command.again()], objectives=[str(config.objective.metric)])
    files, tags = write_provenance(folder, source), source.tags() if source else {}
    with run_in(store, name, run_params(config), folder, tags, note) as run:
        for file in files:
            run.send("artifact", {"path": str(file), "folder": "environment"})
        yield run


@contextmanager
def run_in(
    store: Store,
    name: str,
    params: Mapping[str, str],
    folder: str | Path,
    tags: Mapping[str, str] | None = None,
    note: Note | None = None,
) -> Iterator[SingleRun]:
    """A run for the length of a `with` block: FINISHED, FAILED after an exception, KILLED by Ctrl-C.

    Args:
        store: where.
        name: what MLflow calls the run.
        params: its params; see `run_params`.
        folder: its output directory, where events wait for MLflow; its logs and `.hydra/*.yaml` are logged at the end.
        tags: further tags.
        note: what it is described as; by its name alone unless given.
    """
    note = note or Note(f"Run {name}")
    tracker = Tracker(store, new_spool(folder, store, tags={"sweep.kind": "run"}))
    run = SingleRun(tracker)
    tracker.begin(0, name, params, tags, folder)
    tracker.put(0, "tags", {NOTE: note.text()})
    try:
        with watched(os.getpid(), run.send):
            yield run
    except KeyboardInterrupt:
        state, outcome = "STOPPED", Outcome("FAIL", reason="interrupted")
        raise
    except BaseException as error:
        outcome = raised(error)
        state = outcome.state
        raise
    else:
        outcome = Outcome("COMPLETE") if run.value is None else returned(run.value, 1)
        state = outcome.state
    finally:
        tracker.put(0, "tags", {NOTE: note.text(state, outcome.reason, outcome.values, outcome.traceback)})
        tracker.end(0, state, outcome.reason, outcome.traceback, outcome.values)
        tracker.close()
        if tracker.waiting:
            said = "%d events wait for MLflow. `sweep sync %s` writes them when it is there again"
            log.warning(said, tracker.waiting, shlex.quote(str(Path(folder).absolute())))
