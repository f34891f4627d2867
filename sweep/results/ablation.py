"""What an ablation has come to: what each change on the way has brought."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from sweep.results.interval import CONFIDENCE, Estimate, Floats, estimate, holm, paired, without_nan
from sweep.results.walk import Step

Effect = Literal["helps", "hurts", "nothing shown", ""]


@dataclass(frozen=True)
class Row:
    """A step of the way.

    Attributes:
        change: what it changes; of the beginning, what that is called.
        values: the objective for each seed; None where a training failed or diverged.
        diverged: how many trainings diverged.
        failed: how many failed.
        mean: of the values, with its interval.
        gain: by how much it is better than the step before, over the seeds that both have: positive is better,
            whichever way that is; None of the beginning, and if there are too few.
        corrected: the p-value of the gain, corrected for the number of steps.
        effect: whether the change helps or hurts, beyond chance; nothing of the beginning.
        screened: the score of every change that was tried for this step, with one seed.
        skipped: why a change was not tried.
    """

    change: str
    values: Sequence[float | None]
    diverged: int
    failed: int
    mean: Estimate
    gain: Estimate | None
    corrected: float | None
    effect: Effect
    screened: Mapping[str, float]
    skipped: Mapping[str, str]


@dataclass(frozen=True)
class Ablation:
    """The way from a baseline to a study's best configuration.

    Attributes:
        objective: what the values are called.
        minimize: whether a smaller one is better.
        origin: the baseline.
        best: the trial that it leads to.
        seeds: that each step was trained with.
        rows: the beginning, then the steps in order.
        total: by how much the end is better than the beginning; None if there are too few seeds that both have.
    """

    objective: str
    minimize: bool
    origin: str
    best: str
    seeds: Sequence[int]
    rows: Sequence[Row]
    total: Estimate | None

    def plain(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        found: dict[str, Any] = without_nan({**asdict(self), "confidence": CONFIDENCE})
        return found

    def named(self, effect: Effect) -> list[Row]:
        """The steps with this effect."""
        return [row for row in self.rows if row.effect == effect]


def conclude(
    objective: str, minimize: bool, origin: str, best: str, seeds: Sequence[int], steps: Sequence[Step], scores: Floats
) -> Ablation:
    """Compares each step with the one before.

    Args:
        objective: what the scores are called.
        minimize: whether a smaller one is better.
        origin: the baseline.
        best: the trial that the way leads to.
        seeds: that each step was trained with.
        steps: the beginning, then the steps in order.
        scores: `[steps, seeds]`: nan where a training failed, infinite on the worse side where it diverged.
    """
    gains = [None, *(_gain(scores[i - 1], scores[i], minimize) for i in range(1, len(steps)))]
    compared = [i for i, gain in enumerate(gains) if gain is not None]
    corrected: list[float | None] = [None] * len(steps)
    for i, p in zip(compared, holm([gain.p for gain in gains if gain is not None]), strict=True):
        corrected[i] = p
    diverged = [int(np.isinf(own).sum()) for own in scores]
    rows = [
        Row(
            change=step.change.name if step.change else origin,
            values=[float(value) if math.isfinite(value) else None for value in own],
            diverged=diverged[i],
            failed=int(np.isnan(own).sum()),
            mean=estimate(own),
            gain=gains[i],
            corrected=corrected[i],
            effect=_effect(gains[i], corrected[i], diverged[i] - diverged[i - 1]) if i else "",
            screened=step.screened,
            skipped=step.skipped,
        )
        for i, (step, own) in enumerate(zip(steps, scores, strict=True))
    ]
    return Ablation(objective, minimize, origin, best, list(seeds), rows, _gain(scores[0], scores[-1], minimize))


def _gain(before: Floats, after: Floats, minimize: bool) -> Estimate | None:
    found = paired(before, after) if minimize else paired(after, before)
    return found if found.count >= 2 else None


def _effect(gain: Estimate | None, corrected: float | None, more_diverged: int) -> Effect:
    if more_diverged:
        return "hurts" if more_diverged > 0 else "helps"
    if gain is None or corrected is None or not corrected <= 1 - CONFIDENCE:
        return "nothing shown"
    return "helps" if gain.mean > 0 else "hurts"
