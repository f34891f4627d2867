"""The objectives against each other."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from sweep.results.figure_style import BLUE, PALE, SERIES, label, shared_legend
from sweep.results.report.evidence import Evidence
from sweep.results.report.picture import Picture, panels
from sweep.results.words import counted

MOST = 6

LOOKS: dict[bool, dict[str, Any]] = {
    False: {"marker": "o", "color": PALE, "markersize": 4, "label": "a trial"},
    True: {"marker": "D", "color": BLUE, "markersize": 6, "label": "Pareto front"},
}
"""By whether a trial is on the front."""


def pareto(evidence: Evidence) -> Picture | None:
    """A panel for each pair of objectives, with the front."""
    if not evidence.several or not evidence.measured:
        return None
    pairs = list(combinations(evidence.objectives, 2))[:MOST]
    figure, every = panels(len(pairs), height=3.6)
    front = {trial.number for trial in evidence.front}
    for (first, second), axes in zip(pairs, every, strict=True):
        across, upwards = evidence.scale(first.index), evidence.scale(second.index)
        for kept, look in LOOKS.items():
            trials = [trial for trial in evidence.measured if (trial.number in front) == kept]
            trials.sort(key=lambda trial: trial.values[first.index])
            x, y = (s.clip(t.values[s.objective.index] for t in trials) for s in (across, upwards))
            line = ":" if kept and len(evidence.objectives) == 2 else "none"
            axes.plot(x, y, linestyle=line, linewidth=1.2, **look)
        for reference, series in zip(evidence.beside, SERIES[1:], strict=False):
            at = reference.values[first.index], reference.values[second.index]
            if at[0] is not None and at[1] is not None and across.holds(at[0]) and upwards.holds(at[1]):
                axes.plot(*at, series.marker, color=series.color, markersize=8, label=reference.name)
        across.draw(axes, "x")
        upwards.draw(axes, "y")
        label(axes, axes.get_xlabel(), axes.get_ylabel())
    shared_legend(figure)
    return Picture(
        "The objectives against each other",
        f"The Pareto front has {counted(len(front), 'trial')}: of these, none is better than another in everything.",
        figure,
    )
