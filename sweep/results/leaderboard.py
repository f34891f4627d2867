"""The trials of a study, best first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from sweep.engine.errors import UserError
from sweep.engine.names import short_names
from sweep.engine.study import CONFIGURATION, NOT_COMPARABLE, REPEAT_OF, first_attempt, is_feasible
from sweep.metrics import better

BESIDE = {"val/rmse": "rmse", "val/rel_error_median": "median error", "val/within_5pct": "≤ 5%"}
"""Metrics that the table shows beside the objective, with their headings."""

ORDER = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")
"""The states in the order in which counts are shown."""


def ranked(study: optuna.Study, metric: str | None = None) -> list[FrozenTrial]:
    """The complete trials of a study, best first; equals in the order in which they began.

    Left out are infeasible trials, those that were told the value of another trial with the same params, and those
    whose value is missing or not finite.

    Args:
        study: the study.
        metric: what to rank by: a metric that trials have, or None for the objective, of several the first.

    Raises:
        UserError: if no trial has this metric, or nothing says which way it is better.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    trials = [trial for trial in complete if is_feasible(trial) and REPEAT_OF not in trial.user_attrs]
    values = {trial.number: _value(trial, study, metric) for trial in trials}
    finite = [trial for trial in trials if math.isfinite(values[trial.number])]
    if metric is not None and trials and not finite:
        known = sorted({name for trial in trials for name in metrics_of(trial)})
        raise UserError("--metric", metric, f"one of {', '.join([objective_name(study), *known])}")
    down = _minimized(study, metric)
    return sorted(finite, key=lambda trial: values[trial.number] if down else -values[trial.number])


def objective_name(study: optuna.Study) -> str:
    """What the study's objective is called."""
    return str(study.user_attrs.get("objective", "objective"))


def table(study: optuna.Study, top: int = 10, metric: str | None = None) -> Table:
    """The best trials as a table, with the counts of all trials beneath.

    Args:
        study: the study.
        top: how many trials to show.
        metric: what to rank by; see `ranked`.

    Raises:
        UserError: as `ranked` does.
    """
    best = ranked(study, metric)[:top]
    name = objective_name(study)
    by = metric if metric not in (None, name) else None
    beside = {key: label for key, label in BESIDE.items() if any(key in metrics_of(trial) for trial in best)}
    if by:
        beside = {by: by.removeprefix("val/").replace("_", " "), **{k: v for k, v in beside.items() if k != by}}
    params = short_names(dict.fromkeys(key for trial in best for key in trial.params))
    board = empty_board(study, f"best by {by or name}")
    board.add_column("value", justify="right", style="bold")
    named = any(configuration(trial) for trial in best)
    if named:
        board.add_column(CONFIGURATION, overflow="fold")
    add_columns(board, [*params.values(), *beside.values()])
    board.add_column("s", justify="right", style="dim")
    for rank, trial in enumerate(best, 1):
        value = trial.values[0] if trial.values else math.nan
        cells = [str(rank), str(trial.number), number(value), *([configuration(trial)] if named else [])]
        cells += [escape(number(trial.params.get(key, ""), 3)) for key in params]
        cells += [metric_cell(key, metrics_of(trial).get(key)) for key in beside]
        board.add_row(*cells, number(trial.duration.total_seconds(), 3) if trial.duration else "")
    return board


def empty_board(study: optuna.Study, what: str) -> Table:
    """A table of trials without any: rank and number come first, the counts of all trials are beneath."""
    board = Table(
        title=f"{study.study_name}: {what}",
        caption=counts_line(states(study)) + infeasible_note(study) + incomparable_note(study),
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    board.add_column("#", justify="right", style="dim")
    board.add_column("trial", justify="right")
    return board


def add_columns(board: Table, headings: Iterable[str]) -> None:
    """Adds columns of numbers, whose headings are folded between words only."""
    for heading in headings:
        words = heading.replace("_", " ")
        board.add_column(words, justify="right", overflow="fold", min_width=max(map(len, words.split())))


def states(study: optuna.Study) -> Mapping[str, int]:
    """How many trials are in which state; a trial that was run again is in the state of its last attempt."""
    last = {first_attempt(trial): trial.state.name for trial in study.get_trials(deepcopy=False)}
    return Counter(last.values())


def counts_line(counts: Mapping[str, int]) -> str:
    """Counts of states in a line, without those that are zero."""
    return ", ".join(f"{counts[state]} {state.lower()}" for state in ORDER if counts.get(state)) or "no trials"


def infeasible_note(study: optuna.Study) -> str:
    """How many of the complete trials are infeasible, to be put behind the counts; nothing if none is."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    infeasible = sum(not is_feasible(trial) for trial in complete)
    return f"; {infeasible} infeasible" if infeasible else ""


def incomparable_note(study: optuna.Study) -> str:
    """Why the trials cannot be compared, as a line to be put beneath the counts; nothing if they can."""
    reason = study.user_attrs.get(NOT_COMPARABLE)
    return f"\nNot comparable: {reason}" if reason else ""


def number(value: Any, digits: int = 4) -> str:
    """A number as tables show it: few digits, no needless ones. Anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if value and not 1e-2 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    return f"{value:.{digits}g}"


def point(trial: FrozenTrial) -> Mapping[str, Any]:
    """What tells a trial from the others of its study: its params, or the configuration that it is, and its seed."""
    asked = trial.user_attrs.get(CONFIGURATION)
    if asked is None:
        return trial.params
    return {CONFIGURATION: asked["name"], **({"seed": asked["seed"]} if "seed" in asked else {})}


def metrics_of(trial: FrozenTrial) -> Mapping[str, float]:
    """The last values of a trial's metrics, as far as they were finite, by name."""
    found: Mapping[str, float] = trial.user_attrs.get("metrics", {})
    return found


def configuration(trial: FrozenTrial) -> str:
    """The name of the configuration that a trial is, if it is one that has a name."""
    return str(trial.user_attrs.get(CONFIGURATION, {}).get("name", ""))


def _value(trial: FrozenTrial, study: optuna.Study, metric: str | None) -> float:
    if metric in (None, objective_name(study)):
        values: Sequence[float] = trial.values or ()
        return values[0] if values else math.nan
    return float(metrics_of(trial).get(str(metric), math.nan))


def _minimized(study: optuna.Study, metric: str | None) -> bool:
    if metric in (None, objective_name(study)):
        return study.directions[0] == StudyDirection.MINIMIZE
    if str(metric).endswith("loss"):
        return True
    try:
        return better(str(metric)) == "minimize"
    except ValueError as error:
        raise UserError("--metric", metric, "a metric that is known to be better small or large") from error


def metric_cell(metric: str, value: float | None) -> str:
    """A metric as tables show it: a share in percent, anything else as a number; nothing if there is none."""
    if value is None:
        return ""
    return f"{value:.1%}" if metric.endswith("pct") else number(value, 3)
