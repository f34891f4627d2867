"""How much each parameter matters, by both measures, with their intervals."""

from __future__ import annotations

import numpy as np

from sweep.results.figure_style import BLACK, BLUE, ORANGE, label, new_figure, shared_legend
from sweep.results.report.axis import cut
from sweep.results.report.evidence import Evidence
from sweep.results.report.picture import Picture

VERDICTS = {True: "matters", False: "does not matter", None: "cannot tell"}
MOST = 20


def importance(evidence: Evidence) -> Picture | None:
    """A pair of bars for each parameter."""
    if evidence.importances is None or not evidence.importances.params:
        return None
    params = evidence.importances.params[:MOST]
    names = {axis.key: axis.name for axis in evidence.axes}
    figure, ((axes,),) = new_figure(width=7.5, height=1.4 + 0.52 * len(params))
    measures = (
        (
            "PED-ANOVA (what sets the best trials apart)",
            BLUE,
            "",
            -0.18,
            [(p.ped_anova, p.ped_anova_interval) for p in params],
        ),
        (
            "fANOVA (share of the variance over all trials)",
            ORANGE,
            "///",
            0.18,
            [(p.fanova, p.fanova_interval) for p in params],
        ),
    )
    for words, color, hatch, offset, values in measures:
        known = [(row, value, interval) for row, (value, interval) in enumerate(values) if value is not None]
        if not known:
            continue
        rows = np.array([row for row, _, _ in known]) + offset
        bars = [value for _, value, _ in known]
        axes.barh(rows, bars, height=0.34, color=color, hatch=hatch, edgecolor="white", label=words)
        ends = [(value, interval) for _, value, interval in known]
        reach = [[max(0.0, v - i[0]), max(0.0, i[1] - v)] if i else [0.0, 0.0] for v, i in ends]
        axes.errorbar(bars, rows, xerr=np.array(reach).T, fmt="none", ecolor=BLACK, capsize=3, linewidth=1)
    for row, each in enumerate(params):
        axes.text(1.02, row, VERDICTS[each.matters], transform=axes.get_yaxis_transform(), fontsize=9, va="center")
    axes.set_yticks(range(len(params)), [cut(names.get(each.param, each.param), 30) for each in params])
    axes.set_ylim(len(params) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    label(axes, "importance (share of the total; lines: 95% interval)", "parameter (name)")
    shared_legend(figure)
    return Picture(
        "How much each parameter matters",
        "Two measures that ask different questions. Intervals are over bootstrap resamples of the trials; the verdict "
        "at the right is what holds in spite of them.",
        figure,
    )
