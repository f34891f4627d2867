"""Studies in PostgreSQL: made by many at once, killed and resumed, and found by the commands from every machine."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import postgres
import pytest
import sqlalchemy
from application import Application
from optuna.trial import create_trial

from sweep import preflight
from sweep.engine.address import bare
from sweep.engine.errors import UserError
from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.storage import open_storage, remember
from sweep.paths import Paths
from sweep.results import delete
from sweep.results.catalogue import entries, find

SIX = ("x=interval(-2,2)", "n=range(1,4)", "hydra.sweeper.n_trials=6", "hydra/sweeper/pruner=none")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


def execute(server: str, statement: str) -> None:
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(statement))


@pytest.fixture
def database(server: str, request: pytest.FixtureRequest) -> str:
    """The URL of a new database, password and all."""
    name = f"test_{zlib.crc32(request.node.name.encode())}"
    execute(server, f"CREATE DATABASE {name}")
    return server.removesuffix("postgres") + name


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "here")


def make(url: str, name: str) -> optuna.Study:
    study = create_or_resume(open_storage(url, ""), name, Identity({}, {}, {}, ["minimize"]), 0)
    study.set_user_attr("tracking_uri", None)
    study.add_trial(create_trial(value=0.5))
    return study


def sweep(root: Path, *arguments: str, status: int = 0, **environment: str) -> str:
    known = {key: value for key, value in os.environ.items() if key not in ("SWEEP_STORAGE", "PGPASSWORD")}
    result = subprocess.run(
        [sys.executable, "-m", "sweep", *arguments],
        capture_output=True,
        text=True,
        env={**known, "SWEEP_ROOT": str(root), "COLUMNS": "200", **environment},
        check=False,
        timeout=60,
    )
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stdout + result.stderr
    return result.stdout + result.stderr


def _open(url: str, start: "multiprocessing.synchronize.Barrier") -> None:
    start.wait(60)
    open_storage(url, "")


def test_any_number_of_machines_can_open_a_new_database_at_once(database: str) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(6)
    openers = [context.Process(target=_open, args=(database, start)) for _ in range(6)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert [opener.exitcode for opener in openers] == [0] * 6
    assert make(database, "s").trials[0].value == 0.5


def test_a_connection_that_the_server_has_closed_is_replaced(server: str, database: str) -> None:
    study = make(database, "s")
    execute(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    study.set_user_attr("still", "there")
    assert study.user_attrs["still"] == "there"


@pytest.mark.parametrize(("wrong", "said"), [("secret@", "authentication"), ("/test_", "does not exist")])
def test_a_database_that_does_not_open_is_said_without_its_password(database: str, wrong: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        open_storage(database.replace(wrong, f"{wrong[0]}no{wrong[1:]}"), "")
    assert "secret" not in str(error.value)


def test_a_study_is_found_by_its_folder_or_by_the_database(
    database: str, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(database, "far")
    make(database, "far.baselines")
    make(database, "near")
    optuna.create_study(study_name="foreign", storage=open_storage(database, ""))
    (paths.study("near")).mkdir(parents=True)
    remember(paths.study("near"), database)
    assert [entry.name for entry in entries(paths)] == ["near"]
    monkeypatch.setenv("PGPASSWORD", "secret")
    assert len(find(paths, "near").load().trials) == 1
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(UserError, match="the storage of study 'near'"):
        find(paths, "near").load()
    for url in (database, None):
        monkeypatch.setenv("SWEEP_STORAGE", "" if url else database)
        assert [entry.name for entry in entries(paths, url)] == ["near", "far"]
        assert find(paths, "near", url).folder == paths.study("near")
        assert find(paths, "far.baselines", url).folder is None
        assert len(find(paths, "far", url).load().trials) == 1
        with pytest.raises(UserError, match="near, far"):
            find(paths, "foreign", url)


def test_a_study_in_a_journal_is_not_taken_for_one_in_the_database(
    database: str, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(database, "both")
    create_or_resume(open_storage(None, paths.study("both")), "both", Identity({}, {}, {}, ["minimize"]), 0)
    monkeypatch.setenv("SWEEP_STORAGE", database)
    assert len(find(paths, "both").load().trials) == 0
    entry = find(paths, "both", database)
    assert (len(entry.load().trials), entry.folder) == (1, None)
    delete.delete(delete.look(entry))
    assert len(find(paths, "both").load().trials) == 0
    with pytest.raises(UserError):
        find(paths, "both", database)


def test_deleting_takes_the_study_alone_out_of_the_database(database: str, paths: Paths) -> None:
    for name in ("mine", "mine.baselines", "other"):
        make(database, name)
    trial = paths.study("mine") / "trials/0"
    trial.mkdir(parents=True)
    remember(paths.study("mine"), database)
    said = sweep(paths.root, "delete", "mine", "--yes", SWEEP_STORAGE=database)
    assert "study mine.baselines in postgresql+psycopg://me@127.0.0.1" in said
    assert not paths.study("mine").exists()
    assert [study.study_name for study in open_storage(database, "").get_all_studies()] == ["other"]


def test_a_database_that_is_away_hides_nothing_else(server: str, paths: Paths, unused_port: int) -> None:
    create_or_resume(open_storage(None, paths.study("here")), "here", Identity({}, {}, {}, ["minimize"]), 0)
    paths.study("away").mkdir()
    remember(paths.study("away"), f"postgresql+psycopg://me:secret@127.0.0.1:{unused_port}/db")
    said = sweep(paths.root, "status")
    assert "here" in said
    assert "Left out: the storage of study 'away': got postgresql+psycopg://me@127.0.0.1" in said
    down = f"postgresql+psycopg://me:secret@127.0.0.1:{unused_port}/other"
    said = sweep(paths.root, "status", SWEEP_STORAGE=down)
    assert "here" in said
    assert f"Left out: the storage: got {bare(down)}" in said
    assert "Connection refused" in sweep(paths.root, "status", "--storage", down, status=2)
    assert "Connection refused" in sweep(paths.root, "delete", "away", "--yes", status=2)
    assert paths.study("away").exists()


def test_preflight_opens_the_database(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    monkeypatch.setenv("SWEEP_ROOT", str(tmp_path))
    monkeypatch.setenv("SWEEP_STORAGE", database)
    arguments = ["-m", "study=quickstart", "storage=postgresql"]
    preflight.check(arguments, None)
    monkeypatch.setenv("SWEEP_STORAGE", f"postgresql+psycopg://me:secret@127.0.0.1:{unused_port}/db")
    with pytest.raises(UserError, match=r"storage.url.*Connection refused") as error:
        preflight.check(arguments, None)
    assert "secret" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


class OnDatabase(Application):
    """The program, whose study is in a database and whose folder is where the commands look."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.url = url

    @property
    def study(self) -> optuna.Study:
        return optuna.load_study(study_name="s", storage=open_storage(self.url, ""))

    def until(self, states: Callable[[dict[str, int]], bool]) -> None:
        deadline = time.monotonic() + 60
        while not self._seen(states):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def program(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnDatabase]:
    monkeypatch.setenv("SWEEP_STORAGE", database)
    program = OnDatabase(tmp_path, database)
    yield program
    program.check_nothing_left()


