"""The champion's model: which of its trainings is taken, and who is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from sweep.engine.errors import UserError

Crown = Callable[[optuna.Study, FrozenTrial, Path, str], str]
"""Registers the model of a trial as a study's champion; takes the trial's study, the trial, the folder of its study and
the name of the study that it is the champion of; returns what to tell the user. Raises UserError if it cannot be."""


def crown(
    study: optuna.Study,
    trainings: Iterable[FrozenTrial],
    objective: str,
    folder: Path,
    name: str,
    register: Crown | None,
) -> str:
    """Registers the champion's model, if anything can; returns what to tell the user.

    Of the trainings, the one is taken whose network is best on the validation set: the test set chooses nothing.

    Args:
        study: the study of the trainings.
        trainings: the champion's, all of them complete.
        objective: what the objective is called on the validation set.
        folder: of the study of the trainings.
        name: of the study that it is the champion of.
        register: what registers it.
    """
    best = f"best/{objective.rpartition('/')[2]}"
    worse = 1 if study.direction == StudyDirection.MINIMIZE else -1
    trial = min(trainings, key=lambda each: worse * each.user_attrs["metrics"].get(best, worse * math.inf))
    if register is None:
        return f"Its model is the one in {trial.user_attrs['output_dir']}"
    try:
        return register(study, trial, folder, name)
    except UserError as error:
        return f"Its model is not registered. {error}"
