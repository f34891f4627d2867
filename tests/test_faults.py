"""Everything that can break a study, caused for real; each fault has the outcome that docs/faults.md says."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from application import Application, require_submitit
from optuna.trial import FrozenTrial

from sweep.engine.study import first_attempt
from sweep.engine.supervisor import agent_key

PROGRAM = """
import os, resource, signal, time
from dataclasses import dataclass
import hydra
from hydra.core.config_store import ConfigStore
from sweep import current_trial

@dataclass
class Config:
    fault: str = "none"
    seconds: float = 0.0

ConfigStore.instance().store(name="config", node=Config)

def fill_the_disk():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with open("weights", "wb") as file:
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg):
    if cfg.fault == "raise":
        raise ValueError("no such width")
    if cfg.fault == "text":
        return "good"
    if cfg.fault == "diverge":
        return float("nan")
    if cfg.fault == "prune":
        for step in range(5):
            current_trial().report(1000.0, step=step)
    if cfg.fault == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if cfg.fault == "exit":
        os._exit(3)
    if cfg.fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if cfg.fault == "memory":
        hoard = bytearray(os.urandom(1) * 600_000_000)
        time.sleep(60)
    if cfg.fault == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        os.system("sleep 61 & sleep 62")
    if cfg.fault == "disk":
        fill_the_disk()
    current_trial().report(0.0, step=0)
    time.sleep(cfg.seconds)
    return 1.0

if __name__ == "__main__":
    main()
