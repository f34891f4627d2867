"""What a report is made from: the trials of a study, sorted out once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.study import attempts
from sweep.results.front import front
from sweep.results.importance import Importances, importances
from sweep.results.leaderboard import metrics_of, ranked
from sweep.results.report.axis import Axis, axes_of
from sweep.results.report.objective import Objective, Scale, objectives_of
from sweep.results.report.references import Reference, references
from sweep.results.roles import Answer, answer

TOP = 0.1
"""Which share of the trials is called the top."""

COST = "cost/"
"""Begins the name of a metric that says what a trial took."""

PANELS = 12
"""How many parameters a figure shows, those that matter most first; tables have all."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a study.

    Attributes:
        study: the study.
        objectives: what is optimised.
        trials: every trial that has begun, in order; of one that was run again, the last attempt.
        measured: the trials with a result to compare, best first: complete, feasible, finite, not told by another.
        axes: the search space.
        references: what the trials are compared with.
        importances: what matters for each objective; empty if nothing varies or has a result.
        roles: what is said of scientific parameters, if the study has any.
    """

    study: optuna.Study
    objectives: tuple[Objective, ...]
    trials: tuple[FrozenTrial, ...]
    measured: tuple[FrozenTrial, ...]
    axes: tuple[Axis, ...]
    references: tuple[Reference, ...]
    importances: tuple[Importances, ...]
    roles: Answer | None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, study: optuna.Study) -> Evidence:
        """Looks at a study."""
        last = [tries[-1] for _, tries in sorted(attempts(study).items())]
        begun = tuple(trial for trial in last if trial.state != TrialState.WAITING)
        objectives = objectives_of(study)
        measured = tuple(ranked(study))
        axes = axes_of(begun)
        compared = references(study, measured, objectives)
        asked = objectives if measured and any(axis.varies for axis in axes) else ()
        found = tuple(importances(study, objective=objective.index) for objective in asked)
        return cls(study, objectives, begun, measured, axes, compared, found, answer(study), study.user_attrs)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.study_name

    @property
    def several(self) -> bool:
        """Whether there are several objectives, so that there is a front instead of a best trial."""
        return len(self.objectives) > 1

    @property
    def objective(self) -> Objective:
        """The objective, of several the first."""
        return self.objectives[0]

    @cached_property
    def beside(self) -> tuple[Reference, ...]:
        """What is no trial of the study, the best first."""
        others = [each for each in self.references if each.kind != "enqueued"]
        worst = math.inf if self.objective.minimized else -math.inf
        known = [worst if each.values[0] is None else each.values[0] for each in others]
        order = sorted(range(len(others)), key=lambda place: self.objective.cost(known)[place])
        return tuple(others[place] for place in order)

    @cached_property
    def front(self) -> tuple[FrozenTrial, ...]:
        """The Pareto front; with one objective the best trial and its equals."""
        return tuple(front(self.study))

    @cached_property
    def top(self) -> tuple[FrozenTrial, ...]:
        """The best tenth of the trials: five of them at least, ten at most. With several objectives the front."""
        if self.several:
            return self.front
        return self.measured[: min(10, max(5, round(TOP * len(self.measured))))]

    @cached_property
    def ordered(self) -> tuple[Axis, ...]:
        """The axes that vary, those that matter most first."""
        weights: dict[str, float] = {}
        for each in (each for found in self.importances for each in found.params):
            weights[each.param] = max(weights.get(each.param, 0.0), each.share or 0.0)
        return tuple(sorted((a for a in self.axes if a.varies), key=lambda axis: -weights.get(axis.key, 0.0)))

    def scale(self, index: int = 0, pruned: bool = False) -> Scale:
        """How an objective is drawn; there must be a measured trial.

        Args:
            index: of the objective.
            pruned: whether the last reports of pruned trials are drawn, too.
        """
        values = [trial.values[index] for trial in self.measured]
        scale = Scale.of(self.objectives[index], values)
        if not pruned:
            return scale
        beyond = scale.beyond + sum(not scale.holds(value) for _, value in self.given_up)
        return Scale(scale.objective, scale.low, scale.high, scale.log, beyond)

    @cached_property
    def given_up(self) -> tuple[tuple[FrozenTrial, float], ...]:
        """The pruned trials with the last finite value that each reported; none with several objectives."""
        pruned = [trial for trial in self.trials if trial.state == TrialState.PRUNED]
        return tuple((trial, value) for trial in pruned if math.isfinite(value := last_report(trial)))


def last_report(trial: FrozenTrial) -> float:
    """The last value that a trial reported; nan if it reported none, or it was not finite."""
    values = trial.intermediate_values
    last = values[max(values)] if values else math.nan
    return last if math.isfinite(last) else math.nan


def facts(trial: FrozenTrial) -> Mapping[str, Any]:
    """What a trial has said about itself: its facts, and under their bare names the metrics cost/…."""
    costs = {name.removeprefix(COST): value for name, value in metrics_of(trial).items() if name.startswith(COST)}
    return {**costs, **trial.user_attrs.get("facts", {})}


def coordinates(axis: Axis, trials: Sequence[FrozenTrial]) -> list[float]:
    """Where trials that have a parameter are on its axis."""
    return [axis.at(trial.params[axis.key]) for trial in trials]


def having(trials: Sequence[FrozenTrial], *axes: Axis) -> list[FrozenTrial]:
    """The trials that have all of these parameters."""
    return [trial for trial in trials if all(axis.key in trial.params for axis in axes)]
