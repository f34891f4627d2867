"""The curves of a study's page in MLflow: a point for every trial that has ended, while the study runs."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.study import ORPHANED, REPEAT_OF, first_attempt, is_feasible

if TYPE_CHECKING:
    from sweep.tracking.page import StudyPage

NAMES = {"COMPLETE": "trials/complete", "PRUNED": "trials/pruned", "FAIL": "trials/failed"}
"""The curves of how many trials ended in which state, by Optuna's name of it."""


class Curves:
    """Follows a study, and adds to its page's curves what they lack.

    The step of a point is the number of attempts at trials that have ended, so that a study that goes on continues its
    curves. `best/objective` is the best value so far; with several objectives `trials/front` is the size of the Pareto
    front so far instead. A trial that was interrupted counts as neither done nor failed.

    Args:
        study: the study; an object that no other thread uses while `update` runs.
        page: its page.
    """

    def __init__(self, study: optuna.Study, page: StudyPage) -> None:
        self._study, self._page = study, page
        self._signs = [1.0 if d == StudyDirection.MINIMIZE else -1.0 for d in study.directions]
        self._ended: set[int] = set()
        self._states: dict[int, str] = {}
        self._front: list[tuple[float, ...]] = []

    def update(self) -> None:
        """Adds a point for every trial that has ended since."""
        trials = self._study.get_trials(deepcopy=False)
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        new = [trial for trial in trials if trial.state.is_finished() and trial.number not in self._ended]
        for trial in sorted(new, key=_ended_at):
            self._add(trial)
            step = len(self._ended)
            if step > self._page.step:  # else it was added before the study was interrupted
                self._page.metrics({**self._counts(), "trials/running": running}, step)

    def _add(self, trial: FrozenTrial) -> None:
        self._ended.add(trial.number)
        attributes = trial.user_attrs
        if trial.state == TrialState.FAIL and (attributes.get("retry") == "always" or attributes.get(ORPHANED)):
            return
        self._states[first_attempt(trial)] = trial.state.name
        if trial.state == TrialState.COMPLETE and is_feasible(trial) and REPEAT_OF not in attributes:
            values = tuple(sign * value for sign, value in zip(self._signs, trial.values, strict=True))
            if not any(_dominates(other, values) for other in self._front):
                self._front = [other for other in self._front if not _dominates(values, other)] + [values]

    def _counts(self) -> dict[str, float]:
        states = Counter(self._states.values())
        counts: dict[str, float] = {name: states[state] for state, name in NAMES.items()}
        counts["trials/done"] = len(self._states)
        if len(self._signs) > 1:
            counts["trials/front"] = len(self._front)
        elif self._front:
            counts["best/objective"] = self._signs[0] * self._front[0][0]
        return counts


def _ended_at(trial: FrozenTrial) -> tuple[datetime, int]:
    return trial.datetime_complete or datetime.min, trial.number


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether one is better than the other in something and worse in nothing; less is better."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
