"""What the trials of a study are compared with: what takes no network, baselines, and points that were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from sweep.engine.study import CONFIGURATION, ENQUEUED, beside
from sweep.engine.works import split
from sweep.results.leaderboard import metrics_of, ranked
from sweep.results.report.objective import Objective

PREFIX = "baseline/"
"""Begins the facts that a task leaves about what takes no training: baseline/NAME/MEASURE."""


@dataclass(frozen=True)
class Reference:
    """Something to compare with.

    Attributes:
        name: what it is called.
        kind: "no training", "baseline" (a trial of the sibling study) or "enqueued" (a trial of the study itself).
        values: of each objective; None where it is not known.
        metrics: further measures, under the names that trials have them by.
        trial: the trial that it is, if it is one.
    """

    name: str
    kind: str
    values: tuple[float | None, ...]
    metrics: Mapping[str, float]
    trial: FrozenTrial | None = None


def references(
    study: optuna.Study, measured: Sequence[FrozenTrial], objectives: Sequence[Objective]
) -> tuple[Reference, ...]:
    """Everything that a study's trials can be compared with.

    Args:
        study: the study.
        measured: its complete trials, best first.
        objectives: its objectives.
    """
    found = _without_training(measured, objectives)
    for trial in _baselines(study):
        name = str(trial.user_attrs[CONFIGURATION]["name"])
        found.append(Reference(name, "baseline", tuple(trial.values), metrics_of(trial), trial))
    for trial in sorted(measured, key=lambda trial: trial.number):
        if ENQUEUED in trial.user_attrs:
            found.append(Reference(f"trial {trial.number}", "enqueued", tuple(trial.values), metrics_of(trial), trial))
    return tuple(found)


def _without_training(measured: Sequence[FrozenTrial], objectives: Sequence[Objective]) -> list[Reference]:
    """What the tasks have written down of it: the same in each, as all are judged on the same set."""
    told: dict[str, dict[str, float]] = {}
    for trial in measured:
        for fact, value in trial.user_attrs.get("facts", {}).items():
            if fact.startswith(PREFIX):
                name, _, measure = fact.removeprefix(PREFIX).partition("/")
                told.setdefault(name, {}).setdefault(measure, float(value))
    found = []
    for name, measures in told.items():
        values = tuple(measures.get(objective.name.rpartition("/")[2]) for objective in objectives)
        metrics = {f"val/{measure}": value for measure, value in measures.items()}
        found.append(Reference(name.replace("_", " "), "no training", values, metrics))
    return found


def _baselines(study: optuna.Study) -> list[FrozenTrial]:
    """The best trial of each baseline, best first."""
    sibling = None if split(study.study_name)[1] else beside(study, "baselines")
    if sibling is None:
        return []
    best: dict[str, FrozenTrial] = {}
    for trial in ranked(sibling):
        if asked := trial.user_attrs.get(CONFIGURATION):
            best.setdefault(str(asked["name"]), trial)
    return list(best.values())
