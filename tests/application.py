"""A small Hydra application with the sweeper, for tests that run studies for real."""

import collections
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import optuna
import psutil
import pytest

from sweep.engine.storage import open_storage

PROGRAM = """
import os, signal, time
from dataclasses import dataclass
import hydra
from hydra.core.config_store import ConfigStore
from sweep import current_trial

@dataclass
class Config:
    x: float = 0.0
    n: int = 1
    seconds: float = 0.0
    fault: str = "none"

ConfigStore.instance().store(name="config", node=Config)

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg):
    for step in range(4):
        time.sleep(cfg.seconds / 4)
        current_trial().report(cfg.x**2 + cfg.n + 4 - step, step=step)
    once = os.path.join(os.getcwd(), "was_here")
    if cfg.fault == "die" or (cfg.fault == "die once" and not os.path.exists(once)):
        open(once, "w").close()
        os.kill(os.getpid(), signal.SIGSEGV)
    if cfg.fault == "raise" and cfg.n == 2:
        raise ValueError("no such width")
    if cfg.fault == "diverge" and cfg.n == 2:
        return float("nan")
    print("printed by the task")
    return cfg.x**2 + cfg.n

if __name__ == "__main__":
    main()
"""


def require_submitit() -> None:
    """Skips a test that places agents with submitit, where that is not installed; in CI it has to be."""
    if importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        if "SWEEP_REQUIRE_SERVICES" in os.environ:
            pytest.fail("the extra slurm is not installed")
        pytest.skip("the extra slurm is not installed")


class Application:
    """The program, in a folder of its own."""

    def __init__(self, folder: Path, program: str = PROGRAM) -> None:
        self.folder = folder
        (folder / "application.py").write_text(program)

    def start(self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> "subprocess.Popen[str]":
        fixed = ["hydra/sweeper=optuna", "hydra.sweep.dir=out", "hydra.sweeper.study_name=s", "hydra.sweeper.seed=1"]
        return subprocess.Popen(
            [sys.executable, "application.py", "-m", *fixed, *arguments],
            cwd=self.folder,
            text=True,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "120"},
        )

    def run(self, *arguments: str, status: int = 0) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == status, output
        return output

    @property
    def study(self) -> optuna.Study:
        return optuna.load_study(study_name="s", storage=open_storage(None, self.folder / "out"))

    def states(self) -> dict[str, int]:
        return dict(collections.Counter(trial.state.name for trial in self.study.trials))

    def until(self, states: Callable[[dict[str, int]], bool]) -> None:
        """Waits for the study to get there."""
        deadline = time.monotonic() + 60
        while not ((self.folder / "out/study.journal").exists() and self._seen(states)):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _seen(self, states: Callable[[dict[str, int]], bool]) -> bool:
        try:
            return states(self.states())
        except KeyError:  # the study is just being made
            return False

    def processes(self) -> list[psutil.Process]:
        """Processes that run trials of this folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.folder):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def check_nothing_left(self) -> None:
        """Fails if a process of this program still runs a while after its end, and ends it."""
        deadline = time.monotonic() + 10
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        left = self.processes()
        for process in left:
            process.kill()
        assert left == [], "no process is left behind"
