"""A study whose processes are killed at random, again and again, ends as if nothing had happened."""

import collections
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from application import Application, require_submitit

from sweep.engine.study import RETRY_OF, first_attempt

PROGRAM = """
import time
from dataclasses import dataclass
import hydra
from hydra.core.config_store import ConfigStore
from sweep import current_trial

@dataclass
class Config:
    x: float = 0.0
    seconds: float = 0.4

ConfigStore.instance().store(name="config", node=Config)

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg):
    for step in range(4):
        time.sleep(cfg.seconds / 4)
        current_trial().report(cfg.x**2 + 4 - step, step=step)
    return cfg.x**2

if __name__ == "__main__":
    main()
"""

N_TRIALS = 200
SECONDS_BETWEEN_KILLS = (1.0, 8.0)

LAUNCHERS = {
    "basic": ("hydra.sweeper.n_jobs=2",),
    "submitit_local": (
        "hydra/launcher=submitit_local",
        "hydra.sweeper.n_agents=2",
        "hydra.sweeper.n_jobs=1",
        "hydra.launcher.submitit_folder=submitted",
    ),
}


class Sweep:
    """A study that is started again whenever its sweeper has died.

    Attributes:
        killed: how many processes of each kind were killed.
        complete: the values of all trials that were ever seen complete, by number.
        starts: how often the command was started.
        given_up: how often it ended by itself before the study had.
    """

    def __init__(self, program: Application, launcher: str, seed: int) -> None:
        self._program, self._random = program, random.Random(seed)
        self._command = (
            "x=interval(-2,2)",
            "seconds=interval(0.1,0.8)",
            f"hydra.sweeper.n_trials={N_TRIALS}",
            "hydra.sweeper.max_retries=100",
            "hydra.sweeper.max_failure_rate=1",
            "hydra.sweeper.pruner.n_warmup_steps=2",
            "hydra.sweeper.tracking.uri=sqlite:///mlflow.db",
            *LAUNCHERS[launcher],
        )
        self.killed: collections.Counter[str] = collections.Counter()
        self.complete: dict[int, float] = {}
        self.starts = 0
        self.given_up = 0

    def run(self, seconds: float) -> None:
        """Kills at random until the study has ended, or for so many seconds; then lets it end."""
        began = time.monotonic()
        while True:
            self.starts += 1
            with open(self._program.folder / f"output_{self.starts}.txt", "w") as output:  # noqa: PTH123
                process = self._program.start(*self._command, stdout=output)
            while process.poll() is None:
                try:
                    process.wait(self._random.uniform(*SECONDS_BETWEEN_KILLS))
                except subprocess.TimeoutExpired:
                    self._remember()
                    if time.monotonic() - began < seconds:
                        self._kill_one(process.pid)
            if process.returncode == 0:
                return
            if process.returncode != -signal.SIGKILL:  # its agents were killed before they had ended a trial
                self.given_up += 1
                assert "Traceback" not in self.said() or "submitit" in self.said(), self.said()
                assert self.given_up <= 5, self.said()

    def said(self) -> str:
        """What the last sweeper said."""
        return (self._program.folder / f"output_{self.starts}.txt").read_text()[-5000:]

    def _remember(self) -> None:
        if (self._program.folder / "out/study.journal").exists():
            try:
                trials = self._program.study.trials
            except KeyError:  # it is just being made
                return
            self.complete |= {trial.number: trial.value for trial in trials if trial.state.name == "COMPLETE"}

    def _kill_one(self, sweeper: int) -> None:
        kinds = collections.defaultdict(list)
        for process in self._program.processes():
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            kind = "trial" if "sweep.engine.process" in line else "sweeper" if process.pid == sweeper else "agent"
            kinds[kind].append(process)
        if not kinds:
            return
        kind = self._random.choice(sorted(kinds))
        try:
            self._random.choice(kinds[kind]).kill()
        except psutil.NoSuchProcess:
            return
        self.killed[kind] += 1


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Application]:
    made = Application(tmp_path, PROGRAM)
    yield made
    made.check_nothing_left()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_nothing_breaks_a_study(
    program: Application, launcher: str, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    if launcher == "submitit_local":
        require_submitit()
    sweep = Sweep(program, launcher, seed)
    began = time.monotonic()
    sweep.run(seconds=150)  # on a slow machine a sweeper would never live long enough to close its runs
    seconds = time.monotonic() - began
    program.check_nothing_left()

    trials = program.study.trials
    finished = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    folders = [trial.user_attrs["output_dir"] for trial in trials if "output_dir" in trial.user_attrs]
    failed = [trial for trial in trials if trial.state.name == "FAIL"]
    retries = [trial for trial in trials if RETRY_OF in trial.user_attrs]
    lost = {n: v for n, v in sweep.complete.items() if (trials[n].state.name, trials[n].value) != ("COMPLETE", v)}
    with capsys.disabled():
        causes = collections.Counter(trial.user_attrs["reason"].split(":")[0] for trial in failed)
        print(
            f"\n{launcher}, seed {seed}: {seconds:.0f} s, {sweep.starts} starts, {sweep.given_up} given up, "
            f"killed {dict(sweep.killed)}; "
            f"{len(finished)} finished, {len(failed)} failed {dict(causes)}, {len(retries)} retries, {len(lost)} lost"
        )
    assert sorted(first_attempt(trial) for trial in finished) == list(range(N_TRIALS))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert lost == {}
    assert len(retries) == len(failed), "every attempt that failed was run again, and nothing else was"
    assert {trial.user_attrs["retry"] for trial in failed} <= {"always", "bounded"}
    assert len(folders) == len(set(folders))
    check_mirror(program, {trial.number: trial.state.name for trial in trials})
    assert sum(sweep.killed.values()) >= N_TRIALS // 20


def check_mirror(program: Application, states: dict[int, str]) -> None:
    """MLflow has one run for every trial, and none that is running."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{program.folder}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'sweep'")
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED", "FAILED"}
    children = [int(run.data.tags["sweep.trial"]) for run in runs if run.data.tags["sweep.kind"] == "trial"]
    assert sorted(children) == sorted(states)
    assert len(runs) == len(states) + 1
