"""The sweeper as any Hydra application gets it: a small program, run for real, killed for real."""

import collections
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import psutil
import pytest
from omegaconf import OmegaConf

from sweep.engine.agent import share_out
from sweep.engine.storage import open_storage
from sweep.engine.study import first_attempt

APPLICATION = """
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

SPACE = ("x=interval(-2,2)", "n=range(1,4)")
SIX = ("hydra.sweeper.n_trials=6", "hydra/sweeper/pruner=none", *SPACE)


class Application:
    """The program, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "application.py").write_text(APPLICATION)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        fixed = ["hydra/sweeper=optuna", "hydra.sweep.dir=out", "hydra.sweeper.study_name=s", "hydra.sweeper.seed=1"]
        return subprocess.Popen(
            [sys.executable, "application.py", "-m", *fixed, *arguments],
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "120"},
        )

    def run(self, *arguments: str, status: int = 0) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=120)
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


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    program = Application(tmp_path)
    yield program
    deadline = time.monotonic() + 10
    while program.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    left = program.processes()
    for process in left:
        process.kill()
    assert left == [], "no process is left behind"


def check_finished(application: Application, n_trials: int) -> None:
    """As many trials as asked for are complete, nothing runs, no folder was used twice, retries are the same trial."""
    trials = application.study.trials
    states = application.states()
    assert not {"RUNNING", "WAITING"} & set(states)
    ended_well = [first_attempt(trial) for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert sorted(ended_well) == list(range(n_trials))
    folders = [trial.user_attrs["output_dir"] for trial in trials if "output_dir" in trial.user_attrs]
    assert len(folders) == len(set(folders))
    for trial in trials:
        first = trials[first_attempt(trial)]
        if first.params and trial.params:  # an attempt that was killed at once has none
            assert trial.params == first.params
            assert trial.user_attrs.get("seed", first.user_attrs["seed"]) == first.user_attrs["seed"]


def test_a_study_gives_what_the_old_sweeper_gave_and_every_trial_is_a_hydra_job(application: Application) -> None:
    output = application.run(*SIX)
    check_finished(application, 6)
    results = OmegaConf.load(application.folder / "out/optimization_results.yaml")
    assert results.name == "optuna"
    assert results.best_value == pytest.approx(application.study.best_value)
    assert dict(results.best_params) == application.study.best_params
    for trial in application.study.trials:
        folder = application.folder / "out" / str(trial.number)
        overrides = OmegaConf.load(folder / ".hydra/overrides.yaml")
        assert list(overrides) == [f"x={trial.params['x']}", f"n={trial.params['n']}"]
        assert "printed by the task" in (folder / "console.log").read_text()
    assert "6/6" in output
    assert "printed by the task" not in output


def test_the_same_command_gives_the_same_trials(application: Application, tmp_path: Path) -> None:
    application.run(*SIX, "hydra.sweeper.n_jobs=1")
    again = Application(tmp_path / "again") if (tmp_path / "again").mkdir() is None else application
    again.run(*SIX, "hydra.sweeper.n_jobs=1")
    one, other = ([(t.params, t.value) for t in each.study.trials] for each in (application, again))
    assert one == other


def test_a_killed_sweep_is_finished_by_the_same_command(application: Application) -> None:
    command = (*SIX, "seconds=2", "hydra.sweeper.tracking.uri=sqlite:///mlflow.db")
    for done in (1, 3):
        process = application.start(*command)
        application.until(lambda states, done=done: states.get("COMPLETE", 0) >= done and "RUNNING" in states)  # type: ignore[misc]
        process.kill()
        process.communicate()
    lost = application.states().get("RUNNING", 0)
    output = application.run(*command)
    check_finished(application, 6)
    assert "left" not in output
    orphans = [t for t in application.study.trials if t.user_attrs.get("reason", "").startswith("orphan")]
    assert len(orphans) >= lost
    check_mirror(application)
    assert application.run(*command).count("/6: trial") == 0, "a finished study has nothing left to run"


def check_mirror(application: Application) -> None:
    """MLflow has a finished run for the study, and one for every trial, as the study has it."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{application.folder}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'sweep'")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.data.tags["sweep.kind"] == "study"]
    assert parent.info.status == "FINISHED"
    children = {int(run.data.tags["sweep.trial"]): run for run in runs if run.data.tags["sweep.kind"] == "trial"}
    trials = application.study.trials
    assert sorted(children) == [trial.number for trial in trials]
    assert len(runs) == len(trials) + 1
    for trial in trials:
        run = children[trial.number]
        assert run.info.status == ("FINISHED" if trial.state.name == "COMPLETE" else "KILLED")
        assert run.data.metrics.get("objective") == trial.value
        if trial.state.name == "COMPLETE":
            history = client.get_metric_history(run.info.run_id, "reported")
            assert {point.step: point.value for point in history} == trial.intermediate_values


def test_a_lower_budget_is_kept_on_resuming(application: Application) -> None:
    process = application.start(*SIX, "seconds=1")
    application.until(lambda states: states.get("RUNNING") == 2)
    process.kill()
    process.communicate()
    application.run(*SIX, "seconds=1", "hydra.sweeper.n_trials=3")
    assert application.states()["COMPLETE"] == 3


@pytest.mark.parametrize("event", ["report(1.0, step=-1)", "describe(size=[1])"])
def test_a_bad_event_fails_its_trial_and_not_the_study(application: Application, event: str) -> None:
    program = application.folder / "application.py"
    program.write_text(
        APPLICATION.replace('    print("printed', f'    cfg.n == 2 and current_trial().{event}\n    print("printed')
    )
    application.run(*SIX, "hydra/sweeper/sampler=random")
    failed = [trial for trial in application.study.trials if trial.state.name == "FAIL"]
    assert {trial.params["n"] for trial in failed} == {2}
    assert "RUNNING" not in application.states()


def test_two_sweepers_that_start_together_do_not_double_the_study(application: Application) -> None:
    both = [application.start(*SIX, "seconds=0.5") for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 1], [0, 0])  # the second may come after the first
    assert not any("Traceback" in output for output in outputs)
    check_finished(application, 6)
    assert len(application.study.trials) == 6


def test_more_trials_extend_a_study(application: Application) -> None:
    application.run(*SIX)
    application.run(*SIX, "hydra.sweeper.n_trials=8")
    check_finished(application, 8)


def test_another_configuration_under_the_same_name_is_refused_and_nothing_is_lost(application: Application) -> None:
    application.run(*SIX)
    journal = (application.folder / "out/study.journal").read_bytes()
    output = application.run(*SIX, "seconds=0.1", status=1)
    assert "seconds: 0.0 -> 0.1" in output
    assert "Traceback" not in output
    assert (application.folder / "out/study.journal").read_bytes() == journal


def test_a_second_sweeper_is_refused_while_the_first_goes_on(application: Application) -> None:
    first = application.start(*SIX, "seconds=1")
    application.until(lambda states: "RUNNING" in states)
    output = application.run(*SIX, "seconds=1", status=1)
    assert f"process {first.pid}" in output
    assert "Traceback" not in output
    first.communicate(timeout=60)
    assert first.returncode == 0
    check_finished(application, 6)


def test_bad_trials_do_not_improve_by_repetition(application: Application) -> None:
    output = application.run(*SIX, "fault=raise", "hydra/sweeper/sampler=random")
    failed = [trial for trial in application.study.trials if trial.state.name == "FAIL"]
    assert failed
    assert len(application.study.trials) == 6
    assert {trial.params["n"] for trial in failed} == {2}
    assert failed[0].user_attrs["reason"] == "exception: ValueError: no such width"
    assert 'raise ValueError("no such width")' in output


def test_a_diverged_trial_is_pruned(application: Application) -> None:
    application.run(*SIX, "fault=diverge", "hydra/sweeper/sampler=random")
    diverged = [trial for trial in application.study.trials if trial.user_attrs.get("reason") == "diverged"]
    assert diverged
    assert {(trial.state.name, trial.params["n"]) for trial in diverged} == {("PRUNED", 2)}


def test_a_trial_whose_process_dies_is_run_again(application: Application) -> None:
    application.run(*SIX, "fault='die once'")
    check_finished(application, 6)
    dead = [trial for trial in application.study.trials if trial.state.name == "FAIL"]
    assert 1 <= len(dead) <= 2
    assert dead[0].user_attrs["reason"] == "crash: SIGSEGV"


def test_a_study_in_which_nothing_completes_says_why(application: Application) -> None:
    output = application.run(*SPACE, "hydra.sweeper.n_trials=2", "fault=die", "hydra.sweeper.max_retries=1", status=1)
    assert application.states() == {"FAIL": 4}
    assert "no trial is complete" in output
    assert "crash: SIGSEGV" in output
    assert "Traceback" not in output


def test_the_pruner_stops_trials(application: Application) -> None:
    application.run(*SPACE, "hydra.sweeper.n_trials=12", "hydra.sweeper.pruner.n_startup_trials=2")
    pruned = [trial for trial in application.study.trials if trial.state.name == "PRUNED"]
    assert pruned
    assert all(re.fullmatch(r"pruned at step \d", trial.user_attrs["reason"]) for trial in pruned)
    check_finished(application, 12)


def test_ctrl_c_lets_running_trials_end_and_the_same_command_goes_on(application: Application) -> None:
    process = application.start(*SIX, "seconds=1")
    application.until(lambda states: states.get("RUNNING") == 2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "left" in output
    assert set(application.states()) == {"COMPLETE", "WAITING"}
    application.run(*SIX, "seconds=1")
    assert application.states() == {"COMPLETE": 6}


def test_ctrl_c_twice_stops_at_once_and_loses_nothing(application: Application) -> None:
    process = application.start(*SIX, "seconds=20")
    application.until(lambda states: states.get("RUNNING") == 2)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    while "press Ctrl-C again" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    states = application.states()
    assert set(states) == {"FAIL", "WAITING"}
    stopped = [
        t for t in application.study.trials if t.user_attrs.get("reason") == "stopped: the study was interrupted"
    ]
    assert len(stopped) == states["FAIL"] == 2
    assert states["WAITING"] in (4, 5, 6), "the retries may be there already"


def test_a_request_to_stop_is_heard(application: Application) -> None:
    process = application.start(*SIX, "seconds=1")
    application.until(lambda states: states.get("RUNNING") == 2)
    application.study.set_user_attr("stop", True)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert application.states()["WAITING"] > 0


def test_children_leave_when_their_agent_is_killed(application: Application) -> None:
    process = application.start(*SIX, "seconds=60")
    application.until(lambda _: len(psutil.Process(process.pid).children()) == 2)
    children = psutil.Process(process.pid).children()
    assert all(os.getsid(child.pid) == child.pid for child in children), "a terminal's Ctrl-C does not reach them"
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["y=interval(0,1)"], "a key that does not exist"),
        (["deep.er=interval(0,1)"], "deep.er"),
        (["x=interval(1,0)"], "below its high end"),
        (["hydra.sweeper.n_trials=0", *SPACE], "hydra.sweeper.n_trials"),
        (["hydra.sweeper.direction=down", *SPACE], "minimize or maximize"),
        (["hydra.sweeper.study_name=a/b", *SPACE], "'a/b'"),
        (["x=1"], "no parameter that varies"),
        (["hydra.sweeper.pruner.n_startup_trials=-1", *SPACE], "hydra.sweeper.pruner"),
        (["hydra.sweeper.seed_key=n", *SPACE], "n: got a search space"),
    ],
)
def test_what_cannot_be_run_is_one_message_and_leaves_nothing(
    application: Application, arguments: list[str], said: str
) -> None:
    output = application.run(*arguments, status=1)
    assert said in output
    assert "Traceback" not in output
    assert not (application.folder / "out").exists()


def test_cores_are_shared_out() -> None:
    assert share_out([0, 1], 2) == [{0}, {1}]
    assert share_out([0, 1, 2, 3, 4], 2) == [{0, 1}, {2, 3}]
    assert share_out([0], 3) == [{0}, {0}, {0}]
