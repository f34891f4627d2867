"""What trials cost: the numbers that they told of themselves, and their time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from sweep.results.report.evidence import Evidence, facts
from sweep.results.report.references import PREFIX

KNOWN = {
    "parameters": ("size of the model", "parameters (count)"),
    "flops_per_sample": ("arithmetic of one prediction", "floating-point operations a sample (FLOPs)"),
    "duration": ("time of the trial", "time of the trial (s)"),
}
"""Costs that come first, with what they are in words and their axis' label."""

NOT_COSTS = (
    *("best_step", "steps", "steps_per_second", "samples_per_second"),
    *("seconds", "seconds_to_best", "went_on_from_step", "diverged_at"),
)
"""Numbers that trials tell of themselves that are no price of what they reached, or the same as their time."""

MOST = 4


@dataclass(frozen=True)
class Cost:
    """Something that a better value may take more of.

    Attributes:
        name: the fact's name, or "duration".
        of: how much each trial took, by number; those with a result alone.
    """

    name: str
    of: Mapping[int, float]

    @property
    def title(self) -> str:
        """What it is, in words."""
        return KNOWN[self.name][0] if self.name in KNOWN else self.name

    @property
    def log(self) -> bool:
        """Whether it spans so much that it is drawn in log scale."""
        return min(self.of.values()) > 0 and max(self.of.values()) > 10 * min(self.of.values())

    @property
    def label(self) -> str:
        """What stands at its axis."""
        words = KNOWN[self.name][1] if self.name in KNOWN else f"{self.name} (as the trials tell it)"
        return words.removesuffix(")") + ", log scale)" if self.log else words

    def read(self, trial: FrozenTrial) -> float | None:
        """How much a trial took, if that is known."""
        value = trial.duration.total_seconds() if self.name == "duration" and trial.duration else None
        value = facts(trial).get(self.name, value)
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return float(value) if good and value is not None else None


def costs(evidence: Evidence) -> list[Cost]:
    """The costs in which the trials of a study differ, at most four of them, those of `KNOWN` first."""
    told = dict.fromkeys(name for trial in evidence.measured for name in facts(trial))
    others = [name for name in told if name not in (*KNOWN, *NOT_COSTS) and not name.startswith(PREFIX)]
    found = []
    for name in (*KNOWN, *others):
        read = {trial.number: Cost(name, {}).read(trial) for trial in evidence.measured}
        known = {number: value for number, value in read.items() if value is not None}
        if len(set(known.values())) > 1:
            found.append(Cost(name, known))
    return found[:MOST]


def cheapest(evidence: Evidence, cost: Cost) -> list[FrozenTrial]:
    """The trials of which none other is both cheaper and better, the cheapest first."""
    front: list[FrozenTrial] = []
    trials = [trial for trial in evidence.measured if trial.number in cost.of]
    rank = {trial.number: place for place, trial in enumerate(evidence.measured)}
    for trial in sorted(trials, key=lambda trial: (cost.of[trial.number], rank[trial.number])):
        if not front or evidence.objective.better(trial.values[0], front[-1].values[0]):
            front.append(trial)
    return front
