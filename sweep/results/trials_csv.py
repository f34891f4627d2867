"""All trials of a study as a table for programs: leaderboard.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from sweep.engine.study import NOT_COMPARABLE, RETRY_OF, is_feasible
from sweep.results.front import front, objective_names
from sweep.results.leaderboard import point, ranked


def trials_csv(study: optuna.Study, runs: Mapping[int, str] | None = None) -> str:
    """Every trial in a row: those that are ranked first, best first, then the others by number.

    Columns: rank, number, state, `values.NAME` of each objective, feasible, reason, seconds, seed, threads,
    retry_of, run_id, output_dir; not_comparable with the reason, if the trials cannot be compared; then `params.KEY`
    and `metrics.NAME`, as MLflow's own tables of runs have them. What a trial has not got is empty. With several
    objectives only the Pareto front has ranks.

    Args:
        study: the study.
        runs: the ids of the trials' MLflow runs, by trial number, as far as they are known.
    """
    trials = study.get_trials(deepcopy=False)
    best = front(study) if len(study.directions) > 1 else ranked(study)
    ranks = {trial.number: rank for rank, trial in enumerate(best, 1)}
    ordered = [*best, *(trial for trial in trials if trial.number not in ranks)]
    mark = {NOT_COMPARABLE: reason} if (reason := study.user_attrs.get(NOT_COMPARABLE)) else {}
    rows = [{**_row(trial, ranks, objective_names(study), runs or {}), **mark} for trial in ordered]
    columns = dict.fromkeys(column for row in rows for column in row)
    first = [column for column in columns if not column.startswith(("params.", "metrics."))]
    params = sorted(column for column in columns if column.startswith("params."))
    metrics = sorted(column for column in columns if column.startswith("metrics."))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*first, *params, *metrics], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(trial: FrozenTrial, ranks: Mapping[int, int], names: list[str], runs: Mapping[int, str]) -> dict[str, Any]:
    known, values = trial.user_attrs, trial.values or [None] * len(names)
    return {
        "rank": ranks.get(trial.number),
        "number": trial.number,
        "state": trial.state.name,
        **{f"values.{name}": value for name, value in zip(names, values, strict=True)},
        "feasible": is_feasible(trial),
        "reason": known.get("reason"),
        "seconds": round(trial.duration.total_seconds(), 3) if trial.duration is not None else None,
        "seed": known.get("seed"),
        "threads": known.get("threads"),
        "retry_of": known.get(RETRY_OF),
        "run_id": runs.get(trial.number),
        "output_dir": known.get("output_dir"),
        **{f"params.{key}": value for key, value in point(trial).items()},
        **{f"metrics.{name}": value for name, value in known.get("metrics", {}).items()},
    }
