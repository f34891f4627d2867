"""`sweep sync`: what waits is written, once, and MLflow agrees with the studies; what somebody else holds is his."""

import dataclasses
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import create_trial

from sweep.engine.errors import UserError
from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.lease import Lease
from sweep.engine.parent import PARENT, TRACKING_URI
from sweep.engine.storage import open_storage, remember
from sweep.engine.supervisor import SWEEPER
from sweep.paths import Paths
from sweep.results import sync as syncs
from sweep.results.catalogue import find
from sweep.tracking.runs import StudyRun, study_run
from sweep.tracking.single import run_in
from sweep.tracking.spool import spools, waiting
from sweep.tracking.store import Store, client, open_store

IDENTITY = Identity({}, {}, {}, ["minimize"])


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    return open_store(f"sqlite:///{folder}/mlflow.db", "sweep", folder / "artifacts")


def make(home: Path, name: str, store: Store, parent: StudyRun | None = None) -> StudyRun:
    """A study whose processes are gone, and MLflow was away: trial 0 is complete, trial 1 runs and has reported."""
    study = create_or_resume(open_storage(None, home), name, IDENTITY, 0)
    remember(home, None)
    run = study_run(store, name, study.user_attrs["id"], {}) if parent is None else parent
    run = dataclasses.replace(run, store=away(store), study=name, study_id=study.user_attrs["id"])
    study.set_user_attr(TRACKING_URI, run.store.uri)
    study.set_user_attr(PARENT, {"experiment": [store.experiment, store.experiment_id], "run_id": run.run_id})
    study.add_trial(create_trial(value=0.5, intermediate_values={1: 0.75}, user_attrs={"metrics": {"loss": 0.5}}))
    study.ask().report(0.75, step=1)
    tracker = run.tracker(home / "baselines" if parent else home)
    for number in (0, 1):
        tracker.begin(number, f"{name} {number}", {"x": "1"})
        tracker.write(number, "report", {"value": 0.75, "step": 1})
        tracker.write(number, "metrics", {"values": {"loss": 0.5}, "step": 1})
    tracker.end(0, "COMPLETE", value=0.5)
    assert tracker.close(0.1) == 8
    return run


def away(store: Store) -> Store:
    """The same store behind a server that is away."""
    return dataclasses.replace(store, uri="http://127.0.0.1:1")


def bring_back(paths: Paths, store: Store) -> None:
    """The server is there again, under an address of its own."""
    for path in paths.mlruns.rglob("tracking.*.jsonl"):
        path.write_text(path.read_text().replace(away(store).uri, store.uri))
    for home in paths.studies():
        storage = open_storage(None, paths.study(home))
        for study in storage.get_all_studies():
            storage.set_study_user_attr(study._study_id, TRACKING_URI, store.uri)


def sync(paths: Paths, study: str | None = None) -> list[str]:
    return list(syncs.sync(paths, study))


