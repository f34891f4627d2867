"""A study in Markdown: what MLflow shows at the top of its page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from sweep.engine.identity import IDENTITY
from sweep.engine.names import short_names
from sweep.engine.study import N_TRIALS
from sweep.results.front import front, objective_names
from sweep.results.leaderboard import (
    BESIDE,
    counts_line,
    incomparable_note,
    infeasible_note,
    metric_cell,
    metrics_of,
    number,
    point,
    ranked,
    states,
)
from sweep.results.snapshot import baselines
from sweep.tracking.note import FIXED, fenced, plain, table

NOTES = "notes"
"""Study attribute: by their headings, sections in Markdown of what was found out after its end."""

TOP = 10
"""How many trials the leaderboard has."""

LONGEST = 7900
"""Characters: MLflow takes 8,000."""


@dataclass(frozen=True)
class About:
    """What a study's page says that the study does not know.

    Attributes:
        purpose: what the study is for, in its author's words, which may be Markdown.
        command: what resumes it.
        folder: the directory in which that was typed.
    """

    purpose: str
    command: str
    folder: str


def describe(study: optuna.Study, about: About) -> str:
    """The description: purpose, how it stands, the best trials, what varies, what resumes it, what is fixed.

    It is as long as MLflow takes: what is fixed is cut first, then the leaderboard gets shorter.
    """
    identity: Mapping[str, Any] = study.user_attrs.get(IDENTITY, {})
    for top in range(TOP, -1, -1):
        parts = [
            about.purpose.strip(),
            plain(incomparable_note(study).strip()),
            _standing(study),
            _leaderboard(study, top),
            _heading("What varies", table(["key", "search space"], identity.get("space", {}).items())),
            _heading("To go on", _to_go_on(about)),
            *(f"## {heading}\n\n{text.strip()}" for heading, text in study.user_attrs.get(NOTES, {}).items()),
        ]
        text = "\n\n".join(part for part in parts if part)
        if len(text) <= LONGEST:
            break
    return (text + _fixed(identity.get("fixed", {}), LONGEST - len(text)))[:LONGEST]


def _standing(study: optuna.Study) -> str:
    counts = states(study)
    done = sum(counts.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))
    total = max(int(study.user_attrs.get(N_TRIALS, 0)), sum(counts.values()))
    aims = [
        f"{direction.name.lower()}s {plain(name)}"
        for name, direction in zip(objective_names(study), study.directions, strict=True)
    ]
    line = (
        f"**{done} of {total} trials are done** ({counts_line(counts)}{infeasible_note(study)}). It {', '.join(aims)}."
    )
    best = ranked(study)[:1] if len(study.directions) == 1 else []
    line += f" Best: **{best[0].values[0]:.6g}**, trial {best[0].number}." if best else ""
    if counted := baselines(study):
        ended, wanted = counted
        line += f"\n\nBaselines: {ended} of {wanted} are done."
    return line


def _leaderboard(study: optuna.Study, top: int) -> str:
    """The best trials, or those of the front."""
    several = len(study.directions) > 1
    best = (front(study) if several else ranked(study))[:top]
    if not best:
        return ""
    params = short_names(dict.fromkeys(key for trial in best for key in point(trial)))
    beside = {} if several else {key: name for key, name in BESIDE.items() if any(key in metrics_of(t) for t in best)}
    names = [name.replace("_", " ") for name in params.values()]
    headings = ["rank", "trial", *objective_names(study), *names, *beside.values(), "s"]
    rows = []
    for rank, trial in enumerate(best, 1):
        cells = [
            rank,
            trial.number,
            *map(number, trial.values),
            *(number(point(trial).get(key, ""), 3) for key in params),
        ]
        cells += [metric_cell(key, metrics_of(trial).get(key)) for key in beside]
        rows.append([*cells, number(trial.duration.total_seconds(), 3) if trial.duration is not None else ""])
    return _heading("Pareto front" if several else "Leaderboard", table(headings, rows))


def _to_go_on(about: About) -> str:
    return f"In {plain(about.folder)}:\n\n{fenced(about.command)}"


def _fixed(fixed: Mapping[str, Any], room: int) -> str:
    """What is fixed, as far as there is room for it."""
    written = {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in fixed.items()}
    lines = [f"{key}: {text}" for key, text in sorted(written.items())]
    whole = len(lines)
    while lines:
        left = whole - len(lines)
        note = f"\n\nand {left} more in config/config.yaml" if left else ""
        text = f"\n\n{FIXED}\n\n" + fenced("\n".join(lines)) + note
        if len(text) <= room:
            return text
        lines.pop()
    return ""


def _heading(name: str, text: str) -> str:
    return f"### {name}\n\n{text}"
