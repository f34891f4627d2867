"""How the study went: values by trial, and what a study of n trials can expect."""

from __future__ import annotations

import numpy as np

from sweep.results.figure_style import BLACK, BLUE, GREY, PALE, RED, SERIES, label, new_figure, shared_legend
from sweep.results.report.evidence import Evidence
from sweep.results.report.luck import Luck
from sweep.results.report.picture import Picture


def history(evidence: Evidence) -> Picture | None:
    """Values by trial number, and the best so far."""
    if not evidence.measured or evidence.several:
        return None
    scale = evidence.scale(pruned=True)
    figure, ((axes,),) = new_figure(height=3.8)
    measured = sorted(evidence.measured, key=lambda trial: trial.number)
    numbers = [trial.number for trial in measured]
    values = [trial.values[0] for trial in measured]
    best = (np.minimum if evidence.objective.minimized else np.maximum).accumulate(values)
    if evidence.given_up:
        pruned, last = zip(*((trial.number, value) for trial, value in evidence.given_up), strict=True)
        axes.plot(pruned, scale.clip(last), "x", color=RED, markersize=5, label="pruned, at its last report")
    axes.plot(numbers, scale.clip(values), "o", color=BLUE, markersize=4.5, alpha=0.75, label="complete")
    axes.step(
        [*numbers, evidence.trials[-1].number],
        scale.clip([*best, best[-1]]),
        where="post",
        color=BLACK,
        label="best so far",
    )
    near = [(each.name, each.values[0]) for each in evidence.beside]
    lines = [(name, value) for name, value in near if value is not None and scale.holds(value)]
    for (name, value), series in zip(lines, SERIES[1:], strict=False):
        axes.axhline(value, color=series.color, linestyle=series.line, linewidth=1.3, label=name)
    scale.draw(axes)
    label(axes, "trial (number, in the order in which they began)", axes.get_ylabel())
    shared_legend(figure, beside=True)
    left_out = [name for name, value in near if value is not None and not scale.holds(value)]
    beyond = f" Too far away to be drawn: {', '.join(left_out)}." if left_out else ""
    return Picture(
        "Values by trial",
        f"Each complete trial, and the best value until then.{beyond}",
        figure,
    )


def best_of_n(evidence: Evidence) -> Picture | None:
    """The best value that n trials like these can be expected to have."""
    luck = Luck.of(evidence)
    if luck is None:
        return None
    scale = evidence.scale()
    figure, ((axes,),) = new_figure(width=6.5, height=3.6)
    low, high = (scale.clip(edge) for edge in (luck.low, luck.high))
    axes.fill_between(luck.trials, low, high, color=PALE, alpha=0.6, linewidth=0, label="95% of resampled studies")
    axes.plot(luck.trials, scale.clip(luck.expected), color=BLUE, label="expected best of n trials")
    axes.plot(
        luck.trials,
        scale.clip(luck.actual),
        color=GREY,
        linestyle="--",
        drawstyle="steps-post",
        label="this study, in its own order",
    )
    scale.draw(axes)
    label(axes, "n (number of trials)", axes.get_ylabel())
    shared_legend(figure, beside=True)
    return Picture(
        "How much of it is the number of trials",
        "The expected best of n trials that are drawn from these ones, with its 95% interval over bootstrap resamples. "
        "Trials without a result count as the worst one. A line that is still falling (or rising, where higher is "
        "better) at its end says that more trials would help. The draws know nothing of order: where a sampler learned "
        "as it went, the study's own line begins on the worse side of them.",
        figure,
    )
