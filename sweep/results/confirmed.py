"""What a study's confirmation has come to: the numbers of each candidate, and whether one of them is a champion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sweep.results.candidates import Candidate
from sweep.results.interval import CONFIDENCE, Estimate, Floats, estimate, standing, without_nan
from sweep.results.leaderboard import number


@dataclass(frozen=True)
class Row:
    """A candidate, confirmed.

    Attributes:
        name: "trial 17", or a baseline's name.
        trial: the study's trial, or None of a baseline.
        params: of that trial.
        values: the objective on the test set for each seed; None where a training failed or diverged.
        diverged: how many trainings diverged.
        failed: how many failed.
        mean: of the values, with its interval.
        score: what it reached in the study.
        difference: to the best candidate over the seeds that both have; None of itself, and if there are too few.
        corrected: the p-value of the difference, corrected for their number.
    """

    name: str
    trial: int | None
    params: Mapping[str, Any]
    values: Sequence[float | None]
    diverged: int
    failed: int
    mean: Estimate
    score: float | None
    difference: Estimate | None
    corrected: float | None

    @property
    def gap(self) -> float | None:
        """By how much the confirmed mean is above the study's score."""
        return None if self.score is None or not self.mean.count else self.mean.mean - self.score


@dataclass(frozen=True)
class Confirmed:
    """All candidates, confirmed.

    Attributes:
        objective: what the values are called.
        minimize: whether a smaller one is better.
        seeds: that each candidate was trained with.
        rows: the candidates, best mean first.
        best: the name of the first.
        champion: its name if it stands, else None.
        verdict: what there is to say about that, in a sentence.
        without_network: the objective of what takes no network, by name.
        digest: of the test set.
    """

    objective: str
    minimize: bool
    seeds: Sequence[int]
    rows: Sequence[Row]
    best: str | None
    champion: str | None
    verdict: str
    without_network: Mapping[str, float]
    digest: str | None

    def plain(self) -> dict[str, Any]:
        """All of it as JSON has it: `candidates` with `trial`, `mean`, `low`, `high`, `gap` and `difference` each."""
        content = {**asdict(self), "confidence": CONFIDENCE, "candidates": []}
        del content["rows"]
        for row in self.rows:
            own = {**asdict(row), **asdict(row.mean), "gap": row.gap, "params": _params(row.params)}
            content["candidates"].append(own)
        found: dict[str, Any] = without_nan(content)
        return found


def conclude(
    objective: str,
    minimize: bool,
    candidates: Sequence[Candidate],
    seeds: Sequence[int],
    scores: Floats,
    without_network: Mapping[str, float],
    digest: str | None,
) -> Confirmed:
    """Compares the candidates.

    A champion is a configuration of the study's own that is better than each other candidate, baselines included, in
    paired differences whose p-values are corrected for their number (see `sweep.results.interval.standing`).

    Args:
        objective: what the scores are called.
        minimize: whether a smaller one is better.
        candidates: what was trained.
        seeds: with which seeds.
        scores: `[candidates, seeds]`: nan where a training failed, infinite where it diverged.
        without_network: the objective of what takes no network, by name.
        digest: of the test set.
    """
    stood = standing(scores, minimize)
    rows = [
        Row(
            name=candidate.name,
            trial=candidate.trial,
            params=candidate.params,
            values=[float(value) if math.isfinite(value) else None for value in own],
            diverged=int(np.isinf(own).sum()),
            failed=int(np.isnan(own).sum()),
            mean=estimate(own),
            score=candidate.score,
            difference=difference,
            corrected=corrected,
        )
        for candidate, own, difference, corrected in zip(
            candidates, scores, stood.differences, stood.corrected, strict=True
        )
    ]
    best = None if stood.best is None else rows[stood.best]
    rivals = [row for row, beaten in zip(rows, stood.beaten, strict=True) if row is not best and not beaten]
    stands = best is not None and best.trial is not None and stood.stands
    return Confirmed(
        objective=objective,
        minimize=minimize,
        seeds=list(seeds),
        rows=sorted(rows, key=lambda row: _order(row, best, minimize)),
        best=best.name if best else None,
        champion=best.name if best and stands else None,
        verdict=_verdict(best, rivals, rows),
        without_network=dict(without_network),
        digest=digest,
    )


def _order(row: Row, best: Row | None, minimize: bool) -> tuple[bool, bool, float]:
    mean = row.mean.mean if minimize else -row.mean.mean
    return row is not best, bool(row.diverged) or math.isnan(mean), mean


def _verdict(best: Row | None, rivals: Sequence[Row], rows: Sequence[Row]) -> str:
    if best is None:
        return "No champion: no candidate was trained to the end with every seed."
    if best.trial is None:
        return f"No champion: {best.name}, a baseline, has the best mean."
    if rivals:
        named = ", ".join(f"{row.name} ({_why(row)})" for row in rivals)
        return f"No champion: {best.name} has the best mean, but is not shown to be better than {named}."
    largest = max((row.corrected for row in rows if row.corrected is not None), default=None)
    sure = "" if largest is None else f" (largest corrected p {number(largest, 2)})"
    return f"Champion: {best.name} is better than each of the {len(rows) - 1} others{sure}."


def _why(row: Row) -> str:
    if row.corrected is None:
        return f"{row.failed} of {len(row.values)} trainings failed"
    return f"corrected p {number(row.corrected, 2)}"


def _params(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, int | float | str | None) else str(value) for key, value in params.items()}