"""

FAULTS = {
    "raise": "the task raises an exception",
    "text": "the task returns something that is no number",
    "diverge": "the objective is not finite",
    "prune": "the pruner gives the trial up",
    "segv": "the trial's process has a segmentation fault",
    "exit": "the trial's process ends by itself",
    "kill": "the trial's process is killed, as when the machine is out of memory",
    "memory": "the trial takes more than `trial_memory`",
    "hang": "the trial hangs, or takes longer than `trial_timeout`",
    "disk": "the trial cannot write, as when the disk is full",
}

TRACKED = "hydra.sweeper.tracking.uri=sqlite:///mlflow.db"


def documented() -> dict[str, list[str]]:
    """The table of docs/faults.md: state, reason, whether it is run again, and MLflow's status, by fault."""
    text = (Path(__file__).parents[1] / "docs/faults.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in text.splitlines() if line[:2] == "| "]
    return {row[0]: [row[1], row[2].strip("`"), row[3], row[4].removesuffix(" |")] for row in rows[2:]}


def test_every_documented_fault_is_caused_here() -> None:
    source = Path(__file__).read_text()
    assert len(documented()) == 14
    assert all(f'"{fault}"' in source for fault in documented())


def runs(application: Application) -> dict[int, Any]:
    """MLflow's run of every trial."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{application.folder}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'sweep'")
    found = client.search_runs([experiment.experiment_id], "tags.`sweep.kind` = 'trial'")
    return {int(run.data.tags["sweep.trial"]): run for run in found}


def check_outcome(fault: str, trial: FrozenTrial, run: Any, attempts: int, max_retries: int) -> None:
    """The first attempt at a trial ended as documented, and was run again as often as documented."""
    state, reason, again, status = documented()[fault]
    assert trial.state.name == state
    assert trial.user_attrs["reason"].startswith(reason.rstrip())
    assert run.info.status == status
    again = again.removesuffix(", if its process ran no other before")
    expected = {"never": 1, "up to `max_retries` times": max_retries + 1}.get(again, 2)
    assert attempts == expected


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Application]:
    program = Application(tmp_path, PROGRAM)
    yield program
    program.check_nothing_left()


@pytest.fixture(scope="module")
def study_of_faults(tmp_path_factory: pytest.TempPathFactory) -> Application:
    """A study that has a trial for every fault of a trial, and has ended."""
    program = Application(tmp_path_factory.mktemp("faults"), PROGRAM)
    limits = [
        "trial_timeout=4",
        "trial_memory=0.4",
        "max_retries=1",
        "max_failure_rate=1",
        "n_trials=30",
        "recycle_after=1",
    ]
    program.run(
        f"fault=none,{','.join(FAULTS)}",
        "hydra/sweeper/sampler=grid",
        "hydra/sweeper/pruner=threshold",
        "hydra.sweeper.pruner.upper=100",
        TRACKED,
        *(f"hydra.sweeper.{limit}" for limit in limits),
    )
    program.check_nothing_left()
    return program


@pytest.mark.parametrize("fault", FAULTS)
def test_a_trial_that_breaks_ends_as_documented(study_of_faults: Application, fault: str) -> None:
    mine = [trial for trial in study_of_faults.study.trials if trial.params.get("fault") == fault]
    check_outcome(FAULTS[fault], mine[0], runs(study_of_faults)[mine[0].number], len(mine), max_retries=1)
    assert len({trial.user_attrs["seed"] for trial in mine}) == 1
    assert len({trial.user_attrs["output_dir"] for trial in mine}) == len(mine)


def test_the_faults_of_some_cost_the_others_nothing(study_of_faults: Application) -> None:
    (sound,) = [trial for trial in study_of_faults.study.trials if trial.params.get("fault") == "none"]
    assert sound.value == 1.0
    assert "RUNNING" not in study_of_faults.states()


LONG = ("fault=none,other", "seconds=4", "hydra/sweeper/sampler=grid", "hydra/sweeper/pruner=none", TRACKED)


def test_a_killed_sweeper_leaves_orphans_that_the_same_command_runs_again(broken: Application) -> None:
    process = broken.start(*LONG)
    broken.until(lambda states: states.get("RUNNING") == 2)
    process.kill()
    process.communicate()
    broken.run(*LONG, "hydra.sweeper.n_trials=2")
    for number in (0, 1):
        attempts = [trial for trial in broken.study.trials if first_attempt(trial) == number]
        check_outcome("the sweeper is killed", attempts[0], runs(broken)[number], len(attempts), max_retries=3)


def test_a_killed_agent_leaves_orphans_that_the_others_run_again(broken: Application) -> None:
    require_submitit()
    agents = ("hydra/launcher=submitit_local", "hydra.launcher.submitit_folder=submitted", "hydra.sweeper.n_agents=2")
    process = broken.start(*LONG, *agents, "hydra.sweeper.n_jobs=1", "hydra.sweeper.n_trials=2")
    broken.until(lambda states: states.get("RUNNING") == 2)
    study = broken.study
    victim = study.trials[0]
    lease = study.user_attrs[agent_key(victim.user_attrs["agent"])]
    assert lease["pid"] != process.pid
    os.kill(lease["pid"], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    attempts = [trial for trial in broken.study.trials if first_attempt(trial) == 0]
    check_outcome("the agent is killed", attempts[0], runs(broken)[0], len(attempts), max_retries=3)
    assert broken.study.trials[1].state.name == "COMPLETE"


def test_ctrl_c_twice_stops_trials_of_agents_elsewhere_too(broken: Application) -> None:
    require_submitit()
    agents = ("hydra/launcher=submitit_local", "hydra.launcher.submitit_folder=submitted", "hydra.sweeper.n_agents=2")
    process = broken.start("fault=none,other", "seconds=60", *agents, "hydra.sweeper.n_jobs=1")
    broken.until(lambda states: states.get("RUNNING") == 2)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    while "press Ctrl-C again" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    stopped = [trial for trial in broken.study.trials if trial.state.name == "FAIL"]
    assert [trial.user_attrs["reason"] for trial in stopped] == ["stopped: the study was interrupted"] * 2
    assert "RUNNING" not in broken.states()


def test_ctrl_c_twice_stops_trials_that_the_same_command_runs_again(broken: Application) -> None:
    process = broken.start(*LONG)
    broken.until(lambda states: states.get("RUNNING") == 2)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    while "press Ctrl-C again" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    broken.run(*LONG, "hydra.sweeper.n_trials=2")
    attempts = [trial for trial in broken.study.trials if first_attempt(trial) == 0]
    check_outcome("Ctrl-C is pressed twice", attempts[0], runs(broken)[0], len(attempts), max_retries=3)


def test_a_full_disk_ends_the_study_which_goes_on_when_there_is_room(broken: Application) -> None:
    command = ("seconds=interval(1,1.2)", "hydra/sweeper/pruner=none", TRACKED)
    broken.run(*command, "hydra.sweeper.n_trials=1")
    broken.study.set_user_attr("padding", "-" * 5_000_000)  # the limit is one of every file: MLflow's is far from it
    process = broken.start(*command, "hydra.sweeper.n_trials=8")
    broken.until(lambda states: states.get("RUNNING") == 2)
    size = (broken.folder / "out/study.journal").stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "Traceback" not in output
    assert "study.journal" in output
    assert "the same command goes on" in output
    begun = broken.states()
    assert begun["RUNNING"] > 0
    broken.run(*command, "hydra.sweeper.n_trials=8")
    trials = broken.study.trials
    orphans = [trial for trial in trials if trial.user_attrs.get("reason", "").startswith("orphan")]
    assert len(orphans) == begun.get("RUNNING", 0)
    for orphan in orphans:
        attempts = [trial for trial in trials if first_attempt(trial) == first_attempt(orphan)]
        fault = "the study cannot be written, as when the disk is full"
        check_outcome(fault, orphan, runs(broken)[orphan.number], len(attempts), max_retries=3)
    assert sum(trial.state.name == "COMPLETE" for trial in trials) == 8


def test_a_hang_is_ended_in_time_and_its_slot_is_used_again(broken: Application) -> None:
    broken.run(
        "fault=hang,none",
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.trial_timeout=3",
        "hydra.sweeper.n_trials=2",
    )
    hung = next(trial for trial in broken.study.trials if trial.params.get("fault") == "hang")
    assert hung.duration is not None
    assert hung.duration.total_seconds() >= 3
    assert broken.states() == {"FAIL": 1, "COMPLETE": 1}


def test_a_hopeless_study_is_given_up_with_the_reason(broken: Application) -> None:
    command = ("fault=raise,text", "seconds=interval(0,0.01)", "hydra.sweeper.n_trials=200")
    output = broken.run(*command, status=1)
    assert "hydra.sweeper.max_failure_rate" in output
    assert "Traceback (most recent call last)" not in output.rpartition("max_failure_rate")[2]
    ended = broken.states()
    assert 10 <= ended["FAIL"] < 200
    assert broken.run(*command, status=1).count("failed:") == 0, "it is still hopeless"


def test_a_process_is_recycled_after_its_trials(broken: Application) -> None:
    program = broken.folder / "application.py"
    program.write_text(PROGRAM.replace("time.sleep(cfg.seconds)", "current_trial().describe(pid=os.getpid())"))
    broken.run(
        "seconds=interval(0,1)", "hydra.sweeper.n_jobs=1", "hydra.sweeper.n_trials=7", "hydra.sweeper.recycle_after=3"
    )
    served = [trial.user_attrs["facts"]["pid"] for trial in broken.study.trials]
    assert [served.count(pid) for pid in dict.fromkeys(served)] == [3, 3, 1]


def test_a_process_that_holds_too_much_is_recycled(broken: Application) -> None:
    program = broken.folder / "application.py"
    grown = "globals().setdefault('leak', []).append(bytearray(os.urandom(1) * 100_000_000))"
    program.write_text(
        PROGRAM.replace("time.sleep(cfg.seconds)", f"current_trial().describe(pid=os.getpid()); {grown}")
    )
    broken.run(
        "seconds=interval(0,1)",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.n_trials=6",
        "hydra.sweeper.recycle_memory=0.3",
    )
    served = [trial.user_attrs["facts"]["pid"] for trial in broken.study.trials]
    assert 1 < len(set(served)) < 6
