"""What tracking costs a study of real trainings.

`python -m benchmarks.tracking [OVERRIDE ...]`: `study=quickstart`, tracked as ever, with a clock around everything that
an agent does for MLflow, and around every moment in which a trial's process waits for its agent; over the time that
trials took. The bar is 2%.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from sweep import cli, preflight
from sweep.engine.storage import open_storage
from sweep.engine.study import load_study
from sweep.engine.trial import Send, current_trial, running
from sweep.tracking.tracker import Tracker
from sweep.tracking.writer import Writer

SPENT: Counter[str] = Counter()
"""Seconds by what they were spent on, in the process of the sweeper and its agent."""


def task(config: DictConfig) -> float:
    """The project's own task; says how long its process waited for the agent."""
    trial, waited = current_trial(), 0.0

    def send(kind: str, payload: dict[str, Any], send: Send = trial.send) -> bool:
        nonlocal waited
        began = time.perf_counter()
        try:
            return send(kind, payload)
        finally:
            waited += time.perf_counter() - began

    try:
        with running(dataclasses.replace(trial, send=send)):
            return cli.task(config)
    finally:
        trial.describe(waited=waited)


def timed(owner: type, name: str, what: str, clock: Callable[[], float]) -> None:
    """Puts a clock around a method."""
    method = getattr(owner, name)

    def around(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            return method(*args, **kwargs)
        finally:
            SPENT[what] += clock() - began

    setattr(owner, name, around)


def main() -> None:
    """Runs the study and prints the table."""
    for name in ("begin", "write", "end"):
        timed(Tracker, name, "the agent hands events over", time.perf_counter)
    timed(Writer, "write", "the tracker's thread calls MLflow", time.perf_counter)
    timed(Tracker, "_work", "the tracker's thread, processor time", time.thread_time)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SWEEP_ROOT"] = folder
        arguments = ["-m", "study=quickstart", "study.name=tracked", "hydra.sweeper.export=null", *sys.argv[1:]]
        sys.argv = ["sweep run", *arguments]
        preflight.check(arguments, task)
        application = hydra.main(
            version_base="1.3", config_path=preflight.CONFIG_PATH, config_name=preflight.CONFIG_NAME
        )
        application(task)()
        trials = load_study(open_storage(None, Path(folder, "mlruns/studies/tracked")), "tracked").trials
    total = sum(trial.duration.total_seconds() for trial in trials if trial.duration)
    SPENT["trials' processes wait for the agent"] = sum(t.user_attrs["facts"].get("waited", 0.0) for t in trials)
    print(f"{len(trials)} trials, {total:.0f} s of trials' time")
    for what, seconds in SPENT.items():
        print(f"{what:40} {seconds:8.2f} s  {seconds / total:7.2%}")


if __name__ == "__main__":
    main()
