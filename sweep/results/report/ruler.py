"""How a figure draws a parameter's axis: where its marks are, and what is written there."""

from __future__ import annotations

import math
import textwrap

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sweep.results.leaderboard import number
from sweep.results.report.axis import LINE, Axis, cut, text

ROOM = 0.19
"""How far marks are from each other at least, as a share of the axis."""


def ticks(axis: Axis) -> tuple[list[float], list[str]]:
    """Coordinates that a drawing without ticks of its own marks, and what to write there."""
    if axis.choices is not None:
        return [float(at) for at in range(len(axis.choices))], [text(choice) for choice in axis.choices]
    if not axis.varies:
        return [axis.low], [number(axis.own(axis.low))]
    if not axis.log:
        inside = [float(at) for at in MaxNLocator(5, integer=axis.integer).tick_values(axis.low, axis.high)]
    else:
        least, most = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
        marks = (1,) if most - least > 3 else (1, 3) if most - least > 1 else (1, 2, 3, 5)
        inside = [mark * 10.0**power for power in range(least, most + 1) for mark in marks]
    marked = [axis.low, axis.high]
    for at in inside:
        if axis.low < at < axis.high and all(abs(axis.unit(at) - axis.unit(other)) > ROOM for other in marked):
            marked.append(at)
    return sorted(marked), [number(axis.own(at), 3) for at in sorted(marked)]


def draw(axis: Axis, axes: Axes, which: str = "x") -> None:
    """Gives axes of a figure this scale, its ends and its label."""
    across = which == "x"
    set_label = axes.set_xlabel if across else axes.set_ylabel
    set_label(textwrap.fill(axis.label, LINE, break_long_words=False)).set_parse_math(False)
    drawn = axes.xaxis if across else axes.yaxis
    if axis.choices is not None:
        marked, texts = ticks(axis)
        long = across and sum(len(short) for short in texts) > 24
        drawn.set_ticks(marked, [cut(short, 18) for short in texts], rotation=30 if long else 0)
        for made in drawn.get_ticklabels():
            made.set_parse_math(False)
            made.set_horizontalalignment("right" if long or not across else "center")
    elif axis.log and axis.varies:
        (axes.set_xscale if across else axes.set_yscale)("log")
        marked, texts = ticks(axis)
        drawn.set_ticks(marked, texts)
        drawn.set_ticks([], minor=True)
    elif axis.integer:
        drawn.set_major_locator(MaxNLocator(6, integer=True))
    (axes.set_xlim if across else axes.set_ylim)(*_ends(axis))


def _ends(axis: Axis) -> tuple[float, float]:
    if axis.choices is not None:
        return -0.5, len(axis.choices) - 0.5
    if not axis.varies:
        return axis.low - 0.5, axis.high + 0.5
    low, high = axis.scaled(axis.low), axis.scaled(axis.high)
    room = 0.04 * (high - low)
    return float(axis.unscaled(low - room)), float(axis.unscaled(high + room))
