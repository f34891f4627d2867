"""What the trials reported on their way."""

from __future__ import annotations

import math

from matplotlib.collections import LineCollection
from optuna.trial import FrozenTrial, TrialState

from sweep.results.figure_style import PALE, RED, SERIES, label, new_figure, shared_legend
from sweep.results.report.evidence import Evidence
from sweep.results.report.objective import Scale
from sweep.results.report.picture import Picture

SHOWN = 5
"""How many of the best trials have a line of their own."""


def learning(evidence: Evidence) -> Picture | None:
    """Intermediate values by step."""
    if evidence.several:
        return None
    curves = {trial.number: _curve(trial) for trial in evidence.trials}
    long = {number: curve for number, curve in curves.items() if len(curve) > 1}
    ends = [value for curve in long.values() for _, value in curve[-1:]]
    if not long:
        return None
    measured = [trial.values[0] for trial in evidence.measured]
    starts = sorted(evidence.objective.cost(curve[0][1] for curve in long.values()))
    middle = starts[len(starts) // 2] * (1 if evidence.objective.minimized else -1)
    scale = Scale.of(evidence.objective, [*measured, *ends, middle])
    figure, ((axes,),) = new_figure(height=3.8)
    pruned = {trial.number for trial in evidence.trials if trial.state == TrialState.PRUNED}
    best = [trial.number for trial in evidence.measured[:SHOWN] if trial.number in long]
    for numbers, color, style, words in (
        ([number for number in long if number not in pruned and number not in best], PALE, "solid", "other trials"),
        ([number for number in long if number in pruned], RED, "dashed", "pruned, to where they were given up (×)"),
    ):
        lines = [list(zip(*_split(long[number], scale), strict=True)) for number in numbers]
        if lines:
            axes.add_collection(
                LineCollection(lines, colors=color, linestyles=style, linewidths=0.8, alpha=0.7, label=words)
            )
    last = [long[number][-1] for number in pruned if number in long]
    axes.plot([step for step, _ in last], scale.clip(value for _, value in last), "x", color=RED, markersize=4)
    for rank, (number, series) in enumerate(zip(best, SERIES, strict=False), 1):
        steps, values = _split(long[number], scale)
        axes.plot(
            steps,
            values,
            color=series.color,
            linestyle=series.line,
            marker=series.marker,
            markersize=4.5,
            markevery=max(1, len(steps) // 12),
            label=f"trial {number} (rank {rank})",
        )
    scale.draw(axes)
    axes.margins(x=0.02)
    axes.autoscale_view(scaley=False)
    label(axes, "step (as the trials count them)", axes.get_ylabel())
    shared_legend(figure, beside=True)
    return Picture(
        "What the trials reported on their way",
        "The objective as it stood at each report. Lines that cross late say that an early verdict, such as a "
        "pruner's, would be wrong; lines that still fall (or rise, where higher is better) at their end, that training "
        "is too short.",
        figure,
    )


def _curve(trial: FrozenTrial) -> list[tuple[int, float]]:
    return sorted((step, value) for step, value in trial.intermediate_values.items() if math.isfinite(value))


def _split(curve: list[tuple[int, float]], scale: Scale) -> tuple[list[int], list[float]]:
    return [step for step, _ in curve], list(scale.clip(value for _, value in curve))
