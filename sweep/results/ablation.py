"""What an ablation has come to: what each change on the way has brought."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from sweep.results.interval import (
    CONFIDENCE,
    LEVEL,
    Comparison,
    Estimate,
    Floats,
    compare,
    estimate,
    holm,
    without_nan,
)
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
        corrected: the p-value of what tells it apart from the step before, corrected for the number of steps; None if
            nothing does.
        effect: whether the change helps or hurts, beyond chance: by its gain, or by how often trainings diverge;
            nothing of the beginning.
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
        total: by how much the end is better than the beginning, over the seeds that both have; None with fewer than
            two.
        not_comparable: why the study's trials cannot be compared, if they cannot.
    """

    objective: str
    minimize: bool
    origin: str
    best: str
    seeds: Sequence[int]
    rows: Sequence[Row]
    total: Estimate | None
    not_comparable: str | None

    def plain(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        found: dict[str, Any] = without_nan({**asdict(self), "confidence": CONFIDENCE})
        return found


def conclude(
    objective: str,
    minimize: bool,
    origin: str,
    best: str,
    seeds: Sequence[int],
    steps: Sequence[Step],
    scores: Floats,
    not_comparable: str | None = None,
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
        not_comparable: why the study's trials cannot be compared, if they cannot.
    """
    compared = [None, *(compare(*pair, minimize) for pair in itertools.pairwise(scores))]
    known = {i: each.p for i, each in enumerate(compared) if each is not None and each.p is not None}
    corrected = dict(zip(known, holm(list(known.values())), strict=True))
    rows = [
        Row(
            change=step.change.name if step.change else origin,
            values=[float(value) if math.isfinite(value) else None for value in own],
            diverged=int(np.isinf(own).sum()),
            failed=int(np.isnan(own).sum()),
            mean=estimate(own),
            gain=_gain(versus, minimize),
            corrected=corrected.get(i),
            effect=_effect(versus, corrected.get(i)),
            screened=step.screened,
            skipped=step.skipped,
        )
        for i, (step, own, versus) in enumerate(zip(steps, scores, compared, strict=True))
    ]
    total = _gain(compare(scores[0], scores[-1], minimize), minimize)
    return Ablation(objective, minimize, origin, best, list(seeds), rows, total, not_comparable)


def _gain(before: Comparison | None, minimize: bool) -> Estimate | None:
    """What is gained since what was compared."""
    if before is None or before.difference is None:
        return None
    return before.difference if minimize else -before.difference


def _effect(before: Comparison | None, corrected: float | None) -> Effect:
    if before is None:
        return ""
    if corrected is None or corrected > LEVEL:
        return "nothing shown"
    return "helps" if before.worse else "hurts"
