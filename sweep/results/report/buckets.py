"""What came of the trials in each part of each parameter's range, the other parameters free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from sweep.results.observations import diverged
from sweep.results.report.axis import Axis, Bucket
from sweep.results.report.evidence import Evidence

ENDS = ("complete", "pruned", "diverged", "failed")
"""What becomes of trials."""


@dataclass(frozen=True)
class Part:
    """A part of a parameter's range.

    Attributes:
        bucket: which.
        measured: the trials with a result, best first.
        ends: how many of the trials that have ended came to what, by `ENDS`.
    """

    bucket: Bucket
    measured: tuple[FrozenTrial, ...]
    ends: dict[str, int]

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(self.ends.values())

    def value(self, rank: int = 1) -> float:
        """The value of the best trial, or of the one of this rank; nan if there is none."""
        return float(self.measured[rank - 1].values[0]) if len(self.measured) >= rank else math.nan


def parts(evidence: Evidence, axis: Axis) -> list[Part]:
    """The parts of a parameter's range, in its order."""
    found = []
    for bucket in axis.buckets():
        inside = _inside(evidence.trials, axis, bucket)
        ends = dict.fromkeys(ENDS, 0)
        for trial in inside:
            if (end := end_of(trial)) is not None:
                ends[end] += 1
        found.append(Part(bucket, tuple(_inside(evidence.measured, axis, bucket)), ends))
    return found


def end_of(trial: FrozenTrial) -> str | None:
    """What a trial came to; None while it runs."""
    if trial.state == TrialState.PRUNED:
        return "diverged" if diverged(trial) else "pruned"
    return {TrialState.COMPLETE: "complete", TrialState.FAIL: "failed"}.get(trial.state)


def _inside(trials: Sequence[FrozenTrial], axis: Axis, bucket: Bucket) -> list[FrozenTrial]:
    return [trial for trial in trials if axis.key in trial.params and bucket.holds(trial.params[axis.key])]
