"""Two parameters at a time: where in their plane the good trials are."""

from __future__ import annotations

import textwrap
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from sweep.results.figure_style import FIELD, ORANGE, label, shared_legend
from sweep.results.report import ruler
from sweep.results.report.axis import LINE, Axis
from sweep.results.report.evidence import Evidence, coordinates, having
from sweep.results.report.objective import Scale
from sweep.results.report.picture import Picture, panels

FINE = 60
"""How many points a numeric axis has."""

NEAR = float(np.exp(-2))
"""How much weight of trials nearby a mean needs: that of one trial two widths away."""

MOST = 3

LEAST = 8
"""How many trials a plane needs."""


def pairs(evidence: Evidence) -> Picture | None:
    """The planes of three pairs of parameters."""
    found = [pair for pair in _chosen(evidence) if len(having(evidence.measured, *pair)) >= LEAST][:MOST]
    if not found or evidence.several:
        return None
    scale = evidence.scale()
    figure, every = panels(len(found), height=3.3)
    mesh: Any = None
    for (across, upwards), axes in zip(found, every, strict=True):
        mesh = _plane(evidence, scale, across, upwards, axes)
        axes.grid(visible=False)
        ruler.draw(across, axes, "x")
        ruler.draw(upwards, axes, "y")
        label(axes, axes.get_xlabel(), axes.get_ylabel())
    figure.colorbar(mesh, ax=every, aspect=25).set_label(textwrap.fill(scale.label, LINE), parse_math=False)
    shared_legend(figure)
    return Picture(
        "The parameters that matter most, in pairs",
        "The mean value of the trials nearby, the other parameters free: darker is better, white is where no trial is "
        "near. Numbers on lines and in cells are values. Bands that run along an axis say that the other parameter "
        "matters in the same way everywhere; slanted ones that the two have to be chosen together.",
        figure,
    )


def _chosen(evidence: Evidence) -> list[tuple[Axis, Axis]]:
    """Two parameters that are certain to do something together first, then those that matter most."""
    axes = {axis.key: axis for axis in evidence.ordered}
    together = [each.params for found in evidence.importances for each in found.together if each.matters]
    most = [(one.key, other.key) for one, other in combinations(evidence.ordered[:3], 2)]
    chosen = {frozenset(pair): pair for pair in (*together, *most)}
    return [(axes[one], axes[other]) for one, other in chosen.values() if one in axes and other in axes]


def _plane(evidence: Evidence, scale: Scale, across: Axis, upwards: Axis, axes: Axes) -> Any:
    trials = having(evidence.measured, across, upwards)
    x, y = coordinates(across, trials), coordinates(upwards, trials)
    values = scale.clip(trial.values[0] for trial in trials)
    columns, rows = across.grid(FINE), upwards.grid(FINE)
    near_x, near_y = _nearness(across, columns, x), _nearness(upwards, rows, y)
    weight = near_y @ near_x.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(weight > NEAR, (near_y * scale.straight(values)) @ near_x.T / weight, np.nan)
    field = np.ma.masked_invalid(scale.bent(mean))
    darker = FIELD if scale.objective.minimized else f"{FIELD}_r"
    norm = (LogNorm if scale.log else Normalize)(scale.low, scale.high)
    mesh = axes.pcolormesh(columns, rows, field, shading="nearest", zorder=0, norm=norm, cmap=darker)
    choices = sum(axis.choices is not None for axis in (across, upwards))
    if choices == 0 and min(field.shape) > 1:
        lines = axes.contour(columns, rows, field, levels=6, colors="white", linewidths=0.8, linestyles="solid")
        axes.clabel(lines, fontsize=8, fmt="%.3g")
    elif choices == 2:
        box = {"facecolor": "white", "alpha": 0.75, "pad": 1, "linewidth": 0}
        for row, column in np.argwhere(~field.mask):
            words = f"{field[row, column]:.3g}"
            axes.text(columns[column], rows[row], words, ha="center", va="center", fontsize=8, bbox=box, zorder=4)
    axes.plot(x, y, "o", color="white", markeredgecolor="black", markersize=3.5, markeredgewidth=0.6, label="a trial")
    best = having(evidence.measured[:1], across, upwards)
    star: dict[str, Any] = {"color": ORANGE, "markeredgecolor": "black", "markersize": 14, "label": "best", "zorder": 5}
    axes.plot(coordinates(across, best), coordinates(upwards, best), "*", **star)
    return mesh


def _nearness(axis: Axis, grid: Any, at: list[float]) -> Any:
    """How near trials are to points of an axis, `[points, trials]` from 0 to 1: a choice is near itself alone."""
    if axis.choices is not None:
        return (np.asarray(grid)[:, None] == np.asarray(at)[None]).astype(float)
    width = max(0.06, 0.4 * len(at) ** (-1 / 3))
    apart = axis.unit(np.asarray(grid))[:, None] - axis.unit(np.asarray(at))[None]
    return np.exp(-0.5 * np.square(apart / width))
