"""A tracking server that is killed while studies run: every point of every trial is there exactly once afterwards."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from application import Application, require_submitit
from tracking_server import TrackingServer

from sweep.engine.supervisor import agent_key
from sweep.tracking.spool import spools

STEPS = 30
NO_PRUNER = "hydra/sweeper/pruner=none"
TRIALS = ("done", "complete", "pruned", "failed", "running")

PROGRAM = f"""
import os, time
from dataclasses import dataclass
import hydra
from hydra.core.config_store import ConfigStore
from sweep import current_trial

@dataclass
class Config:
    x: float = 0.0
    seconds: float = 0.0
    gate: int = 1000

ConfigStore.instance().store(name="config", node=Config)

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg):
    trial = current_trial()
    while trial.number >= cfg.gate and not os.path.exists("open"):
        time.sleep(0.1)
    for step in range({STEPS}):
        time.sleep(cfg.seconds / {STEPS})
        loss = cfg.x**2 + 1 / (step + 1)
        trial.log({{"loss": loss, "best/loss": cfg.x**2 + 0.05 * (step >= 20)}}, step=step)
        if step % 3 == 0:
            trial.report(loss, step=step)
    return cfg.x**2

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    server = TrackingServer(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def tracked(server: TrackingServer, tmp_path: Path) -> Iterator[Application]:
    if server.process is None:
        server.start()
    program = Application(tmp_path, PROGRAM)
    yield program
    program.check_nothing_left()


def command(server: TrackingServer, n_trials: int, seconds: float) -> list[str]:
    tracking = f"hydra.sweeper.tracking.uri={server.uri}"
    return ["x=interval(-2,2)", f"seconds={seconds}", NO_PRUNER, tracking, f"hydra.sweeper.n_trials={n_trials}"]


def sync(folder: Path, status: int = 0) -> str:
    """What `sweep sync` says of the program's study."""
    done = subprocess.run(
        [sys.executable, "-m", "sweep", "sync", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        check=False,
        timeout=120,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def reporting(program: Application) -> int:
    """How many trials run and have said something."""
    return sum(t.state.name == "RUNNING" and len(t.intermediate_values) > 1 for t in program.study.trials)


def check_mirror(program: Application, server: TrackingServer, status: str) -> None:
    """Each thing that a trial said is in its run once: no point is missing, doubled or added. The curves are whole."""
    study = program.study
    runs = {run.trial: run for run in server.runs(study.user_attrs["id"])}
    assert len(runs) == len(server.runs(study.user_attrs["id"]))
    begun = [trial for trial in study.trials if trial.state.name != "WAITING"]
    assert set(runs) == {None, *(trial.number for trial in begun)}
    for trial in begun:
        x, points = trial.params["x"], dict(runs[trial.number].points)
        complete = trial.state.name == "COMPLETE"
        assert runs[trial.number].status == ("FINISHED" if complete else "KILLED")
        assert points.pop("reported", Counter()) == Counter(trial.intermediate_values.items())
        assert points.pop("objective", None) == (Counter({(STEPS - 1, x**2): 1}) if complete else None)
        steps = STEPS if complete else points["loss"].total()
        assert steps >= max(trial.intermediate_values, default=0)  # what it said before it was killed
        assert points.pop("loss") == Counter((step, x**2 + 1 / (step + 1)) for step in range(steps))
        assert points.pop("best/loss") == Counter((step, x**2 + 0.05 * (step >= 20)) for step in range(steps))
        assert {name for name in points if not name.startswith(("system/", "cost/"))} == set()
    curves = runs[None].points
    assert runs[None].status == status
    assert set(curves) == {"best/objective", *(f"trials/{name}" for name in TRIALS)}
    ended = sum(trial.state.is_finished() for trial in study.trials)
    for curve in curves.values():
        assert sorted(step for step, _ in curve) == list(range(ended + 1 - len(curve), ended + 1))
        assert max(curve.values()) == 1
    assert len(curves["trials/done"]) == ended
    assert (ended, min(trial.value for trial in begun if trial.value is not None)) in curves["best/objective"]
    assert spools(program.folder / "out") == []


def test_a_server_that_is_back_gets_every_point_once(server: TrackingServer, tracked: Application) -> None:
    process = tracked.start(*command(server, 20, seconds=0.6), "gate=12")
    tracked.until(lambda states: states.get("COMPLETE", 0) >= 4)
    server.kill()
    tracked.until(lambda states: states.get("COMPLETE", 0) >= 12)
    server.start()
    (tracked.folder / "open").touch()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "is away" in output
    assert "answers again" in output
    check_mirror(tracked, server, "FINISHED")


def test_a_server_that_stays_away_gets_it_by_sync(server: TrackingServer, tracked: Application) -> None:
    process = tracked.start(*command(server, 8, seconds=0.6))
    tracked.until(lambda states: states.get("COMPLETE", 0) >= 2)
    server.kill()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert tracked.states() == {"COMPLETE": 8}
    waiting = re.search(r"([\d,]+) events wait for MLflow at .* `sweep sync (.*)` writes them", output)
    assert waiting is not None, output
    assert Path(waiting[2]) == tracked.folder / "out"
    assert f"{waiting[1]} events of study s wait on" in sync(tracked.folder, status=2)
    server.start()
    assert sync(tracked.folder) == f"Study s: {waiting[1]} events written.\n"
    check_mirror(tracked, server, "FINISHED")


def test_what_was_killed_meanwhile_is_there_after_sync_and_after_the_same_command(
    server: TrackingServer, tracked: Application
) -> None:
    six = command(server, 6, seconds=2.0)
    process = tracked.start(*six)
    tracked.until(lambda states: states.get("COMPLETE", 0) >= 1)
    server.kill()
    tracked.until(lambda states: states.get("COMPLETE", 0) >= 3 and reporting(tracked) == 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert "events of study s wait on" in sync(tracked.folder, status=2)
    server.start()
    said = sync(tracked.folder)
    assert re.fullmatch(r"Study s: [\d,]+ events written, 2 runs closed\.\n", said), said
    check_mirror(tracked, server, "KILLED")
    tracked.run(*six)
    assert tracked.states() == {"COMPLETE": 6, "FAIL": 2}
    check_mirror(tracked, server, "FINISHED")


@pytest.mark.slow
def test_what_killed_agents_left_is_written_by_the_same_command(server: TrackingServer, tracked: Application) -> None:
    require_submitit()
    agents = ["hydra/launcher=submitit_local", "hydra.launcher.submitit_folder=submitted", "hydra.sweeper.n_agents=2"]
    eight = [*command(server, 8, seconds=3.0), *agents, "hydra.sweeper.n_jobs=1"]
    process = tracked.start(*eight)
    tracked.until(lambda states: states.get("COMPLETE", 0) >= 1)
    server.kill()
    tracked.until(lambda states: states.get("COMPLETE", 0) >= 4 and reporting(tracked) == 2)
    leases = [lease for key, lease in tracked.study.user_attrs.items() if key.startswith(agent_key("")) and lease]
    assert len({process.pid, *(lease["pid"] for lease in leases)}) == 3
    for pid in (process.pid, *(lease["pid"] for lease in leases)):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert len(spools(tracked.folder / "out")) == 3
    server.start()
    tracked.run(*eight)
    assert tracked.states() == {"COMPLETE": 8, "FAIL": 2}
    check_mirror(tracked, server, "FINISHED")


def test_a_server_that_is_away_at_the_start_is_said_at_once(tracked: Application, unused_port: int) -> None:
    uri = f"hydra.sweeper.tracking.uri=http://127.0.0.1:{unused_port}"
    output = tracked.run("x=interval(-2,2)", uri, status=1)
    assert "tracking.uri: got http://127.0.0.1" in output
    assert "Traceback" not in output
    assert not (tracked.folder / "out").exists()
