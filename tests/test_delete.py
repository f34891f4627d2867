"""`sweep delete`: nothing of a study is left, nothing of any other is gone, and whoever was interrupted tries again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from mlflow.entities import ViewType
from optuna.trial import create_trial
from tracking_server import TrackingServer

from sweep.engine import lease as leases
from sweep.engine.errors import UserError
from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.lease import Lease
from sweep.engine.storage import open_storage, remember
from sweep.engine.supervisor import SWEEPER, agent_key
from sweep.engine.works import SIBLINGS, split
from sweep.paths import Paths
from sweep.results import delete as deletes
from sweep.results import export
from sweep.results.catalogue import find
from sweep.tracking.runs import study_run
from sweep.tracking.store import Store, client, open_store

IDENTITY = Identity({}, {}, {}, ["minimize"])


def make(paths: Paths, name: str, sibling: bool = False, store: Store | None = None) -> optuna.Study:
    """A study, or one's baselines, with two trials, their folders, and their runs where there is a store."""
    home = paths.study(split(name)[0] if sibling else name)
    study = create_or_resume(open_storage(None, home), name, IDENTITY, 0)
    remember(home, None)
    parent = study_run(store, name, study.user_attrs["id"], {}) if store else None
    tracker = parent.tracker(home) if parent else None
    study.set_user_attr("tracking_uri", store.uri if store else None)
    for number in range(2):
        folder = home / ((split(name)[1] or "") if sibling else "trials") / str(number)
        folder.mkdir(parents=True)
        (folder / "console.log").write_text("a line")
        study.add_trial(create_trial(value=0.5, user_attrs={"output_dir": str(folder)}))
        if tracker:
            tracker.begin(number, f"{name} {number}", {"x": "1"}, folder=folder)
            tracker.write(number, "artifact", {"path": str(folder / "console.log"), "folder": ""})
            tracker.end(number, "COMPLETE", value=0.5)
    if tracker:
        assert tracker.close() == 0
    return study


def delete(paths: Paths, name: str) -> list[str]:
    return deletes.delete(deletes.look(find(paths, name)))


def sweep(root: Path, *arguments: str, answer: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "sweep", *arguments],
        input=answer,
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "SWEEP_ROOT": str(root), "COLUMNS": "200"},
        check=False,
        timeout=60,
    )


def runs(store: Store) -> dict[str, Path]:
    """The folder of every run of a store, deleted ones too, by the run's name."""
    found = client(store.uri).search_runs([store.experiment_id], run_view_type=ViewType.ALL)
    return {run.info.run_name: Path(run.info.artifact_uri).parent for run in found}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


@pytest.fixture
def store(open_experiment: Callable[[str], Store], request: pytest.FixtureRequest) -> Store:
    return open_experiment(request.node.name)


def test_nothing_of_the_study_is_left_and_nothing_of_another_is_gone(paths: Paths, store: Store) -> None:
    for name in ("mine", "mine.baselines", "mine-2"):
        make(paths, name, sibling=name.endswith(".baselines"), store=store)
    before = runs(store)
    assert len(before) == 9
    result = sweep(paths.root, "delete", "mine", "--yes")
    assert result.returncode == 0, result.stderr
    assert "study mine.baselines, 2 trials\nstudy mine, 2 trials\n6 runs in sqlite" in result.stdout
    assert not paths.study("mine").exists()
    assert paths.studies() == ["mine-2"]
    assert sorted(runs(store)) == ["mine-2", "mine-2 0", "mine-2 1"]
    for name, folder in before.items():
        assert folder.exists() == (name in ("mine-2 0", "mine-2 1")), "only they have artifacts"
    assert len(find(paths, "mine-2").load().trials) == 2
    assert (paths.study("mine-2") / "trials/1/console.log").exists()
    assert [path.name for path in paths.root.iterdir()] == ["mlruns"]
    again = sweep(paths.root, "delete", "mine", "--yes")
    assert (again.returncode, again.stdout) == (2, "")
    assert "mine-2" in again.stderr


