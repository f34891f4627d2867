"""How every figure of the results looks: colours that the colour-blind tell apart, sizes, labelled axes, PNG.

No distinction is one of colour alone: a series has its own marker and line style, a field of colours its numbers or its
contours. Figures are made without pyplot, which has global state that threads would share.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK = "#CC79A7", "#56B4E9", "#F0E442", "#000000"
GREY, PALE = "#6E6E6E", "#BDBDBD"
FIELD = "cividis"
"""The colour map of fields of values, read the same with and without colour vision. Dark is low; `_r` turns it."""

WIDTH = 9.0
"""Of a figure that fills the page, in inches."""

DPI = 110

_STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
}


@dataclass(frozen=True)
class Series:
    """What tells a series from the others, in three ways.

    Attributes:
        color: of the palette of Okabe and Ito (jfly.uni-koeln.de/color).
        marker: matplotlib's name of it.
        line: matplotlib's line style.
    """

    color: str
    marker: str
    line: Any


SERIES = (
    Series(BLUE, "o", "-"),
    Series(RED, "s", "--"),
    Series(GREEN, "^", "-."),
    Series(PURPLE, "D", ":"),
    Series(ORANGE, "v", (0, (5, 1, 1, 1, 1, 1))),
    Series(SKY, "P", (0, (8, 2))),
    Series(BLACK, "X", (0, (2, 2))),
)
"""The series of a figure, in this order."""


def new_figure(rows: int = 1, columns: int = 1, width: float = WIDTH, height: float = 3.6) -> tuple[Figure, Any]:
    """A figure with `rows` × `columns` empty axes; the axes come as an array `[rows, columns]` of objects.

    Args:
        rows: of axes.
        columns: of axes.
        width: of the whole figure, in inches.
        height: of the whole figure, in inches.
    """
    with matplotlib.rc_context(_STYLE):  # artists take their style when they are made
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, np.atleast_2d(figure.subplots(rows, columns, squeeze=False))


def label(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Says what the axes are, units included, and what is to be seen. Dollar signs are dollar signs."""
    head = axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
    for text in (axes.set_xlabel(x), axes.set_ylabel(y), head):
        text.set_parse_math(False)


def legend(axes: Axes, **where: Any) -> None:
    """Explains the series of axes that have a label, if there are any, inside the axes: `where` has free room."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        made = axes.legend(handles, labels, fontsize=8.5, frameon=True, framealpha=0.85, edgecolor="none", **where)
        for text in made.get_texts():
            text.set_parse_math(False)


def shared_legend(figure: Figure, beside: bool = False, rows: bool = False) -> None:
    """Explains the series of a figure that have a label, each once, outside of all axes.

    Args:
        figure: the figure.
        beside: to the right of the axes instead of above them.
        rows: each in a row of its own, as long texts want it.
    """
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    if found:
        where = {"loc": "outside right upper"} if beside else {"loc": "outside upper left", "ncols": 1 if rows else 4}
        made = figure.legend(list(found.values()), list(found), fontsize=9.0, frameon=False, **where)
        for text in made.get_texts():
            text.set_parse_math(False)


def save(figure: Figure, path: Path, comment: str | None = None) -> None:
    """Writes a figure as PNG, with a comment among its metadata if there is one."""
    metadata = {"Software": None, **({"Comment": comment} if comment else {})}
    figure.savefig(path, dpi=DPI, facecolor="white", metadata=metadata)
