"""MLflow's runs in PostgreSQL."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import postgres
import psutil
import pytest
from application import Application

from sweep.engine.errors import UserError
from sweep.engine.storage import open_storage
from sweep.tracking.store import client, open_store, server_command, server_environment

OPEN = """
import sys
from pathlib import Path
from sweep.tracking.store import open_store
print(open_store(sys.argv[1], "sweep", Path(sys.argv[2])).experiment_id)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture
def database(server: str, request: pytest.FixtureRequest) -> str:
    """The URL of a new database, password and all."""
    name = f"test_{zlib.crc32(request.node.name.encode())}"
    postgres.execute(server, f"CREATE DATABASE {name}")
    return server.removesuffix("postgres") + name


@pytest.fixture(autouse=True)
def _forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the variable back that a store with a password sets."""
    monkeypatch.setenv("SWEEP_TRACKING", "")


def test_three_machines_open_a_fresh_database_at_once(database: str, tmp_path: Path) -> None:
    processes = []
    for machine in ("a", "b", "c"):  # each with folders of its own, and so without locks in common
        (tmp_path / machine).mkdir()
        processes.append(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", OPEN, database, str(tmp_path / machine / "artifacts")],
                env={**os.environ, "TMPDIR": str(tmp_path / machine)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    answers = [process.communicate() for process in processes]
    assert answers == [("1\n", "")] * 3


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_a_study_has_its_runs_there(database: str, tmp_path: Path, scheme: str) -> None:
    uri = database.replace("postgresql+psycopg", scheme)
    program = Application(tmp_path)
    study = ("n=1,2", "x=0,1", "hydra.sweeper.n_trials=3", "hydra.sweeper.study_name=s", "fault=raise")
    program.run(*study, f"hydra.sweeper.tracking.uri='{uri}'", "hydra.sweeper.max_failure_rate=1")
    program.check_nothing_left()
    store = open_store(uri, "sweep", tmp_path / "mlruns" / "artifacts")
    assert store.uri == uri.replace(":secret", "")
    api = client(store.uri)
    runs = api.search_runs([store.experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert (parent.info.status, len(children), len(runs)) == ("FINISHED", 3, 4)
    for child in children:
        failed = child.data.params["n"] == "2"
        assert child.info.status == ("FAILED" if failed else "FINISHED")
        assert failed or child.data.metrics["objective"] == float(child.data.params["x"]) ** 2 + 1
        kept = Path(child.info.artifact_uri)
        assert kept.is_relative_to(tmp_path / "mlruns" / "artifacts")
        assert (kept / "config" / "config.yaml").exists()
        assert (kept / "traceback.txt").exists() == failed


def test_a_database_that_is_away_is_said_at_once(tmp_path: Path, unused_port: int) -> None:
    postgres.require_driver()
    command = [sys.executable, "-c", OPEN, f"postgresql://me:secret@127.0.0.1:{unused_port}/db", str(tmp_path / "a")]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stderr  # MLflow takes 100 s
    assert "tracking.uri: got postgresql://me@127.0.0.1" in said
    assert "Connection refused" in said
    assert ":secret" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_driver_that_is_not_installed_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match=r"PostgreSQL's comes with `pip install 'sweep\[postgres\]'`") as error:
        open_store("postgresql://me:secret@127.0.0.1:1/db", "sweep", tmp_path / "artifacts")
    assert "secret" not in str(error.value)
    with pytest.raises(UserError, match=r"pip install 'sweep\[postgres\]'"):
        open_storage("postgresql+psycopg://me:secret@127.0.0.1:1/db", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_database_is_away_leaves_nothing(tmp_path: Path, unused_port: int) -> None:
    postgres.require_driver()
    command = [sys.executable, "-m", "sweep", "--root", str(tmp_path), "run", "train.max_steps=10"]
    uri = f"tracking.uri=postgresql://me:secret@127.0.0.1:{unused_port}/db"
    job = subprocess.run([*command, uri], capture_output=True, text=True, check=False, timeout=120)
    assert job.returncode == 2
    (line,) = job.stderr.splitlines()
    assert line.startswith("Error: tracking.uri: got postgresql://me@127.0.0.1")
    assert list(tmp_path.iterdir()) == []


def test_the_tables_of_another_mlflow_are_left_alone(database: str, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    open_store(database, "sweep", artifacts)
    older = "5b0e9adcef9c"
    for version, said in ((older, "an older MLflow"), ("feedfeedfeed", "a newer MLflow, or of another program")):
        postgres.execute(database, f"UPDATE alembic_version SET version_num = '{version}'")
        postgres.execute(database, "DROP TABLE IF EXISTS webhooks CASCADE")  # MLflow makes what is missing
        before = sorted(postgres.rows(database))
        with pytest.raises(UserError, match=f"which has the tables of {said}, allowed is a database that") as error:
            open_store(database, "sweep", artifacts)
        assert ("mlflow db upgrade postgresql+psycopg://me@127.0.0.1" in str(error.value)) == (version == older)
        assert sorted(postgres.rows(database)) == before
    assert f"alembic_version: ('{version}',)" in before


def test_the_database_of_optuna_is_not_mlflows(database: str, tmp_path: Path) -> None:
    program = Application(tmp_path)
    both = (f"hydra.sweeper.storage='{database}'", f"hydra.sweeper.tracking.uri='{database.replace('+psycopg', '')}'")
    said = program.run("n=1,2", *both, status=1)
    assert "another database than the study's storage" in said
    assert list(postgres.rows(database)) == []


def test_the_ui_serves_it_and_ps_does_not_show_its_password(database: str, tmp_path: Path, unused_port: int) -> None:
    uri = open_store(database, "seen in the browser", tmp_path / "artifacts").uri
    process = subprocess.Popen(
        server_command(uri, tmp_path / "artifacts", unused_port),
        env=dict(server_environment(uri)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while True:
            assert process.poll() is None
            with (
                suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{unused_port}/health"),
            ):
                break
            time.sleep(0.2)
        api = client(f"http://127.0.0.1:{unused_port}")
        assert "seen in the browser" in [each.name for each in api.search_experiments()]
        everything = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        assert len(everything) > 1
        assert "secret" not in " ".join(" ".join(psutil.Process(pid).cmdline()) for pid in everything)
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        for each in (process, *children):
            each.terminate()
        process.wait(30)
        psutil.wait_procs(children, timeout=30)
