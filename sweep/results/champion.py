"""The champion's model: which of its trainings is taken, and how it comes by its alias and loses it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from sweep.engine.errors import UserError
from sweep.engine.parent import TRACKING_URI
from sweep.results.register import describe, register_trial
from sweep.tracking.registry import CHAMPION, legal_name, take_back


def crown(study: optuna.Study, trainings: Iterable[FrozenTrial], objective: str, folder: Path, name: str) -> str:
    """Registers the champion's model, if that can be; returns what to tell the user.

    Args:
        study: the study of the trainings.
        trainings: the champion's, all of them complete.
        objective: what the objective is called on the validation set.
        folder: of the study of the trainings.
        name: of the study that it is the champion of.
    """
    trial = best_validated(study, trainings, objective)
    try:
        return describe(register_trial(study, trial, folder, legal_name(name), CHAMPION), study, trial)
    except UserError as error:
        return f"Its model, in {trial.user_attrs['output_dir']}, is not registered. {error}"


def uncrown(study: optuna.Study, name: str) -> str | None:
    """Takes the alias from an earlier champion's model; returns what to tell the user, if there was one.

    Args:
        study: the study of the trainings.
        name: of the study that has no champion any more.
    """
    uri = study.user_attrs.get(TRACKING_URI)
    if uri is None:
        return None
    model = legal_name(name)
    try:
        number = take_back(uri, model, CHAMPION)
    except UserError as error:
        return f"Whether {model} has a version with the alias {CHAMPION}, from before, is not known. {error}"
    return number and f"{model} version {number} has no longer the alias {CHAMPION}, which it had from before"


def best_validated(study: optuna.Study, trainings: Iterable[FrozenTrial], objective: str) -> FrozenTrial:
    """The training whose network is best on the validation set: the test set chooses nothing."""
    best = f"best/{objective.rpartition('/')[2]}"
    worse = 1 if study.direction == StudyDirection.MINIMIZE else -1
    return min(trainings, key=lambda each: worse * each.user_attrs["metrics"].get(best, worse * math.inf))
