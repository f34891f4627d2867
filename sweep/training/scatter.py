"""The picture that the answer ends with: prediction against truth."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sweep.metrics import Floats

_MATRICES = 2_000


def save_scatter(truth: Floats, predictions: Floats, path: Path, title: str) -> None:
    """Draws each entry to be predicted of the first 2,000 matrices: its true value across, its prediction upwards.

    The axes end where 99.9% of the true values lie; the few beyond are left out, and the picture says how many.

    Args:
        truth: inverses `[count, n, n]` or determinants `[count, 1]`, in original units.
        predictions: in the shape of `truth`, in original units; what is not finite lies outside.
        path: of the PNG.
        title: stands above the picture.
    """
    thing = "entry of the inverse" if truth.ndim == 3 else "determinant"
    truth, predicted = (np.asarray(array[:_MATRICES], np.float64).ravel() for array in (truth, predictions))
    limit = float(np.quantile(np.abs(truth), 0.999)) * 1.05
    inside = (np.abs(truth) <= limit) & (np.abs(predicted) <= limit)

    figure = Figure(figsize=(6.5, 6.5))  # without a layout engine, which would double the time
    FigureCanvasAgg(figure)
    axes = figure.subplots(gridspec_kw={"left": 0.12, "right": 0.97, "bottom": 0.09, "top": 0.94})
    axes.plot([-limit, limit], [-limit, limit], color="0.6", linewidth=1, zorder=1, label="perfect prediction")
    axes.scatter(truth[inside], predicted[inside], s=4, alpha=0.25, linewidths=0, zorder=2, label=f"one {thing}")
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", title=title)
    axes.set_xlabel(f"true {thing}")
    axes.set_ylabel(f"predicted {thing} ({np.count_nonzero(~inside):,} of {truth.size:,} points lie outside)")
    axes.grid(alpha=0.3)
    for handle in axes.legend(loc="upper left", markerscale=3).legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    figure.savefig(path, dpi=120)
