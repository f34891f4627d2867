"""How much each parameter matters, by every measure, with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sweep.results.figure_style import BLACK, BLUE, ORANGE, SKY, label, shared_legend
from sweep.results.importance import Importance
from sweep.results.report.axis import cut
from sweep.results.report.evidence import Evidence
from sweep.results.report.picture import Picture, panels

VERDICTS = {True: "matters", False: "does not matter", None: "cannot tell"}

MEASURES = (
    ("share", "share of the variation over the search space, on which the verdict rests", BLUE, ""),
    ("ped_anova", "PED-ANOVA: what sets the best trials apart", ORANGE, "///"),
    ("fanova", "fANOVA: variance of a random forest, of each parameter alone", SKY, "..."),
)
"""Fields of `Importance` that are drawn, what they are, and their colours and hatches."""

MOST = 20


def importance(evidence: Evidence) -> Picture | None:
    """Bars for each parameter; of several objectives a panel each."""
    known = [
        (objective, [each for each in found.params if each.share is not None][:MOST])
        for objective, found in zip(evidence.objectives, evidence.importances, strict=False)
    ]
    known = [(objective, params) for objective, params in known if params]
    if not known:
        return None
    figure, every = panels(len(known), height=1.2 + 0.6 * max(len(params) for _, params in known), columns=1)
    names = {axis.key: axis.name for axis in evidence.axes}
    for (objective, params), axes in zip(known, every, strict=True):
        for index, (field, words, color, hatch) in enumerate(MEASURES):
            _bars(axes, params, field, 0.27 * (index - 1), label=words, color=color, hatch=hatch)
        for row, each in enumerate(params):
            axes.text(1.02, row, VERDICTS[each.matters], transform=axes.get_yaxis_transform(), fontsize=9, va="center")
        axes.set_yticks(range(len(params)), [cut(names.get(each.param, each.param), 30) for each in params])
        axes.set_ylim(len(params) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.grid(visible=False, axis="y")
        title = objective.name if evidence.several else ""
        label(axes, "importance (share of the total; lines: 95% interval)", "parameter (name)", title)
    shared_legend(figure, rows=True)
    return Picture(
        "How much each parameter matters",
        "Three measures that ask different questions. The share counts what a parameter does alone and with others, so "
        "shares may sum to more than 1; its interval is what the trials allow, however they were chosen. The other two "
        "are Optuna's, with bootstrap intervals, and sum to 1.",
        figure,
    )


def _bars(axes: Axes, params: list[Importance], field: str, offset: float, **look: Any) -> None:
    found = [(row, getattr(each, field), getattr(each, f"{field}_interval")) for row, each in enumerate(params)]
    found = [(row, value, interval) for row, value, interval in found if value is not None]
    if not found:
        return
    rows = np.array([row for row, _, _ in found]) + offset
    values = [value for _, value, _ in found]
    axes.barh(rows, values, height=0.26, edgecolor="white", **look)
    reach = [[max(0.0, v - i[0]), max(0.0, i[1] - v)] if i else [0.0, 0.0] for _, v, i in found]
    axes.errorbar(values, rows, xerr=np.array(reach).T, fmt="none", ecolor=BLACK, capsize=2.5, linewidth=1)
