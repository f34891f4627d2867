"""The figures to move in: Plotly draws them in the browser, from plain dictionaries."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from sweep.engine.names import short_names
from sweep.results.figure_style import BLACK, BLUE, RED, SERIES
from sweep.results.leaderboard import number
from sweep.results.report import ruler
from sweep.results.report.axis import LINE, Axis, text
from sweep.results.report.evidence import Evidence, having
from sweep.results.report.objective import Scale

MANY = 1500
"""Above so many points they are drawn by the graphics card: as elements of the page they would make it slow."""

DASHES = ("solid", "dash", "dashdot", "dot", "longdash", "longdashdot", "5px 2px")
GRID = "#E4E4E4"


@dataclass(frozen=True)
class Interactive:
    """A figure to move in.

    Attributes:
        title: what stands above it.
        caption: how it is to be used.
        figure: `data` and `layout`, as Plotly has them.
    """

    title: str
    caption: str
    figure: dict[str, Any]

    def div(self, name: str) -> str:
        """The element of the page, of this id, without plotly.js."""
        from plotly.io import to_html

        # Plotly.js has a button, there by default, that sends the chart to its maker's server.
        config = {"displaylogo": False, "showSendToCloud": False, "plotlyServerURL": "", "responsive": True}
        made: str = to_html(self.figure, config, include_plotlyjs=False, full_html=False, validate=False, div_id=name)
        return made


def history(evidence: Evidence) -> Interactive | None:
    """Values by trial."""
    if not evidence.measured or evidence.several:
        return None
    scale = evidence.scale(pruned=True)
    measured = sorted(evidence.measured, key=lambda trial: trial.number)
    numbers = [trial.number for trial in measured]
    values = [trial.values[0] for trial in measured]
    best = (np.minimum if evidence.objective.minimized else np.maximum).accumulate(values)
    data = [_points(scale, measured, numbers, values, "complete")]
    data[0]["marker"]["color"] = BLUE
    if evidence.given_up:
        trials, last = (list(side) for side in zip(*evidence.given_up, strict=True))
        data.append(_points(scale, trials, [trial.number for trial in trials], last, "pruned"))
    ends = [0, evidence.trials[-1].number]
    data.append(_line([*numbers, ends[1]], [*best.tolist(), float(best[-1])], "best so far", BLACK, "solid", "hv"))
    others = [each for each in evidence.beside if each.values[0] is not None]
    for each, series, dash in zip(others, SERIES[1:], DASHES[1:], strict=False):
        data.append(_line(ends, [each.values[0]] * 2, html.escape(each.name), series.color, dash, "linear"))
    layout = _layout(430) | {"xaxis": _across("trial (number)"), "yaxis": _upwards(scale)}
    caption = "Point at a trial to see its parameters; drag to look closer, double-click to go back."
    return Interactive("Values by trial", caption, {"data": data, "layout": layout})


def slices(evidence: Evidence) -> Interactive | None:
    """Every trial along the parameter that is chosen in a menu."""
    if not evidence.measured or not evidence.ordered:
        return None
    scale = evidence.scale(pruned=True)
    lost = list(evidence.given_up)
    choices = []
    for axis in evidence.ordered:
        inside = having(evidence.measured, axis)
        pruned = [(trial, value) for trial, value in lost if axis.key in trial.params]
        shown = (
            (inside, [trial.values[0] for trial in inside]),
            ([trial for trial, _ in pruned], [value for _, value in pruned]),
        )
        traces = [
            _points(scale, trials, [axis.at(trial.params[axis.key]) for trial in trials], values, state)
            for (trials, values), state in zip(shown, ("complete", "pruned"), strict=True)
        ]
        choices.append((axis, traces))
    first, data = choices[0]
    buttons = [
        {
            "label": html.escape(axis.name),
            "method": "update",
            "args": [
                {key: [trace[key] for trace in traces] for key in ("x", "y", "text")}
                | {"marker.color": [trace["marker"]["color"] for trace in traces]},
                {"xaxis": _parameter(axis)},
            ],
        }
        for axis, traces in choices
    ]
    menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.17, "yanchor": "top", "bgcolor": "white"}
    layout = _layout(430) | {"xaxis": _parameter(first), "yaxis": _upwards(scale), "updatemenus": [menu]}
    caption = "Choose a parameter in the menu. The colour is the number of the trial, later ones lighter."
    return Interactive("Every trial along one parameter", caption, {"data": data, "layout": layout})


def parallel(evidence: Evidence) -> Interactive | None:
    """Parallel coordinates."""
    if not evidence.measured or not evidence.ordered:
        return None
    trials = evidence.measured
    dimensions = [_dimension(axis, trials) for axis in evidence.ordered]
    for objective in evidence.objectives:
        scale = evidence.scale(objective.index)
        values = scale.straight(scale.clip(trial.values[objective.index] for trial in trials))
        low, high = (float(end) for end in scale.straight([scale.low, scale.high]))
        marks = np.linspace(low, high, 6)
        dimensions.append(
            {
                "label": html.escape(objective.name),
                "values": values.tolist(),
                "range": [low, high],
                "tickvals": marks.tolist(),
                "ticktext": [number(float(value), 3) for value in scale.bent(marks)],
            }
        )
    line = {
        "color": dimensions[-len(evidence.objectives)]["values"],
        "colorscale": "Cividis",
        "reversescale": not evidence.objective.minimized,
        "showscale": False,
    }
    data = [{"type": "parcoords", "dimensions": dimensions, "line": line, "labelangle": -12, "labelside": "top"}]
    layout = _layout(470) | {"margin": {"l": 70, "r": 70, "t": 90, "b": 30}}
    caption = (
        "Drag along an axis to keep the trials in that part of it, drag an axis' name to move it, click an axis to let "
        "go. Dark lines are better. Logarithmic parameters are in log scale."
    )
    return Interactive("All parameters at once", caption, {"data": data, "layout": layout})


def _dimension(axis: Axis, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    def straight(at: Any) -> Any:
        return np.log10(at) if axis.log else np.asarray(at, float)

    marks, words = ruler.ticks(axis)
    places = [float(place) for place in straight(marks)]
    low, high = (0.0, len(axis.choices) - 1.0) if axis.choices is not None else straight([axis.low, axis.high])
    absent = float(low - 0.15 * max(high - low, 1e-9))
    values = [float(straight(axis.at(t.params[axis.key]))) if axis.key in t.params else absent for t in trials]
    if absent in values:
        places, words, low = [absent, *places], ["absent", *words], absent
    label = html.escape(axis.name) + (" (log)" if axis.log else "")
    ticks = {"tickvals": places, "ticktext": [html.escape(word) for word in words]}
    return {"label": label, "values": values, "range": [float(low), float(high)], **ticks}


def _points(scale: Scale, trials: Sequence[FrozenTrial], x: list[Any], y: list[float], state: str) -> dict[str, Any]:
    complete = state == "complete"
    marker: dict[str, Any] = {"size": 8, "symbol": "circle" if complete else "x-thin-open", "color": RED}
    if complete:
        marker |= {
            "color": [trial.number for trial in trials],
            "colorscale": "Cividis",
            "line": {"color": "white", "width": 0.5},
        }
    return {
        "type": "scattergl" if len(x) > MANY else "scatter",
        "mode": "markers",
        "name": state if complete else "pruned, at its last report",
        "x": x,
        "y": scale.clip(y).tolist(),
        "text": [_hover(trial, value) for trial, value in zip(trials, y, strict=True)],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
        "cliponaxis": False,
    }


def _line(x: list[Any], y: list[Any], name: str, color: str, dash: str, shape: str) -> dict[str, Any]:
    line = {"color": color, "dash": dash, "width": 2, "shape": shape}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": line, "hoverinfo": "name+y"}


def _hover(trial: FrozenTrial, value: float) -> str:
    names = short_names(trial.params)
    lines = [f"trial {trial.number}, {trial.state.name.lower()}: {number(value)}"]
    lines += [f"{names[key]} = {text(setting)}" for key, setting in trial.params.items()]
    return "<br>".join(map(html.escape, lines))


def _layout(height: int) -> dict[str, Any]:
    return {
        "height": height,
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#222222"},
        "margin": {"l": 95, "r": 20, "t": 60, "b": 60},
        "plot_bgcolor": "white",
        "paper_bgcolor": "white",
        "colorway": [BLUE],
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "x": 0, "y": -0.27, "yanchor": "top"},
    }


def _across(title: str) -> dict[str, Any]:
    return {"title": {"text": html.escape(title)}, "gridcolor": GRID, "zeroline": False}


def _parameter(axis: Axis) -> dict[str, Any]:
    # Every key is said each time: what one parameter has set, another would inherit.
    shown = _across(axis.label) | {"type": "log" if axis.log else "linear", "autorange": True, "tickmode": "auto"}
    if axis.choices is not None:
        marks, words = ruler.ticks(axis)
        ends = [-0.5, len(marks) - 0.5]
        shown |= {"autorange": False, "range": ends, "tickmode": "array", "tickvals": marks}
        shown |= {"ticktext": [html.escape(word) for word in words]}
    return shown


def _upwards(scale: Scale) -> dict[str, Any]:
    ends = scale.straight([scale.low, scale.high]).tolist()
    words = "<br>".join(html.escape(line) for line in textwrap.wrap(scale.label, LINE, break_long_words=False))
    return _across("") | {"title": {"text": words}, "range": ends, "type": "log" if scale.log else "linear"}