def test_it_asks_first(paths: Paths) -> None:
    make(paths, "mine")
    no = sweep(paths.root, "delete", "mine", answer="n\n")
    assert no.returncode == 0
    assert "Nothing was deleted" in no.stdout
    silence = sweep(paths.root, "delete", "mine")
    assert silence.returncode == 130
    assert len(find(paths, "mine").load().trials) == 2
    yes = sweep(paths.root, "delete", "mine", answer="y\n")
    assert str(paths.study("mine")) in yes.stdout
    assert not paths.study("mine").exists()


@pytest.mark.parametrize("kind", SIBLINGS)
def test_what_is_beside_a_study_can_be_deleted_alone_and_goes_with_it(paths: Paths, kind: str) -> None:
    make(paths, "mine")
    make(paths, f"mine.{kind}", sibling=True)
    assert len(find(paths, f"mine.{kind}").load().trials) == 2
    delete(paths, f"mine.{kind}")
    assert not (paths.study("mine") / kind).exists()
    assert len(find(paths, "mine").load().trials) == 2
    with pytest.raises(UserError, match="something left"):
        delete(paths, f"mine.{kind}")
    make(paths, f"mine.{kind}", sibling=True)
    assert f"study mine.{kind}, 2 trials" in deletes.look(find(paths, "mine")).describe()
    delete(paths, "mine")
    assert not paths.study("mine").exists()


@pytest.mark.parametrize("gone", ["trials", "study.journal", "study.journal.lock", "runs", "record"])
def test_what_an_interruption_left_can_be_deleted(paths: Paths, store: Store, gone: str) -> None:
    make(paths, "mine", store=store)
    home = paths.study("mine")
    if gone == "runs":
        for name, folder in runs(store).items():
            shutil.rmtree(folder, ignore_errors=True)
            if name != "mine":
                client(store.uri).delete_run(folder.name)
    elif gone == "record":
        optuna.delete_study(study_name="mine", storage=open_storage(None, home))
    elif (home / gone).is_dir():
        shutil.rmtree(home / gone)
    else:
        (home / gone).unlink()
    said = deletes.look(find(paths, "mine")).describe()
    assert ("but not runs in MLflow" in said) == (gone in ("study.journal", "record"))
    delete(paths, "mine")
    assert not home.exists()
    if gone not in ("study.journal", "record"):  # which alone knew which runs are the study's
        assert runs(store) == {}


def test_a_study_that_never_began_can_be_deleted(paths: Paths) -> None:
    home = paths.study("mine")
    home.mkdir(parents=True)
    (home / "study.lock").touch()
    result = sweep(paths.root, "delete", "mine", "--yes")
    assert result.returncode == 0, result.stderr
    assert not home.exists()


@pytest.mark.parametrize("name", ["..", ".", "../mine", "/", "", "mine/trials", "nothing"])
def test_only_a_study_can_be_deleted(paths: Paths, name: str) -> None:
    make(paths, "mine")
    with pytest.raises(UserError, match=r"allowed is a study in .*: mine"):
        delete(paths, name)
    assert (paths.study("mine") / "trials/0/console.log").exists()


@pytest.mark.parametrize("key", [SWEEPER, agent_key("token")])
def test_a_study_that_runs_is_not_deleted(paths: Paths, key: str) -> None:
    study = make(paths, "mine")
    held = Lease(study, key)
    held.beat()
    with pytest.raises(UserError, match=f"process {os.getpid()} on .* runs.*sweep stop mine"):
        delete(paths, "mine")
    assert (paths.study("mine") / "trials/0/console.log").exists()
    held.release()
    delete(paths, "mine")
    assert not paths.study("mine").exists()


def test_a_sweeper_of_another_machine_is_waited_for(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "PATIENCE_SECONDS", 0.5)
    study = make(paths, "mine")
    study.set_user_attr(SWEEPER, {"token": "a", "host": "elsewhere", "boot": "b", "pid": 1, "created": 0.0, "beat": 7})
    delete(paths, "mine")
    assert not paths.study("mine").exists()


