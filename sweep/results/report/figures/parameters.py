"""One parameter at a time, the others free: the best value in each part of its range, and every trial along it."""

from __future__ import annotations

from typing import Any

import numpy as np

from sweep.results.figure_style import BLUE, FIELD, ORANGE, PALE, RED, label, shared_legend
from sweep.results.report import ruler
from sweep.results.report.buckets import parts
from sweep.results.report.evidence import PANELS, Evidence, coordinates, having
from sweep.results.report.objective import Scale
from sweep.results.report.picture import COLUMNS, Picture, panels


def isolation(evidence: Evidence) -> Picture | None:
    """The best value in each part of each parameter's range, however the other parameters were set."""
    shown = evidence.ordered[:PANELS]
    if not evidence.measured or not shown or evidence.several:
        return None
    known = {axis.key: [part for part in parts(evidence, axis) if part.measured] for axis in shown}
    limits = [
        part.value(rank) for found in known.values() for part in found for rank in (1, min(3, len(part.measured)))
    ]
    scale = Scale.of(evidence.objective, limits)
    figure, every = panels(len(shown))
    jitter = np.random.default_rng(0)
    for index, (axis, axes) in enumerate(zip(shown, every, strict=True)):
        trials = having(evidence.measured, axis)
        at = np.array(coordinates(axis, trials))
        if axis.choices is not None:
            at = at + jitter.uniform(-0.12, 0.12, len(at))
        values = scale.clip(trial.values[0] for trial in trials)
        axes.plot(at, values, "o", color=PALE, markersize=3.5, markeredgewidth=0, label="a trial")
        found = known[axis.key]
        where = [part.bucket.at for part in found]
        best = scale.clip(part.value() for part in found)
        third = scale.clip(part.value(min(3, len(part.measured))) for part in found)
        axes.vlines(where, best, third, color=BLUE, linewidth=1.5, label="from the best to the third best")
        line = "-" if axis.choices is None else ":"
        axes.plot(where, best, line, marker="D", color=BLUE, markersize=6, label="best of this part of the range")
        scale.draw(axes, named=index % COLUMNS == 0)
        ruler.draw(axis, axes)
        label(axes, axes.get_xlabel(), axes.get_ylabel(), axis.name)
    shared_legend(figure)
    return Picture(
        "The best that each value allows",
        "For each part of a parameter's range, the best value that any trial in it reached, the other parameters at "
        "whatever they were; the stem ends at the third best, so a long one is the luck of a single trial. A level "
        "line says that the parameter hardly limits what can be reached." + _rest(evidence),
        figure,
    )


def slices(evidence: Evidence) -> Picture | None:
    """Every trial along each parameter; of several objectives a row of panels each."""
    columns = COLUMNS if not evidence.several else min(4, max(1, len(evidence.ordered)))
    shown = evidence.ordered[: columns if evidence.several else PANELS]
    if not evidence.measured or not shown:
        return None
    pairs = [(objective, axis) for objective in evidence.objectives for axis in shown]
    figure, every = panels(len(pairs), columns=columns)
    numbers = [trial.number for trial in evidence.trials]
    mesh: Any = None
    for index, ((objective, axis), axes) in enumerate(zip(pairs, every, strict=True)):
        scale = evidence.scale(objective.index, pruned=True)
        lost = [(trial, value) for trial, value in evidence.given_up if axis.key in trial.params]
        if lost:
            at = coordinates(axis, [trial for trial, _ in lost])
            axes.plot(at, scale.clip(value for _, value in lost), "x", color=RED, markersize=4, label="pruned")
        trials = having(evidence.measured, axis)
        values = scale.clip(trial.values[objective.index] for trial in trials)
        mesh = axes.scatter(
            coordinates(axis, trials),
            values,
            c=[trial.number for trial in trials],
            cmap=FIELD,
            vmin=min(numbers),
            vmax=max(numbers) + 1,
            s=20,
            edgecolors="white",
            linewidths=0.4,
            label="complete",
            zorder=3,
        )
        best = having(evidence.top[:1], axis)
        if best and not evidence.several:
            value = scale.clip([best[0].values[0]])
            axes.plot(
                coordinates(axis, best),
                value,
                "*",
                color=ORANGE,
                markersize=13,
                markeredgecolor="black",
                label="best",
                zorder=4,
            )
        scale.draw(axes, named=index % columns == 0)
        ruler.draw(axis, axes)
        label(axes, axes.get_xlabel(), axes.get_ylabel(), axis.name)
    bar = figure.colorbar(mesh, ax=every, shrink=0.6, aspect=30)
    bar.set_label("trial (number)")
    shared_legend(figure)
    return Picture(
        "Every trial along each parameter",
        "Later trials are lighter: where they gather is where the sampler expected to find something."
        + _rest(evidence),
        figure,
    )


def _rest(evidence: Evidence) -> str:
    more = len(evidence.ordered) - PANELS
    return f" {more} further parameters are in the table." if more > 0 else ""
