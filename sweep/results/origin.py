"""Where an exported configuration came from, as the comments that its file begins with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from sweep.engine.made_with import MADE_WITH
from sweep.engine.parent import TRACKING_URI
from sweep.engine.study import NOT_COMPARABLE
from sweep.results.front import objective_names
from sweep.results.leaderboard import number

CONFIRMED = "confirmed"
"""Study attribute: what `sweep confirm` has found last: see `sweep.results.confirmed.Confirmed.plain`."""


def header(study: optuna.Study, trial: FrozenTrial, run_id: str | None, command: str) -> str:
    """The comments.

    Args:
        study: the study.
        trial: whose configuration follows.
        run_id: of its MLflow run, if that is known.
        command: what trains it again.
    """
    lines = ["@package _global_", *_lines(study, trial, run_id), f"Train it again: {command}"]
    return "".join(f"# {' '.join(line.splitlines()) if line[0] != ' ' else line}\n" for line in lines) + "\n"


def run_ids(study: optuna.Study, trials: Sequence[int]) -> Mapping[int, str]:
    """The ids of the MLflow runs of trials, by number, as far as the study is tracked and MLflow answers."""
    uri = study.user_attrs.get(TRACKING_URI)
    if uri is None:
        return {}
    from sweep.tracking.find import trial_runs

    return trial_runs(uri, study.user_attrs["id"], trials)


def _lines(study: optuna.Study, trial: FrozenTrial, run_id: str | None) -> Iterator[str]:
    attributes, facts = trial.user_attrs, trial.user_attrs.get("facts", {})
    yield f"Study: {study.study_name}"
    reason = f" ({attributes['reason']})" if attributes.get("reason") else ""
    yield f"Trial: {trial.number}, {trial.state.name.lower()}{reason}"
    if run_id:
        yield f"MLflow run: {run_id}"
    if not_comparable := study.user_attrs.get(NOT_COMPARABLE):
        yield f"Not comparable: {not_comparable}"
    names = objective_names(study)
    for name, value in zip(names, trial.values or ["none"] * len(names), strict=True):
        yield f"Objective: {name} = {value!r}" if trial.values else f"Objective: {name} = {value}"
    yield from _confirmed(study, trial.number)
    for name, value in sorted(trial.constraints.items()):
        yield f"Constraint: {name} = {number(value, 6)}"
    for name, value in sorted(attributes.get("metrics", {}).items()):
        if math.isfinite(value):
            yield f"  {name} = {number(value, 6)}"
    if digest := facts.get("evaluation_digest"):
        yield f"Evaluation set: {digest}"
    yield f"Seed: {attributes.get('seed', 'not set')}; threads: {attributes.get('threads', 'not set')}"
    if made_with := attributes.get(MADE_WITH):
        yield f"Trained with: {', '.join(f'{name} {value}' for name, value in made_with.items())}"
    yield f"Exported: {date.today().isoformat()}"


def _confirmed(study: optuna.Study, trial: int) -> Iterator[str]:
    """What `sweep confirm` has found of a trial."""
    known: Mapping[str, Any] = study.user_attrs.get(CONFIRMED) or {}
    for one in known.get("candidates", []):
        if one.get("trial") != trial or one.get("mean") is None:
            continue
        low, high, share = one.get("low"), one.get("high"), known.get("confidence", 0.95)
        interval = "" if low is None or high is None else f", {share:.0%} interval {low:.6g} to {high:.6g}"
        champion = "; the champion" if known.get("champion") == one.get("name") else ""
        found = f"{known['objective']} = {one['mean']:.6g}{interval}"
        yield f"Confirmed: {found}, on the test set with {one['count']} new seeds{champion}"
