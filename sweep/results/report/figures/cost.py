"""What better values cost: the objective against size, arithmetic and time."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.axes import Axes

from sweep.results.figure_style import BLACK, BLUE, PALE, SERIES, label, shared_legend
from sweep.results.report.axis import LINE
from sweep.results.report.costs import Cost, cheapest, costs
from sweep.results.report.evidence import Evidence
from sweep.results.report.picture import Picture, panels


def cost(evidence: Evidence) -> Picture | None:
    """A panel for each cost, with the front of those trials that none is both cheaper and better than."""
    found = costs(evidence)
    if not found or evidence.several:
        return None
    across = 3 if len(found) == 3 else 2
    figure, every = panels(len(found), height=3.0, columns=across)
    scale = evidence.scale()
    for index, (each, axes) in enumerate(zip(found, every, strict=True)):
        _draw(evidence, each, axes)
        scale.draw(axes, named=index % across == 0)
        label(axes, textwrap.fill(each.label, LINE), axes.get_ylabel(), each.title)
    shared_legend(figure)
    return Picture(
        "What better values cost",
        "The line is the Pareto front: the trials of which none other is both cheaper and better. A front that is "
        "level to the right says that a smaller one would do.",
        figure,
    )


def _draw(evidence: Evidence, each: Cost, axes: Axes) -> None:
    scale = evidence.scale()
    trials = [trial for trial in evidence.measured if trial.number in each.of]
    x = [each.of[trial.number] for trial in trials]
    axes.plot(x, scale.clip(trial.values[0] for trial in trials), "o", color=PALE, markersize=4, label="a trial")
    front = cheapest(evidence, each)
    steps = [each.of[trial.number] for trial in front]
    best = scale.clip(trial.values[0] for trial in front)
    axes.plot([*steps, max(x)], [*best, best[-1]], drawstyle="steps-post", color=BLUE, linewidth=1.4)
    axes.plot(steps, best, "D", color=BLUE, markersize=5.5, label="Pareto front")
    known = [(r, each.read(r.trial)) for r in evidence.references if r.kind == "baseline" and r.trial is not None]
    for (reference, spent), series in zip(known, SERIES[1:], strict=False):
        if spent is not None and reference.values[0] is not None:
            look: dict[str, Any] = {
                "marker": series.marker,
                "color": series.color,
                "markeredgecolor": BLACK,
                "linestyle": "none",
            }
            axes.plot([spent], scale.clip([reference.values[0]]), label=reference.name, markersize=8, **look)
    if each.log:
        axes.set_xscale("log")
