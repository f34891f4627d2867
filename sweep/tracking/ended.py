"""What a study knows of a trial that has ended, for the run that mirrors it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ended:
    """A trial that has ended.

    Attributes:
        state: COMPLETE, PRUNED, FAIL, or STOPPED (interrupted, or its agent is gone).
        reason: why it was pruned or failed.
        values: the objective of a complete trial, or all of its objectives.
        params: what was suggested, by key.
        metrics: the last value of each.
        reported: intermediate values of the objective, by step.
        folder: its output directory.
        began: when it began, in ms since 1970; None if nobody knows.
        ended: when it ended.
        commit: of the source that it ran from; None if that is not known.
    """

    state: str
    reason: str = ""
    values: tuple[float, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    reported: Mapping[int, float] = field(default_factory=dict)
    folder: str | None = None
    began: int | None = None
    ended: int | None = None
    commit: str | None = None
