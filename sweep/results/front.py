"""The trials of a study with several objectives of which none is better than another in everything."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial
from rich.markup import escape
from rich.table import Table

from sweep.engine.names import short_names
from sweep.results.leaderboard import add_columns, empty_board, number, objective_name, ranked


def front(study: optuna.Study) -> list[FrozenTrial]:
    """The Pareto front of a study's feasible complete trials, those with the best first objective first.

    Trials that were told the values of another trial with the same params are left out. With one objective the front is
    the best trial, and its equals.
    """
    best = {trial.number for trial in study.best_trials}
    return [trial for trial in ranked(study) if trial.number in best]


def objective_names(study: optuna.Study) -> list[str]:
    """What each of the study's objectives is called: several are counted, unless Optuna knows names for them."""
    if len(study.directions) == 1:
        return [objective_name(study)]
    return study.metric_names or [f"value {index}" for index, _ in enumerate(study.directions, 1)]


def front_table(study: optuna.Study) -> Table:
    """The Pareto front as a table, with the counts of all trials beneath."""
    best = front(study)
    params = short_names(dict.fromkeys(key for trial in best for key in trial.params))
    board = empty_board(study, "Pareto front")
    for name, direction in zip(objective_names(study), study.directions, strict=True):
        board.add_column(escape(f"{name} ({direction.name.lower()[:3]})"), justify="right", style="bold")
    add_columns(board, params.values())
    for rank, trial in enumerate(best, 1):
        values = [number(value) for value in trial.values]
        cells = [escape(number(trial.params.get(key, ""), 3)) for key in params]
        board.add_row(str(rank), str(trial.number), *values, *cells)
    return board