def test_a_killed_sweep_goes_on_and_the_commands_know_it(program: OnDatabase) -> None:
    command = (*SIX, "hydra.sweep.dir=mlruns/studies/s", "hydra.sweeper.storage=${oc.env:SWEEP_STORAGE}", "seconds=3")
    process = program.start(*command)
    program.until(lambda states: states.get("COMPLETE", 0) >= 1 and "RUNNING" in states)
    root, far = program.folder, program.folder / "far"
    seen = json.loads(sweep(root, "status", "s", "--json", PGPASSWORD="secret"))["counts"]
    assert 1 <= seen["RUNNING"] <= 2, seen
    assert "which process" in sweep(root, "delete", "s", "--yes", status=2, PGPASSWORD="secret")
    process.kill()
    process.communicate()
    output = program.run(*command)
    assert "6/6" in output
    trials = program.study.trials
    assert {trial.state.name for trial in trials} == {"COMPLETE", "FAIL"}
    assert sum(trial.state.name == "COMPLETE" for trial in trials) == 6
    assert not (root / "mlruns/studies/s/study.journal").exists()
    told = [path for path in (root / "mlruns").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    assert told == [], "the password is in no file"
    for status in (["status"], ["status", "s"]):
        assert "6/6" in sweep(far, *status, "--storage", program.url)
        assert "6/6" in sweep(far, *status, SWEEP_STORAGE=program.url)
        assert "6/6" in sweep(root, *status, PGPASSWORD="secret")
    sweep(far, "stop", "s", "--storage", program.url)
    assert program.study.user_attrs["stop"] is True
    assert "not the folders" in sweep(far, "delete", "s", "--yes", "--storage", program.url)
    assert "s" in sweep(root, "delete", "s", "--yes", PGPASSWORD="secret")
    assert not (root / "mlruns/studies/s").exists()


def test_a_password_that_is_typed_is_in_no_file_either(program: OnDatabase) -> None:
    program.run(*SIX, f"hydra.sweeper.storage='{program.url}'", "hydra.sweeper.n_trials=2")
    files = [path for path in (program.folder / "out").rglob("*") if path.is_file()]
    assert any(path.name == "hydra.yaml" for path in files)
    assert [path for path in files if b"secret" in path.read_bytes()] == []
