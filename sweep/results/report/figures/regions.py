"""Where in the search space trials were given up or failed."""

from __future__ import annotations

import textwrap

import numpy as np

from sweep.results.figure_style import label, shared_legend
from sweep.results.report.axis import cut
from sweep.results.report.buckets import parts
from sweep.results.report.evidence import PANELS, Evidence
from sweep.results.report.figures.timeline import LOOKS
from sweep.results.report.picture import Picture, panels


def regions(evidence: Evidence) -> Picture | None:
    """The share of trials that were pruned, diverged or failed, in each part of each parameter's range."""
    found = [(axis, [part for part in parts(evidence, axis) if part.ended]) for axis in evidence.ordered[:PANELS]]
    found = [(axis, some) for axis, some in found if some]
    lost = ("pruned", "diverged", "failed")
    if not any(part.ends[end] for _, some in found for part in some for end in lost):
        return None
    figure, every = panels(len(found), height=2.4)
    for (axis, some), axes in zip(found, every, strict=True):
        left = np.zeros(len(some))
        for end in lost:
            share = np.array([100 * part.ends[end] / part.ended for part in some])
            color, hatch = LOOKS[end]
            axes.barh(range(len(some)), share, left=left, color=color, hatch=hatch, edgecolor="white", label=end)
            left += share
        for height, part in enumerate(some):
            axes.text(101, height, f"of {part.ended}", fontsize=7.5, va="center", clip_on=False)
        axes.set_yticks(range(len(some)), [cut(part.bucket.label, 16) for part in some])
        axes.set_xlim(0, 100)
        axes.grid(visible=False, axis="y")
        label(axes, "share of the trials (%)", textwrap.fill(axis.label, 22), axis.name)
    shared_legend(figure)
    return Picture(
        "Where trials were given up or failed",
        "Of the trials that ended in each part of a parameter's range, the share that was pruned, diverged (its "
        "objective was not finite) or failed. A region that is lost whole says nothing about its values, only that "
        "they cannot be had like this.",
        figure,
    )
