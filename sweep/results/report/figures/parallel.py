"""All parameters at once: a line for every trial, across an axis for each parameter."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from sweep.results.figure_style import BLUE, PALE, label, new_figure, shared_legend
from sweep.results.report.axis import Axis, cut
from sweep.results.report.evidence import PANELS, Evidence
from sweep.results.report.picture import Picture
from sweep.results.report.ruler import ticks

ABSENT = -0.12
"""Where the line of a trial goes that has not got a parameter."""


def parallel(evidence: Evidence) -> Picture | None:
    """Parallel coordinates, each axis in its parameter's own scale, the objectives last."""
    axes_shown = evidence.ordered[: PANELS - 2]
    if not evidence.measured or not axes_shown:
        return None
    figure, ((axes,),) = new_figure(height=4.4)
    jitter = np.random.default_rng(0)
    top = {trial.number for trial in evidence.top}
    scales = [evidence.scale(objective.index) for objective in evidence.objectives]
    lines = {}
    for trial in reversed(evidence.measured):
        heights = [
            float(axis.unit(axis.at(trial.params[axis.key]))) + _spread(axis, jitter)
            if axis.key in trial.params
            else ABSENT
            for axis in axes_shown
        ]
        for scale, value in zip(scales, trial.values, strict=True):
            low, value, high = scale.straight([scale.low, float(scale.clip([value])[0]), scale.high])
            heights.append(float((value - low) / (high - low)))
        lines[trial.number] = heights
    where = np.arange(len(axes_shown) + len(scales))
    named = "Pareto front" if evidence.several else f"the best {len(top)}"
    for number, heights in lines.items():
        style = {"color": BLUE, "linewidth": 1.6, "zorder": 3, "marker": "o", "markersize": 3, "label": named}
        other = {"color": PALE, "linewidth": 0.7, "zorder": 2, "linestyle": (0, (4, 1)), "label": "other trials"}
        axes.plot(where, heights, alpha=0.8, **(style if number in top else other))
    for place, axis in enumerate(axes_shown):
        _rule(axes, place, [(float(axis.unit(at)), cut(words, 12)) for at, words in zip(*ticks(axis), strict=True)])
    for place, scale in enumerate(scales, len(axes_shown)):
        ends = scale.bent(np.linspace(scale.straight(scale.low), scale.straight(scale.high), 5))
        _rule(axes, place, [(index / 4, f"{value:.3g}") for index, value in enumerate(ends)])
    absent = any(ABSENT in heights for heights in lines.values())
    axes.set_ylim(ABSENT - 0.05 if absent else -0.05, 1.05)
    if absent:
        axes.text(-0.08, ABSENT, "absent", ha="right", va="center", fontsize=8)
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    names = [cut(axis.name, 22) + ("\n(log scale)" if axis.log else "") for axis in axes_shown]
    names += [cut(scale.objective.name, 24) + f"\n({scale.objective.direction})" for scale in scales]
    axes.set_xticks(where, names, rotation=0 if len(names) <= 7 else 30, ha="center" if len(names) <= 7 else "right")
    axes.set_xlim(-0.35, len(names) - 0.55)
    for made in axes.get_xticklabels():
        made.set_parse_math(False)
    label(axes, "parameter, or objective (unit as elsewhere)", "value (on each axis' own scale)")
    shared_legend(figure)
    return Picture(
        "All parameters at once",
        "A line is a trial. What the dark lines share is what good trials have in common.",
        figure,
    )


def _spread(axis: Axis, jitter: np.random.Generator) -> float:
    """Lets lines through the same choice or integer be told apart."""
    few = axis.choices is not None or (axis.integer and axis.high - axis.low < 12)
    return float(jitter.uniform(-0.012, 0.012)) if few else 0.0


def _rule(axes: Axes, place: int, marks: list[tuple[float, str]]) -> None:
    axes.axvline(place, color="#555555", linewidth=1, zorder=4)
    for height, words in marks:
        box = {"facecolor": "white", "alpha": 0.8, "pad": 0.8, "linewidth": 0}
        made = axes.text(place + 0.03, height, words, fontsize=8, va="center", zorder=5, bbox=box)
        made.set_parse_math(False)