def sweep(root: Path, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sweep", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=root,
        env={**os.environ, "SWEEP_ROOT": str(root), "COLUMNS": "200"},
        check=False,
        timeout=120,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def children(store: Store, run: StudyRun) -> dict[int, Any]:
    text = f"tags.`sweep.study_id` = '{run.study_id}' and tags.`sweep.kind` = 'trial'"
    found = client(store.uri).search_runs([store.experiment_id], text)
    assert {child.data.tags["mlflow.parentRunId"] for child in found} <= {run.run_id}
    return {int(child.data.tags["sweep.trial"]): child for child in found}


def test_what_waits_is_written_and_what_was_left_open_is_closed(paths: Paths, store: Store) -> None:
    run = make(paths.study("mine"), "mine", store)
    make(paths.study("mine"), "mine.baselines", store, parent=run)
    assert [path.parent.name for path in spools(paths.study("mine"))] == ["baselines", "mine"]
    bring_back(paths, store)
    assert sync(paths, "mine") == ["Study mine: 16 events written, 2 runs closed."]
    for name in ("mine", "mine.baselines"):
        study = find(paths, name).load()
        runs = children(store, dataclasses.replace(run, study_id=study.user_attrs["id"]))
        assert {number: child.info.status for number, child in runs.items()} == {0: "FINISHED", 1: "KILLED"}
        assert runs[0].data.metrics == {"loss": 0.5, "reported": 0.75, "objective": 0.5}
        assert runs[1].data.metrics == {"loss": 0.5, "reported": 0.75}
        assert runs[1].data.tags["sweep.reason"] == "orphan: its agent is gone"
        for child in runs.values():
            assert len(client(store.uri).get_metric_history(child.info.run_id, "reported")) == 1
        assert study.user_attrs[SWEEPER] is None
    parent = client(store.uri).get_run(run.run_id)
    assert parent.info.status == "KILLED"
    assert parent.data.metrics["trials/done"] == parent.data.metrics["trials/complete"] == 1
    assert parent.data.metrics["best/objective"] == 0.5
    assert spools(paths.study("mine")) == []
    assert sync(paths, "mine") == ["Study mine: nothing waits, and its runs are as they should be."]
    assert sync(paths) == [f"Nothing waits for MLflow in {paths.mlruns}."]
    for name in ("trials/done", "best/objective"):
        assert [p.step for p in client(store.uri).get_metric_history(run.run_id, name)] == [1], "each point once"


def test_runs_that_were_never_written_are_made(paths: Paths, store: Store) -> None:
    home = paths.study("mine")
    run = make(home, "mine", store)
    bring_back(paths, store)
    for path in spools(home):
        path.unlink()
    assert sync(paths, "mine") == ["Study mine: 2 runs made."]
    runs = children(store, run)
    assert {number: child.info.status for number, child in runs.items()} == {0: "FINISHED", 1: "KILLED"}
    assert runs[0].data.metrics == {"loss": 0.5, "reported": 0.75, "objective": 0.5}
    assert runs[1].data.metrics == {"reported": 0.75}
    trial = find(paths, "mine").load().trials[0]
    assert trial.datetime_complete is not None
    assert runs[0].info.end_time == int(trial.datetime_complete.timestamp() * 1000)


def test_a_server_that_is_still_away_is_one_message_and_costs_nothing(paths: Paths, store: Store) -> None:
    make(paths.study("mine"), "mine", store)
    make(paths.study("other"), "other", store)
    left = {path: path.read_bytes() for name in ("mine", "other") for path in spools(paths.study(name))}
    said = sweep(paths.root, "sync", status=2)
    assert said.count("tracking.uri: got http://127.0.0.1:1 (Connection refused), allowed is an MLflow store") == 2
    assert len(said.splitlines()) == 2
    assert "nothing is lost: 8 events of study mine wait on" in said
    assert "Traceback" not in said
    assert {path: path.read_bytes() for path in left} == left
    for path in left:  # as if it had been a while ago
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:2], *(f"[1{line[3:]}" for line in lines[2:])]) + "\n")
    assert "8 events wait for MLflow" in sweep(paths.root, "status", "mine")
    assert '"waiting": 8' in sweep(paths.root, "status", "mine", "--json")
    bring_back(paths, store)
    assert sweep(paths.root, "sync", "mine") == "Study mine: 8 events written, 1 run closed.\n"
    assert sweep(paths.root, "sync") == "Study other: 8 events written, 1 run closed.\n"


def test_what_somebody_holds_is_not_touched(paths: Paths, store: Store) -> None:
    run = make(paths.study("mine"), "mine", store)
    bring_back(paths, store)
    study = find(paths, "mine").load()
    lease = Lease(study, SWEEPER)
    lease.beat()
    said = f"Study mine runs (process {os.getpid()} on "
    (line,) = sync(paths, "mine")
    assert line.startswith(said)
    assert "what waits, 8 events, is written by its own processes" in line
    assert children(store, run) == {}
    lease.release()
    tracker = run.tracker(paths.study("mine"))
    tracker.begin(7, "mine 7", {})
    assert sync(paths) == ["Study mine: a process that lives holds 1 event, and writes them itself."]
    assert set(children(store, run)) == {0, 1}
    assert client(store.uri).get_run(run.run_id).info.status == "RUNNING"
    tracker.close(0.1)


