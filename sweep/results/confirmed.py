"""What a study's confirmation has come to: the numbers of each candidate, and whether one of them is a champion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sweep.results.candidates import Candidate
from sweep.results.interval import (
    CONFIDENCE,
    LEVEL,
    Comparison,
    Estimate,
    Floats,
    common_skewness,
    estimate,
    standing,
    without_nan,
)
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
        versus: how it compares with the best candidate; None of itself, and if there is none.
    """

    name: str
    trial: int | None
    params: Mapping[str, Any]
    values: Sequence[float | None]
    diverged: int
    failed: int
    mean: Estimate
    score: float | None
    versus: Comparison | None

    @property
    def difference(self) -> Estimate | None:
        """To the best candidate, over the seeds that both have; None of itself, and if there are too few."""
        return self.versus.difference if self.versus else None

    @property
    def p(self) -> float | None:
        """Of what tells it apart from the best candidate; None if there is nothing."""
        return self.versus.p if self.versus else None

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
        looks: how many seeds each candidate had whenever this was asked, each number once, in the order of asking.
        rows: the candidates: the best, then the others by their means.
        best: the name of the first; None if there is no best.
        champion: its name if it stands, else None.
        verdict: what there is to say about that, in a sentence.
        without_network: the objective of what takes no network, by name.
        digest: of the test set.
        not_comparable: why the study's trials cannot be compared, if they cannot: then there is no champion.
    """

    objective: str
    minimize: bool
    seeds: Sequence[int]
    looks: Sequence[int]
    rows: Sequence[Row]
    best: str | None
    champion: str | None
    verdict: str
    without_network: Mapping[str, float]
    digest: str | None
    not_comparable: str | None

    def plain(self) -> dict[str, Any]:
        """All of it as JSON has it.

        `candidates` have `name`, `trial`, `params`, `values`, `diverged`, `failed`, `mean`, `low`, `high`, `count`,
        `score`, `gap`, `difference` (a mean with its interval) and `p` each.
        """
        content = {**asdict(self), "confidence": CONFIDENCE, "candidates": []}
        del content["rows"]
        for row in self.rows:
            own = {**asdict(row), **asdict(row.mean), "gap": row.gap, "p": row.p, "params": _params(row.params)}
            own["difference"] = asdict(row.difference) if row.difference else None
            del own["versus"]
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
    looks: Sequence[int] = (),
    not_comparable: str | None = None,
) -> Confirmed:
    """Compares the candidates.

    A champion is a configuration of the study's own that is better than each other candidate, baselines included (see
    `sweep.results.interval.standing`). Who asks again and again, with more seeds each time, until there is one, would
    find one among equals more often than said: at the n-th look, p-values have to be n² times as small.

    Args:
        objective: what the scores are called.
        minimize: whether a smaller one is better.
        candidates: what was trained.
        seeds: with which seeds.
        scores: `[candidates, seeds]`: nan where a training failed, infinite where it diverged.
        without_network: the objective of what takes no network, by name.
        digest: of the test set.
        looks: how many seeds there were when this was asked before, in the order of asking.
        not_comparable: why the study's trials cannot be compared, if they cannot.
    """
    looks = list(dict.fromkeys([*looks, len(seeds)]))
    before = looks[: looks.index(len(seeds))]
    stood = standing(scores, minimize, LEVEL / (len(before) + 1) ** 2)
    skewness = common_skewness(scores)
    rows = [
        Row(
            name=candidate.name,
            trial=candidate.trial,
            params=candidate.params,
            values=[float(value) if math.isfinite(value) else None for value in own],
            diverged=int(np.isinf(own).sum()),
            failed=int(np.isnan(own).sum()),
            mean=estimate(own, skewness),
            score=candidate.score,
            versus=versus,
        )
        for candidate, own, versus in zip(candidates, scores, stood.comparisons, strict=True)
    ]
    best = None if stood.best is None else rows[stood.best]
    rivals = [row for row, beaten in zip(rows, stood.beaten, strict=True) if row is not best and not beaten]
    stands = best is not None and best.trial is not None and stood.stands and not not_comparable
    return Confirmed(
        objective=objective,
        minimize=minimize,
        seeds=list(seeds),
        looks=looks,
        rows=sorted(rows, key=lambda row: _order(row, best, minimize)),
        best=best.name if best else None,
        champion=best.name if best and stands else None,
        verdict=_verdict(best, rivals, rows, before, not_comparable),
        without_network=dict(without_network),
        digest=digest,
        not_comparable=not_comparable,
    )


def _order(row: Row, best: Row | None, minimize: bool) -> tuple[bool, bool, float]:
    mean = row.mean.mean if minimize else -row.mean.mean
    return row is not best, math.isnan(mean), mean


def _verdict(
    best: Row | None, rivals: Sequence[Row], rows: Sequence[Row], before: Sequence[int], not_comparable: str | None
) -> str:
    if not_comparable:
        return f"No champion: the study's trials cannot be compared: {not_comparable}."
    if best is None:
        return "No champion: of every candidate, a training failed or all diverged."
    if best.trial is None:
        return f"No champion: {best.name}, a baseline, comes first."
    allowed = f"allowed is {LEVEL:.2g}"
    if before:
        look, asked = len(before) + 1, ", ".join(map(str, before))
        allowed = f"{allowed} / {look}² = {LEVEL / look**2:.2g}, as {asked} seeds were asked for before"
    if rivals:
        named = ", ".join(f"{row.name} ({_why(row)})" for row in rivals)
        return f"No champion: {best.name} comes first, but is not shown to be better than {named}; {allowed}."
    largest = max(row.p for row in rows if row.p is not None)
    sure = f"largest p {number(largest, 2)}; {allowed}"
    return f"Champion: {best.name} is better than each of the {len(rows) - 1} others ({sure})."


def _why(row: Row) -> str:
    if row.p is not None:
        return f"p {number(row.p, 2)}"
    return f"{row.failed} of {len(row.values)} trainings failed" if row.failed else "nothing tells them apart"


def _params(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, int | float | str | None) else str(value) for key, value in params.items()}
