"""The way from one configuration to another, one change at a time: which change comes next, as scores come in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sweep.engine.recomposed import Configuration
from sweep.results.changes import Between, Change, Content, combined
from sweep.results.interval import Floats
from sweep.results.trainings import Training, Trainings


@dataclass(frozen=True)
class Step:
    """A step of the way.

    Attributes:
        configuration: where it leads.
        change: what it changes; None of the beginning.
        screened: the score of every change that was tried for it, by name; none if there was only one.
        skipped: why a change was not tried, by name.
    """

    configuration: Configuration
    change: Change | None = None
    screened: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """The way from one configuration to another, as far as it is decided.

    Attributes:
        steps: the beginning, and what is decided.
        tried: configurations that have to be tried for the next step; none at the end.
    """

    steps: Sequence[Step]
    tried: Sequence[Configuration] = ()


class Walk:
    """Finds the way, again and again, as scores come in.

    Args:
        between: composes what is on the way.
        begin: the beginning.
        start: its content.
        parts: the changes.
        most: how many steps there are before what is left is made in one; None for as many as there are changes.
        screen: the seed that changes are tried with.
        minimize: whether a smaller score is better.
    """

    def __init__(
        self,
        between: Between,
        begin: Configuration,
        start: Content,
        parts: Sequence[Change],
        most: int | None,
        screen: int,
        minimize: bool,
    ) -> None:
        self._between, self._begin, self._start = between, begin, start
        self._parts, self._most, self._screen, self._minimize = parts, most, screen, minimize

    def way(self, found: Trainings) -> Way:
        """The way, given what was trained."""
        content, remaining = self._start, list(self._parts)
        steps = [Step(self._begin)]
        while remaining:
            if self._most is not None and len(steps) > self._most and len(remaining) > 1:
                rest = combined(remaining, f"the other {len(remaining)} changes")
                final = self._between.compose(rest.name, rest.apply(content))
                return Way([*steps, Step(final, rest)])
            options, skipped = self._between.options(content, remaining)
            scores = found.scores([made for _, made in options], [self._screen])[:, 0]
            if len(options) > 1 and found.unfinished([(made, self._screen) for _, made in options]):
                return Way(steps, [made for _, made in options])
            best = int(np.argmin(_worst_last(scores, self._minimize))) if len(options) > 1 else 0
            chosen, made = options[best]
            change = combined(chosen)
            screened = {combined(parts).name: float(score) for (parts, _), score in zip(options, scores, strict=True)}
            steps.append(Step(made, change, screened if len(options) > 1 else {}, skipped))
            content, remaining = change.apply(content), [part for part in remaining if part not in chosen]
        return Way(steps)

    def wanted(self, found: Trainings, seeds: Iterable[int]) -> list[Training]:
        """What is to be trained: what is tried for the next step first, then everything on the way with all seeds."""
        way = self.way(found)
        tried = [(each, self._screen) for each in way.tried]
        return [*tried, *((step.configuration, seed) for seed in seeds for step in way.steps)]


def _worst_last(scores: Floats, minimize: bool) -> Floats:
    """Scores of which the smallest is the best, and what failed is as bad as what diverged."""
    return np.nan_to_num(scores if minimize else -scores, nan=np.inf, posinf=np.inf)
