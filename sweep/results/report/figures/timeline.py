"""When each slot ran what."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from optuna.trial import FrozenTrial

from sweep.results.figure_style import BLACK, BLUE, ORANGE, RED, SKY, label, new_figure, shared_legend
from sweep.results.progress import duration
from sweep.results.report.buckets import end_of
from sweep.results.report.evidence import Evidence
from sweep.results.report.picture import Picture

LOOKS = {
    "complete": (BLUE, ""),
    "pruned": (ORANGE, "///"),
    "diverged": (SKY, "xxx"),
    "failed": (RED, "..."),
}
"""Colour and hatch of what becomes of trials."""

PAUSE = timedelta(seconds=60)
"""A time in which nothing ran is left out if it is longer than this, and than a tenth of the time that was busy."""


def timeline(evidence: Evidence) -> Picture | None:
    """A row for each slot, a bar for each trial."""
    ended = [t for t in evidence.trials if t.datetime_start and t.datetime_complete and end_of(t) is not None]
    if not ended:
        return None
    rows = list(dict.fromkeys(map(_slot, sorted(ended, key=_slot))))
    clock = _Clock(ended)
    scale, unit = clock.unit()
    figure, ((axes,),) = new_figure(height=1.5 + 0.3 * min(len(rows), 30))
    for end, (color, hatch) in LOOKS.items():
        for height, slot in enumerate(rows):
            mine = [trial for trial in ended if end_of(trial) == end and _slot(trial) == slot]
            bars = [(clock.at(t.datetime_start) / scale, clock.length(t) / scale) for t in mine]
            if bars:
                named = f"{end} ({sum(end_of(trial) == end for trial in ended)})"
                axes.broken_barh(
                    bars,
                    (height - 0.4, 0.8),
                    facecolor=color,
                    hatch=hatch,
                    edgecolor="white",
                    linewidth=0.5,
                    label=named if slot == _first(ended, end, rows) else None,
                )
    for at, left_out in clock.pauses:
        axes.axvline(at / scale, color=BLACK, linestyle=":", linewidth=1)
        axes.text(at / scale, -0.8, f" paused {duration(left_out)}", fontsize=8, va="top")
    axes.set_yticks(range(len(rows)), [_named(rows, index) for index in range(len(rows))])
    axes.set_ylim(len(rows) - 0.4, -0.85 if clock.pauses else -0.6)
    axes.grid(visible=False, axis="y")
    busy = sum(map(clock.length, ended)) / (clock.total * len(rows)) if clock.total else 1.0
    label(axes, f"time since the first trial ({unit}, without pauses)", "slot (agent.slot)")
    shared_legend(figure, beside=True)
    return Picture(
        "When each slot ran what",
        f"The slots were busy {busy:.0%} of {duration(clock.total)}. A bar is the last attempt at a trial.",
        figure,
    )


class _Clock:
    """Seconds since the first trial, without the time in which nothing ran for long."""

    def __init__(self, trials: list[FrozenTrial]) -> None:
        spans = sorted(
            (t.datetime_start, t.datetime_complete) for t in trials if t.datetime_start and t.datetime_complete
        )
        joined: list[list[datetime]] = []
        for start, end in spans:
            if joined and start <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], end)
            else:
                joined.append([start, end])
        busy = sum((end - start for start, end in joined), timedelta())
        self._first = joined[0][0]
        self._cuts: list[tuple[datetime, float]] = []
        for (_, end), (start, _) in pairwise(joined):
            if start - end > max(PAUSE, busy / 10):
                self._cuts.append((start, (start - end).total_seconds()))
        self.total = self.at(max(end for _, end in spans))
        self.pauses = [(self.at(start), seconds) for start, seconds in self._cuts]

    def at(self, moment: datetime | None) -> float:
        assert moment is not None
        left_out = sum(seconds for start, seconds in self._cuts if moment >= start)
        return (moment - self._first).total_seconds() - left_out

    def length(self, trial: FrozenTrial) -> float:
        return self.at(trial.datetime_complete) - self.at(trial.datetime_start)

    def unit(self) -> tuple[float, str]:
        sizes = ((7200.0, 3600.0, "h"), (240.0, 60.0, "min"))
        return next(((size, name) for limit, size, name in sizes if self.total > limit), (1.0, "s"))


def _slot(trial: FrozenTrial) -> tuple[str, int]:
    return str(trial.user_attrs.get("agent", "")), int(trial.user_attrs.get("slot", 0))


def _named(rows: list[tuple[str, int]], index: int) -> str:
    agents = list(dict.fromkeys(agent for agent, _ in rows))
    agent, slot = rows[index]
    return f"{agents.index(agent)}.{slot}" if len(rows) <= 30 or index % int(np.ceil(len(rows) / 30)) == 0 else ""


def _first(trials: list[FrozenTrial], end: str, rows: list[tuple[str, int]]) -> tuple[str, int]:
    """The first row that has a trial which came to this end: it carries the word for the legend."""
    return min((_slot(trial) for trial in trials if end_of(trial) == end), key=rows.index)
