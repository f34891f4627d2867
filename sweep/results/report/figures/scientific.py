"""What the study asks about: each value of a scientific parameter, at its best setting of everything else."""

from __future__ import annotations

from sweep.results.figure_style import BLUE, GREY, label, shared_legend
from sweep.results.report.axis import cut
from sweep.results.report.evidence import Evidence
from sweep.results.report.picture import COLUMNS, Picture, panels

CROWDED = 4
"""Up to how many values have their names beside each other."""


def scientific(evidence: Evidence) -> Picture | None:
    """A panel for each scientific parameter."""
    found, said = (evidence.roles.comparisons, evidence.roles.sentences) if evidence.roles else ((), [])
    found = tuple(each for each in found if any(value.best is not None for value in each.values))
    if not found:
        return None
    scale = evidence.scale()
    figure, every = panels(len(found), height=3.0)
    names = {axis.key: axis for axis in evidence.axes}
    for index, (each, axes) in enumerate(zip(found, every, strict=True)):
        known = [(at, value) for at, value in enumerate(each.values) if value.best is not None]
        sure = [(at, v) for at, v in known if v.middle is not None and v.low is not None and v.high is not None]
        ends = [scale.clip([v.low, v.high]) for _, v in sure if v.low is not None and v.high is not None]
        axes.vlines(
            [at for at, _ in sure], *zip(*ends, strict=True), color=GREY, linewidth=4, alpha=0.5
        ) if ends else None
        middles = scale.clip(value.middle for _, value in sure if value.middle is not None)
        axes.plot([at for at, _ in sure], middles, "_", color=GREY, markersize=16, label="best of equally many: median")
        best = scale.clip(value.best for _, value in known if value.best is not None)
        axes.plot([at for at, _ in known], best, "D", color=BLUE, markersize=6, label="best")
        texts = [f"{cut(value.label, 16)}\n{value.trials} trials" for value in each.values]
        crowded = len(texts) > CROWDED
        axes.set_xticks(range(len(texts)), texts, fontsize=8.5, rotation=90 if crowded else 0)
        axes.set_xlim(-0.6, len(texts) - 0.4)
        for made in axes.get_xticklabels():
            made.set_parse_math(False)
        axis = names[each.key]
        scale.draw(axes, named=index % COLUMNS == 0)
        label(axes, axis.label, axes.get_ylabel(), f"{axis.name}: best of {each.draws}" if each.draws else axis.name)
    shared_legend(figure)
    return Picture(
        "What the study asks about",
        "Each value of a scientific parameter at its best setting of everything else. A value that had more trials had "
        "more luck, so each is also judged as the best of equally many, drawn from its own trials: the line is the "
        "median, the bar where 95% of them lie. No draw is better than the best that was seen, so bars that lie apart "
        f"prove nothing; a permutation test over all pairs of values does. {' '.join(said)}",
        figure,
    )
