"""The picture of where a network errs: relative error against the condition number of the matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from sweep.metrics import Floats

_MATRICES = 20_000
_DOTS = 4_000
_BINS = 24
_FEWEST = 20
"""Matrices that a bin must have for its median to be drawn."""
_CLOSE = 0.05
_MANY = 1e3
"""A log axis that spans this factor is marked at powers of ten alone."""
_TINY = 1e-9
"""Relative errors below this are drawn here: an exact hit has no place on a log axis."""

_BLUE, _ORANGE, _BLACK = "#0072B2", "#E69F00", "#000000"
"""Of the palette of Okabe and Ito (2008), which can be told apart without colour vision."""


def save_conditioning(matrices: Floats, truth: Floats, predictions: Floats, path: Path, title: str) -> None:
    """Draws the relative error of each matrix against its condition number, and where the squared error comes from.

    Above, on log axes: matrices as dots, their running median, and the band that 80% of them lie in. Below: the share
    of the matrices, and of the squared error, in each bin of condition numbers. Of the first 20,000 matrices; beyond
    the axes' end, the 99.9% quantile of the condition numbers, are a few that are left out, as are those without a
    finite error; the picture says how many.

    Args:
        matrices: A, `[count, n, n]`.
        truth: inverses `[count, n, n]` or determinants `[count, 1]`, in original units.
        predictions: in the shape of `truth`, in original units.
        path: of the PNG.
        title: stands above the picture.
    """
    a, x, x_hat = (np.asarray(array[:_MATRICES], np.float64) for array in (matrices, truth, predictions))
    entries = tuple(range(1, x.ndim))
    squared = np.square(x_hat - x).sum(entries)
    error = np.maximum(np.sqrt(squared / np.square(x).sum(entries)), _TINY)
    condition = np.linalg.cond(a)
    edges = np.geomspace(condition.min(), max(np.quantile(condition, 0.999), condition.min() * 1.01), _BINS + 1)
    inside = (condition <= edges[-1]) & np.isfinite(error)
    bins = np.digitize(condition[inside], edges[1:-1])

    figure = Figure(figsize=(6.5, 6.5))  # without a layout engine, which takes longer than all the rest
    FigureCanvasAgg(figure)
    above, below = figure.subplots(
        2,
        1,
        sharex=True,
        height_ratios=(3, 1),
        gridspec_kw={"left": 0.13, "right": 0.97, "top": 0.9, "bottom": 0.08, "hspace": 0.08},
    )
    _draw_errors(above, condition[inside], error[inside], bins, edges)
    _draw_shares(below, bins, squared[inside], edges)
    above.set_title(title, pad=26)
    left_out = f" ({np.count_nonzero(~inside):,} of {len(a):,} matrices are left out)" if not inside.all() else ""
    below.set_xlabel(f"condition number of the matrix, σ₁ / σₙ{left_out}")
    figure.savefig(path, dpi=120)


def _draw_errors(axes: Axes, condition: Floats, error: Floats, bins: NDArray[np.intp], edges: Floats) -> None:
    axes.set(xscale="log", yscale="log", ylabel="relative error, ‖X̂ - X‖ / ‖X‖")
    shown = [*error[:_DOTS], _CLOSE]
    axes.set_ylim(min(shown) / 1.5, max(shown) * 1.5)
    dots = axes.scatter(condition[:_DOTS], error[:_DOTS], s=4, alpha=0.3, linewidths=0, color=_BLUE, label="a matrix")
    full = [one for one in range(_BINS) if np.count_nonzero(bins == one) >= _FEWEST]
    middle = np.sqrt(edges[:-1] * edges[1:])[full]
    of_bins = np.array([np.quantile(error[bins == one], (0.1, 0.5, 0.9)) for one in full]).reshape(-1, 3)
    band = axes.fill_between(
        middle, of_bins[:, 0], of_bins[:, 2], color=_ORANGE, alpha=0.4, linewidth=0, label="80% of them"
    )
    (median,) = axes.plot(middle, of_bins[:, 1], color=_BLACK, linewidth=2, label="median")
    share = f"{np.count_nonzero(error <= _CLOSE) / max(len(error), 1):.1%} are below {_CLOSE:g}"
    close = axes.axhline(_CLOSE, color=_BLACK, linewidth=1, linestyle=":", label=share)
    for axis in (axes.xaxis, axes.yaxis):
        _mark(axis)
    axes.grid(alpha=0.3)
    # Above the axes, where it hides nothing: to look for a free place takes time.
    box: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 4, "frameon": False}
    box |= {"fontsize": 9, "columnspacing": 1.5}
    legend = axes.legend(handles=[dots, median, band, close], markerscale=3, **box)
    legend.legend_handles[0].set_alpha(1)  # type: ignore[union-attr]


def _draw_shares(axes: Axes, bins: NDArray[np.intp], squared: Floats, edges: Floats) -> None:
    """Two outlines, which may lie over one another."""
    for weights, color, style, label in (
        (np.ones_like(squared), _BLUE, "-", "of the matrices"),
        (squared, _ORANGE, "--", "of the squared error"),
    ):
        share = np.bincount(bins, weights, _BINS) / max(weights.sum(), np.finfo(np.float64).tiny)
        axes.stairs(share, edges, color=color, linestyle=style, linewidth=2, label=label)
    axes.set(ylabel="share")
    axes.margins(y=0.35)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", ncols=2, frameon=False)


def _mark(axis: Axis) -> None:
    """Marks a log axis with numbers as people write them; powers as formulas take longer to draw than the picture."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _MANY else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-")))
    axis.set_minor_locator(NullLocator())
