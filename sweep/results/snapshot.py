"""How a study goes, in one look."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.budget import running_time
from sweep.engine.study import NOT_COMPARABLE, beside, ended_of_wanted, first_attempt
from sweep.results.front import front
from sweep.results.leaderboard import objective_name, point, ranked, states

OPEN = (TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True)
class Row:
    """A running trial.

    Attributes:
        agent: token of its agent.
        slot: the agent's slot that it runs in.
        trial: its number.
        step: of its last report, or None before that.
        value: of its last report, if that was finite.
        seconds: since it began.
        speed: steps per second: step over seconds, until a display has seen two reports.
    """

    agent: str
    slot: int
    trial: int
    step: int | None
    value: float | None
    seconds: float
    speed: float | None


@dataclass(frozen=True)
class Best:
    """The best complete trial so far."""

    trial: int
    value: float
    params: Mapping[str, Any]


@dataclass(frozen=True)
class OnFront:
    """A trial of the Pareto front so far."""

    trial: int
    values: tuple[float, ...]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment.

    Attributes:
        name: of the study.
        objective: what its value is called.
        counts: trials by state (COMPLETE, PRUNED, FAIL, RUNNING, WAITING); one that was run again counts once.
        n_trials: how many there will be.
        slots: how many run at once, on each agent.
        rows: the running ones, by agent and slot.
        best: the best feasible trial so far, or None; always None with several objectives.
        front: the Pareto front so far, if there are several objectives.
        elapsed: seconds during which at least one trial ran.
        left: estimated seconds until the end; None before the first trial has ended.
        baselines: how many of its baselines have ended and how many it has; None if it has none.
        not_comparable: why its trials cannot be compared, or None if they can.
    """

    name: str
    objective: str
    counts: Mapping[str, int]
    n_trials: int
    slots: int
    rows: tuple[Row, ...]
    best: Best | None
    front: tuple[OnFront, ...]
    elapsed: float
    left: float | None
    baselines: tuple[int, int] | None = None
    not_comparable: str | None = None

    @property
    def done(self) -> int:
        """How many trials have ended."""
        return sum(self.counts.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values that JSON has."""
        plain: dict[str, Any] = json.loads(json.dumps({**asdict(self), "done": self.done}, default=str))
        return plain


def snapshot(study: optuna.Study) -> Snapshot:
    """Looks at a study."""
    trials = study.get_trials(deepcopy=False)
    now = datetime.now()
    counts = dict(states(study))
    n_trials = max(int(study.user_attrs.get("n_trials", 0)), sum(counts.values()))
    running = sorted((_row(trial, now) for trial in trials if trial.state == TrialState.RUNNING), key=_place)
    slots = int(study.user_attrs.get("slots", 1))
    return Snapshot(
        name=study.study_name,
        objective=objective_name(study),
        counts=counts,
        n_trials=n_trials,
        slots=slots,
        rows=tuple(running),
        best=_best(study),
        front=_front(study),
        elapsed=running_time(trials),
        left=_left(trials, running, n_trials, slots),
        baselines=baselines(study),
        not_comparable=study.user_attrs.get(NOT_COMPARABLE),
    )


def baselines(study: optuna.Study) -> tuple[int, int] | None:
    """How many of a study's baselines, which come before its trials, have ended, and how many it has, if it has any."""
    theirs = beside(study, "baselines")
    ended, wanted = ended_of_wanted(theirs) if theirs is not None else (0, 0)
    return (ended, wanted) if wanted else None


def _place(row: Row) -> tuple[str, int, int]:
    return row.agent, row.slot, row.trial


def _row(trial: FrozenTrial, now: datetime) -> Row:
    seconds = max((now - trial.datetime_start).total_seconds(), 0.0) if trial.datetime_start else 0.0
    step = max(trial.intermediate_values, default=None)
    value = trial.intermediate_values[step] if step is not None else None
    return Row(
        agent=str(trial.user_attrs.get("agent", "")),
        slot=int(trial.user_attrs.get("slot", 0)),
        trial=trial.number,
        step=step,
        value=value if value is not None and math.isfinite(value) else None,
        seconds=seconds,
        speed=step / seconds if step and seconds else None,
    )


def _best(study: optuna.Study) -> Best | None:
    best = ranked(study)[:1] if len(study.directions) == 1 else []
    return Best(best[0].number, best[0].values[0], dict(point(best[0]))) if best else None


def _front(study: optuna.Study) -> tuple[OnFront, ...]:
    trials = front(study) if len(study.directions) > 1 else []
    return tuple(OnFront(trial.number, tuple(trial.values), dict(point(trial))) for trial in trials)


def _left(trials: list[FrozenTrial], running: list[Row], n_trials: int, slots: int) -> float | None:
    """The mean time of a trial, for what is left of every trial that has not ended, over the slots."""
    ended = [t.duration.total_seconds() for t in trials if t.state.is_finished() and t.datetime_start and t.duration]
    if not ended:
        return None
    mean = sum(ended) / len(ended)
    closed = len({first_attempt(t) for t in trials} - {first_attempt(t) for t in trials if t.state in OPEN})
    waiting = max(n_trials - closed - len(running), 0)
    return (waiting * mean + sum(max(mean - row.seconds, 0.0) for row in running)) / max(slots, len(running), 1)
