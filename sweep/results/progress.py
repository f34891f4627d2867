"""A study on a terminal: one live display while it runs, or a line for each trial that ends; tables for `status`."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, TextIO

import optuna
from optuna.trial import FrozenTrial
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweep.engine.names import short_names
from sweep.engine.study import is_feasible
from sweep.results.leaderboard import counts_line, number, point
from sweep.results.snapshot import Row, Snapshot, snapshot

log = logging.getLogger("sweep")


def render(seen: Snapshot) -> RenderableType:
    """A study as a table of its slots, with totals, best so far and time left beneath."""
    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(seen.n_trials, 1), completed=seen.done, width=24)
    head.add_row(Text(seen.name, style="bold"), bar, f"{seen.done}/{seen.n_trials}", _clock(seen))
    parts: list[RenderableType] = [head]
    if seen.rows:
        parts.append(_slots(seen))
    parts.append(Text(counts_line(seen.counts), style="dim"))
    if seen.baselines:
        ended, wanted = seen.baselines
        parts.append(Text(f"baselines: {ended} of {wanted}", style="dim"))
    if seen.best is not None:
        best = f"best {seen.objective} {number(seen.best.value)} by trial {seen.best.trial}: "
        parts.append(Text(best, style="bold").append(params_line(seen.best.params), style="not bold"))
    if seen.front:
        trials = ", ".join(str(point.trial) for point in seen.front)
        parts.append(Text(f"Pareto front of {len(seen.front)}: ", style="bold").append(trials, style="not bold"))
    if seen.not_comparable:
        parts.append(Text(f"Not comparable: {seen.not_comparable}", style="red"))
    return Group(*parts)


def overview(snapshots: Iterable[Snapshot]) -> Table:
    """One line for every study."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("study", overflow="fold")
    for heading in ("done", "running", "failed", "best", "trial"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("objective", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    for seen in snapshots:
        front = f"front of {len(seen.front)}" if seen.front else ""
        best = (number(seen.best.value), str(seen.best.trial)) if seen.best else (front, "")
        counts = (str(seen.counts.get(state, 0)) for state in ("RUNNING", "FAIL"))
        objective = f"{seen.objective}, not comparable" if seen.not_comparable else seen.objective
        table.add_row(seen.name, f"{seen.done}/{seen.n_trials}", *counts, *best, objective, duration(seen.elapsed))
    if not table.row_count:
        table.caption = "no studies yet: `sweep run -m study=quickstart` makes one"
    return table


def params_line(params: Mapping[str, Any]) -> str:
    """Params in a line, under short names."""
    names = short_names(params)
    return " ".join(f"{names[key]}={number(value)}" for key, value in params.items())


def duration(seconds: float) -> str:
    """A time as people say it: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Progress:
    """Shows how a study goes, for the length of a `with` block: live on a terminal, else a log line for each trial.

    Args:
        study: the study; an object that no other thread uses while `refresh` runs.
        console: where to show it; standard output unless given.
    """

    def __init__(self, study: optuna.Study, console: Console | None = None) -> None:
        self._study = study
        self._console = console or Console()
        self._live: Live | None = None
        self._undo = ExitStack()
        self._ended: set[int] = set()
        self._steps: dict[int, tuple[int, float, float | None]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Progress:
        self._ended = {trial.number for trial in self._finished()}
        if self._console.is_terminal:
            streams = sys.stdout, sys.stderr
            self._live = Live(console=self._console, auto_refresh=False)
            self._undo.enter_context(self._live)
            self._redirect_logs({streams[0]: sys.stdout, streams[1]: sys.stderr})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.refresh()  # the last picture is the one that stays
        finally:
            with self._lock:
                self._undo.close()
                self._live = None

    def refresh(self, seen: Snapshot | None = None) -> None:
        """Shows a snapshot; takes one if it gets none. May be called from any thread, also after the block."""
        with self._lock:
            seen = seen or snapshot(self._study)
            seen = replace(seen, rows=tuple(map(self._with_speed, seen.rows)))
            if self._live is not None:
                self._live.update(render(seen), refresh=True)
            for trial in self._finished():
                if trial.number not in self._ended:
                    self._ended.add(trial.number)
                    if not self._console.is_terminal:
                        log.info("%s", _line(trial, seen))

    def _finished(self) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.is_finished()]

    def _with_speed(self, row: Row) -> Row:
        """The row with the speed between the last two reports that were seen, if there were two."""
        if row.step is None:
            return row
        now = time.monotonic()
        step, since, speed = self._steps.get(row.trial, (row.step, now, None))
        if row.step > step and now > since:
            speed = (row.step - step) / (now - since)
        if row.step != step or row.trial not in self._steps:
            self._steps[row.trial] = (row.step, now, speed)
        return row if speed is None else replace(row, speed=speed)

    def _redirect_logs(self, replaced: Mapping[TextIO, TextIO]) -> None:
        """Lets log lines go above the display instead of through it, by the streams that rich put in."""
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in replaced:
                before = handler.setStream(replaced[handler.stream])
                if before is not None:
                    self._undo.callback(handler.setStream, before)


def _slots(seen: Snapshot) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    agents = list(dict.fromkeys(row.agent for row in seen.rows))
    for heading in ("slot", "trial", "step", "reported", "steps/s", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    taken = {(row.agent, row.slot): row for row in seen.rows}
    for index, agent in enumerate(agents):
        for slot in sorted({*range(seen.slots), *(s for a, s in taken if a == agent)}):
            row = taken.get((agent, slot))
            place = f"{index}.{slot}" if len(agents) > 1 else str(slot)
            table.add_row(place, *(_cells(row) if row else ["-"]))
    return table


def _cells(row: Row) -> list[str]:
    step = "" if row.step is None else f"{row.step:,}"
    value = "" if row.value is None else number(row.value)
    speed = "" if row.speed is None else number(row.speed, 3)
    return [str(row.trial), step, value, speed, duration(row.seconds)]


def _clock(seen: Snapshot) -> str:
    left = "" if seen.left is None or seen.done >= seen.n_trials else f", about {duration(seen.left)} left"
    return duration(seen.elapsed) + left


def _line(trial: FrozenTrial, seen: Snapshot) -> str:
    value = f" {', '.join(map(number, trial.values))}" if trial.values else ""
    value += "" if is_feasible(trial) else ", infeasible"
    why = trial.user_attrs.get("reason", "").split("\n")[0]
    took = f" in {duration(trial.duration.total_seconds())}" if trial.duration else ""
    best = f"; best {number(seen.best.value)} by trial {seen.best.trial}" if seen.best else ""
    state = f"trial {trial.number} {trial.state.name.lower()}{value}{took}{f' ({why})' if why else ''}"
    return f"{seen.done}/{seen.n_trials}: {state}: {params_line(point(trial))}{best}"