def test_without_mlflow_nothing_is_deleted(paths: Paths, unused_port: int) -> None:
    study = make(paths, "mine")
    study.set_user_attr("tracking_uri", f"http://me:secret@127.0.0.1:{unused_port}")
    result = sweep(paths.root, "delete", "mine", "--yes")
    assert result.returncode == 2
    assert "tracking.uri" in result.stderr
    assert "nothing was deleted" in result.stderr
    assert "secret" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert (paths.study("mine") / "trials/0/console.log").exists()
    assert study.user_attrs.get(SWEEPER) is None


def test_a_database_of_mlflow_that_is_gone_has_no_runs_and_is_not_made(paths: Paths) -> None:
    make(paths, "mine").set_user_attr("tracking_uri", f"sqlite:///{paths.database}")
    delete(paths, "mine")
    assert not paths.study("mine").exists()
    assert not paths.database.exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of an MLflow server."""
    with TrackingServer(tmp_path / "server") as server:
        yield server.uri


def test_a_server_keeps_marked_runs_without_artifacts(paths: Paths, server: str, tmp_path: Path) -> None:
    store = open_store(server, "sweep", tmp_path)
    make(paths, "mine", store=store)
    assert len(list((tmp_path / "server/artifacts").rglob("console.log"))) == 4  # as it was attached, and as a log
    assert "mlflow gc" in "".join(delete(paths, "mine"))
    assert not paths.study("mine").exists()
    assert list((tmp_path / "server/artifacts").rglob("console.log")) == []
    left = client(server).search_runs([store.experiment_id], run_view_type=ViewType.ALL)
    assert {run.info.lifecycle_stage for run in left} == {"deleted"}
    assert len(left) == 3


def test_a_failure_on_the_way_lets_the_study_go_on(paths: Paths, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    study = make(paths, "mine", store=store)
    found = deletes.look(find(paths, "mine"))
    study.set_user_attr("tracking_uri", "sqlite:////dev/null")  # is there, but is no database
    with pytest.raises(UserError):
        deletes.delete(found)
    assert find(paths, "mine").load().user_attrs[SWEEPER] is None
    study.set_user_attr("tracking_uri", store.uri)
    delete(paths, "mine")
    assert runs(store) == {}


def test_only_what_was_exported_from_it_and_nobody_has_added_is_deleted(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(paths, "mine")
    folder = tmp_path / "conf/experiment"
    folder.mkdir(parents=True)
    monkeypatch.setattr(export, "checkout", lambda: tmp_path)
    for name, study in {"mine": "mine", "mine-front-1": "mine", "mine-front-2": "other", "mine-2": "mine-2"}.items():
        (folder / f"{name}.yaml").write_text(f"# @package _global_\n# Study: {study}\n")
    assert len(deletes.look(find(paths, "mine")).left) == 2, "without git, nobody knows whose they are"
    (tmp_path / ".gitignore").write_text("conf/experiment/*\n")
    for command in (["init", "-q"], ["add", "-f", "conf/experiment/mine-front-1.yaml"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    found = deletes.look(find(paths, "mine"))
    assert f"but not {folder}/mine-front-1.yaml, which git does not ignore" in found.describe()
    deletes.delete(found)
    assert sorted(path.name for path in folder.iterdir()) == ["mine-2.yaml", "mine-front-1.yaml", "mine-front-2.yaml"]


def test_what_trials_left_elsewhere_stays(paths: Paths, tmp_path: Path) -> None:
    study = make(paths, "mine")
    study.add_trial(create_trial(value=0.5, user_attrs={"output_dir": str(tmp_path)}))
    found = deletes.look(find(paths, "mine"))
    assert f"but not the folders of 1 trials that lie elsewhere, such as {tmp_path}" in found.describe()
    deletes.delete(found)
    assert tmp_path.exists()