def test_a_run_alone_that_was_killed_is_written_and_closed(paths: Paths, store: Store) -> None:
    folder = paths.mlruns / "runs/2026-01-01/12-00-00"
    program = (
        "import os, signal, sys; from sweep.tracking.single import run_in; from sweep.tracking.store import Store\n"
        "with run_in(Store(*sys.argv[1:4]), 'alone', {'a': '1'}, sys.argv[4]) as run:\n"
        "    run.send('metrics', {'values': {'loss': 0.5}, 'step': 3}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    place = ("http://127.0.0.1:1", store.experiment, store.experiment_id)
    subprocess.run([sys.executable, "-c", program, *place, str(folder)], check=False, timeout=60)
    assert waiting(folder) == 3  # its begin, its description, its metrics
    with pytest.raises(UserError, match="nothing is lost: 6 events of run 2026-01-01/12-00-00 wait on"):
        sync(paths)
    bring_back(paths, store)
    assert sync(paths) == ["Run 2026-01-01/12-00-00: 6 events written."]
    (run,) = client(store.uri).search_runs([store.experiment_id], "attributes.run_name = 'alone'")
    assert (run.info.status, run.data.metrics) == ("KILLED", {"loss": 0.5})
    assert run.data.tags["sweep.reason"] == "killed: its process is gone"
    assert "was interrupted: killed: its process is gone" in run.data.tags["mlflow.note.content"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("place", ["mlruns/runs/2026-01-01/13-00-00", "my runs/of today"])
def test_a_run_alone_says_that_its_events_wait_and_what_writes_them(
    paths: Paths, store: Store, tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / place
    with run_in(away(store), "patient", {}, folder) as run:
        run.value = 0.5
    assert f"6 events wait for MLflow. `sweep sync {shlex.quote(str(folder))}` writes them" in caplog.text
    (path,) = spools(folder)
    path.write_text(path.read_text().replace(away(store).uri, store.uri))
    assert sync(paths, str(folder)) == [f"Run {'/'.join(folder.parts[-2:])}: 6 events written."]
    run, *_ = client(store.uri).search_runs([store.experiment_id], "attributes.run_name = 'patient'")
    assert (run.info.status, run.data.metrics["objective"]) == ("FINISHED", 0.5)


def test_an_agents_folder_without_the_study_is_written_alone(paths: Paths, store: Store, tmp_path: Path) -> None:
    """As on a machine that has only run an agent: the study's storage is elsewhere."""
    run = make(paths.study("mine"), "mine", store)
    bring_back(paths, store)
    (path,) = spools(paths.study("mine"))
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / path.name)
    assert sync(paths, str(tmp_path / "elsewhere")) == ["Study mine: 8 events written."]
    assert {number: child.info.status for number, child in children(store, run).items()} == {
        0: "FINISHED",
        1: "RUNNING",
    }
    assert sync(paths, str(tmp_path / "elsewhere")) == [f"Nothing waits for MLflow in {tmp_path / 'elsewhere'}."]
    assert sync(paths, "mine") == ["Study mine: 1 run closed."]
    home = str(paths.study("mine"))
    assert sync(paths, home) == ["Study mine: nothing waits, and its runs are as they should be."]


def test_an_agents_folder_is_written_after_the_study_was_made_to_agree(
    paths: Paths, store: Store, tmp_path: Path
) -> None:
    run = make(paths.study("mine"), "mine", store)
    bring_back(paths, store)
    (path,) = spools(paths.study("mine"))
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / path.name)
    assert sync(paths, "mine") == ["Study mine: 2 runs made."]
    assert sync(paths, str(tmp_path / "elsewhere")) == ["Study mine: 8 events written."]
    for child in children(store, run).values():
        for name in child.data.metrics:
            history = client(store.uri).get_metric_history(child.info.run_id, name)
            assert len({(p.step, p.value) for p in history}) == len(history), "each point once"
        assert set(child.data.metrics) >= {"reported", "loss"}


def test_a_study_without_tracking_or_none_at_all(paths: Paths) -> None:
    create_or_resume(open_storage(None, paths.study("mine")), "mine", IDENTITY, 0)
    assert sync(paths, "mine") == ["Study mine is not tracked."]
    assert sync(paths) == [f"Nothing waits for MLflow in {paths.mlruns}."]
    with pytest.raises(UserError, match="STUDY: got 'no'"):
        sync(paths, "no")
