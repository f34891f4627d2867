"""Which of a study's models belong in MLflow, and seeing to it that they, and no others, are there.

The study's storage says which trials offered a model and which one leads; MLflow says which models it has. What is
missing is logged, by a process of its own, and what was overtaken is deleted. Nothing else is remembered, so that
whoever was interrupted, or met a store that was away, only has to look again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from sweep.engine.parent import TRACKING_URI
from sweep.engine.study import MODEL
from sweep.results.front import front
from sweep.results.leaderboard import ranked
from sweep.tracking.logged_models import Logged, StudyModels
from sweep.tracking.model_process import NICE, Answer, ModelJob, log_models, model_name, only_one
from sweep.tracking.store import reason

if TYPE_CHECKING:
    from sweep.tracking.runs import StudyRun

log = logging.getLogger(__name__)

POLICY = "log_model"
"""Study attribute: whose models are logged: "best", "all" or "none"."""

STOP_SECONDS = 10.0
"""How long to wait for the end of what was told to end at once."""

OPEN_SECONDS = 10.0
"""How long to wait before asking again whether a run is closed."""

AGAIN_SECONDS = 60.0
"""How long after a failure that may pass the next try is made, while trials run."""

CLOSE_SECONDS = 20.0
"""How long at the end of a study to wait for the run of a trial to be closed."""

_GIVEN = "MLflow is being given the model of %s"


def wanted(study: optuna.Study, policy: str) -> dict[int, str]:
    """The files of the models that belong in MLflow, by trial number.

    Args:
        study: the study.
        policy: "best" (the leader's; of several objectives those of the Pareto front), "all" complete trials', "none".
    """
    if policy == "none":
        trials = []
    elif policy == "all":
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    else:
        trials = front(study) if len(study.directions) > 1 else ranked(study)[:1]
    return {trial.number: str(trial.user_attrs[MODEL]) for trial in trials if MODEL in trial.user_attrs}


def study_models(study: optuna.Study) -> StudyModels | None:
    """Where the models of a study are in MLflow; None if it is not tracked."""
    uri = study.user_attrs.get(TRACKING_URI)
    if not uri:
        return None
    return StudyModels(uri, study.study_name, study.user_attrs["id"])


def model_logger(study: optuna.Study, parent: StudyRun | None, policy: str, folder: Path) -> ModelLogger:
    """What logs the models of a study that runs, whose run in MLflow is `parent`, if it is tracked."""
    study.set_user_attr(POLICY, policy)
    models = None
    if parent is not None:
        models = StudyModels(parent.store.uri, parent.study, parent.study_id, [parent.store.experiment_id])
    return ModelLogger(study, models, policy, folder)


def catch_up(study: optuna.Study, folder: Path | None) -> bool:
    """Logs the models of a study that MLflow lacks, as after an outage; returns whether it has them all now.

    Args:
        study: the study, whose policy its sweeper has left in it.
        folder: the study's folder, if this machine has it.
    """
    models = study_models(study)
    return models is None or ModelLogger(study, models, study.user_attrs.get(POLICY, "none"), folder).finish()


def log_each(
    models: StudyModels,
    paths: Mapping[int, str],
    folder: Path | None,
    lock: int | None,
    stopped: threading.Event | None = None,
    nice: int = 0,
) -> Iterator[tuple[int, Answer]]:
    """Logs the models of complete trials, one after another, in a process of its own; says what became of each.

    Nothing is said of a trial whose run MLflow has not got yet, or has open; nor of those after one that was not logged
    for want of a store.

    Args:
        models: the study's models in MLflow.
        paths: their files, by trial number.
        folder: the study's folder, if this machine has it.
        lock: the descriptor of `only_one`, which has to be held.
        stopped: from when on nobody waits for a further one.
        nice: how much everybody else comes before the process.
    """
    there = {}
    for number, path in paths.items():
        if Path(path).is_file():
            there[number] = path
        else:
            yield number, Answer(error=f"{path} is gone")
    runs = models.complete_runs(there)
    jobs = {
        number: ModelJob(models.uri, run_id, paths[number], model_name(f"{models.study}-{number}"), models.tags(number))
        for number, run_id in runs.items()
    }
    if jobs:
        with contextlib.closing(log_models(list(jobs.values()), folder, lock, stopped, nice)) as answers:
            yield from zip(jobs, answers, strict=False)


class ModelLogger:
    """Keeps MLflow's models of a study as its policy says. Whatever MLflow does, the study goes on.

    Args:
        study: the study.
        models: its models in MLflow; None, of a study that is not tracked, does nothing.
        policy: see `wanted`.
        folder: the study's folder, if this machine has it.
    """

    def __init__(self, study: optuna.Study, models: StudyModels | None, policy: str, folder: Path | None) -> None:
        self._study, self._models, self._folder = study, models, folder
        self._policy = "none" if models is None else policy
        self._settled: Mapping[int, str] = {}
        self._refused: set[int] = set()
        self._failure: str | None = None
        self._not_before = 0.0
        self._closing = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Begins to log what is missing, in a thread, unless one is at it; returns at once."""
        busy = self._thread is not None and self._thread.is_alive()
        if busy or self._stopped.is_set() or time.monotonic() < self._not_before or self._wanted() == self._settled:
            return
        self._thread = threading.Thread(target=self._settle, name="models", daemon=True)
        self._thread.start()

    def finish(self) -> bool:
        """Waits until MLflow has what it should have, or it is plain that it will not; returns whether it has.

        To be called when all trials have ended, and their runs are closed. What failed before is tried once more.
        """
        self._closing = True
        if self._thread is not None and self._thread.is_alive():
            log.info(_GIVEN, _trials(self._wanted()))
            self._thread.join()
        self._failure, deadline = None, time.monotonic() + CLOSE_SECONDS
        if self._refused:
            self._refused, self._settled = set(), {}
        while (left := self._wanted()) != self._settled and not self._failure and not self._stopped.is_set():
            began = time.monotonic()
            self._settle()
            if left == self._settled or self._failure:
                continue
            if began > deadline:
                self._failed("its run is not closed there")
            time.sleep(0.5)
        return left == self._settled and not self._refused & left.keys()

    def stop(self) -> None:
        """Ends what is going on, at once; the next one to look finds what it has left."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _wanted(self) -> dict[int, str]:
        return wanted(self._study, self._policy)

    def _settle(self) -> None:
        """Makes MLflow agree with the study as it is now, as far as that is possible now."""
        assert self._models is not None
        paths = self._wanted()
        try:
            with only_one(self._folder) as lock:
                known = self._models.logged()
                for model in known:
                    if not model.ready:  # whoever logged it is gone: else the lock would be his
                        self._models.remove(model.model_id)
                ready = {model.trial for model in known if model.ready}
                missing = {n: path for n, path in paths.items() if n not in ready | self._refused}
                ready |= self._log(missing, lock)
                if self._policy == "best" and paths.keys() <= ready:
                    self._remove(model for model in known if model.ready and model.trial not in paths)
        except Exception as error:
            log.debug("What MLflow has of the models", exc_info=True)
            self._failed(reason(error))
            return
        if paths.keys() <= ready | self._refused:
            self._settled = paths
        else:  # a run is still open in MLflow, to which its end is on its way
            self._not_before = max(self._not_before, time.monotonic() + OPEN_SECONDS)

    def _log(self, missing: Mapping[int, str], lock: int | None) -> set[int]:
        """Logs models; returns the trials whose models were."""
        assert self._models is not None
        if missing and self._closing:
            log.info(_GIVEN, _trials(missing))
        logged = set()
        nice = 0 if self._closing else NICE  # while trials run, they come first
        for number, answer in log_each(self._models, missing, self._folder, lock, self._stopped, nice):
            if answer.model_id is not None:
                logged.add(number)
                self._failure = None
            elif answer.passing:
                self._failed(answer.error)
            else:
                self._refused.add(number)
                log.warning("The model of trial %d cannot be logged: %s", number, answer.error)
        return logged

    def _remove(self, overtaken: Iterable[Logged]) -> None:
        """Deletes models whose trials have been overtaken, but for those on which a registered version stands."""
        assert self._models is not None
        for model in overtaken:
            if not self._models.registered(model.model_id):
                self._models.remove(model.model_id)

    def _failed(self, why: str) -> None:
        """Says what went wrong, once until something goes right."""
        if self._failure is None and not self._stopped.is_set():
            left = _trials(self._wanted())
            log.warning("MLflow has not got the model of %s (%s): the same command tries again", left, why)
        self._failure = why
        self._not_before = time.monotonic() + AGAIN_SECONDS


def _trials(numbers: Iterable[int]) -> str:
    listed = ", ".join(map(str, sorted(numbers)))
    return f"trial {listed}" if listed.isdigit() else f"trials {listed}"
