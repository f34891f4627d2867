"""An ablation as a waterfall: each bar goes from the mean before a change to the mean after it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from sweep.metrics import title
from sweep.results import figure_style as style
from sweep.results.ablation import Ablation, Row

LOOKS = {"helps": (style.BLUE, ""), "hurts": (style.RED, "///"), "nothing shown": (style.PALE, "...")}
"""Colour and hatching of a bar, by the effect of its change."""

_LABEL = 34
"""Characters of a line of a change's name."""


def save_waterfall(ablation: Ablation, path: Path) -> None:
    """Draws a step in a line, the beginning at the top, with the interval of what it has brought."""
    rows = ablation.rows
    figure, axes = style.new_figure(height=1.6 + 0.52 * len(rows))
    axis = axes[0, 0]
    explained: set[str] = set()
    for line, row in enumerate(rows):
        if line == 0 or row.gain is None:
            _point(axis, line, row)
            continue
        before, after = rows[line - 1].mean.mean, row.mean.mean
        color, hatch = LOOKS[row.effect]
        named = {} if row.effect in explained else {"label": row.effect}
        explained.add(row.effect)
        axis.barh(line, after - before, left=before, height=0.6, color=color, hatch=hatch, edgecolor="white", **named)
        half = (row.gain.high - row.gain.low) / 2
        axis.errorbar(after, line, xerr=half, color=style.BLACK, capsize=3, linewidth=1.2)
        axis.annotate(f"{row.gain.mean:+.3g}", (max(before, after) + half, line), (5, 0), textcoords="offset points",
                      va="center", fontsize=8.5)  # fmt: skip
        axis.plot([before, before], [line - 1, line], color=style.GREY, linewidth=0.8, linestyle=":")
    labels = ["\n".join(textwrap.wrap(row.change, _LABEL)) for row in rows]
    axis.set_yticks(range(len(rows)), labels)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.margins(x=0.12)
    better = "smaller" if ablation.minimize else "larger"
    what = f"From {ablation.origin} to {ablation.best}: mean of {len(ablation.seeds)} seeds, 95% intervals of each gain"
    style.label(axis, f"{ablation.objective}: {_words(ablation.objective)} ({better} is better)", "change", what)
    style.legend(axis, loc="best")
    style.save(figure, path)


def _point(axis: object, line: int, row: Row) -> None:
    """The beginning, or a step that cannot be compared with the one before: a mean with its own interval."""
    half = (row.mean.high - row.mean.low) / 2
    axis.errorbar(row.mean.mean, line, xerr=half, fmt="o", color=style.BLACK, capsize=3)  # type: ignore[attr-defined]


def _words(objective: str) -> str:
    try:
        return title(objective)
    except ValueError:  # another application's
        return "the objective"
