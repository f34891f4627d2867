import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.engine.errors import UserError
from sweep.tracking.addition import add_to_study
from sweep.tracking.files import add_files
from sweep.tracking.runs import StudyRun, status
from sweep.tracking.store import Store, absolute, client, open_store, server_command, server_environment

OPEN = """
import sys
import time
from pathlib import Path
from sweep.tracking.store import open_store
print(open_store(sys.argv[1], "sweep", Path(sys.argv[2])).experiment_id)
"""


def test_three_processes_open_a_fresh_store_at_once(tmp_path):
    uri, artifacts = f"sqlite:///{tmp_path}/m/mlflow.db", tmp_path / "m" / "artifacts"
    command = [sys.executable, "-W", "ignore", "-c", OPEN, uri, str(artifacts)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert {out for out, _ in answers} == {"1\n"}
    assert [err for _, err in answers] == ["", "", ""]  # no chatter of alembic's
    assert [e.name for e in client(uri).search_experiments()] == ["sweep", "Default"]


def test_a_store_that_was_killed_while_it_was_made_is_made_again(tmp_path):
    uri, artifacts = f"sqlite:///{tmp_path}/m/mlflow.db", tmp_path / "m" / "artifacts"
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", OPEN, uri, str(artifacts)])
    making = tmp_path / "m" / "mlflow.db.making"
    while not (making.exists() and making.stat().st_size > 100_000):  # some of its tables are there
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert making.exists()
    assert open_store(uri, "sweep", artifacts).experiment_id == "1"
    assert not list(tmp_path.glob("m/*.making*"))


def test_a_store_that_is_gone_is_not_made_anew(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(UserError, match="which is gone"):
        client(uri)
    run = StudyRun(Store(uri, "sweep", "1"), "a-run", "quick", "id-1")
    with pytest.raises(UserError, match="which is gone"):
        status(run)
    with pytest.raises(UserError, match="which is gone"):
        add_files(uri, "a-run", [])
    assert not add_to_study(run, "Confirmed", "text", {}, [])
    assert list(tmp_path.iterdir()) == []


def test_a_local_store_is_absolute_and_reads_while_it_writes(tmp_path, monkeypatch):
    folder = tmp_path / "a place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    store = open_store("sqlite:///mlruns/mlflow.db", "sweep", Path("mlruns/artifacts"))
    assert store.uri == f"sqlite:///{folder}/mlruns/mlflow.db"
    location = client(store.uri).get_experiment(store.experiment_id).artifact_location
    assert location == f"{folder}/mlruns/artifacts/{store.experiment_id}"
    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    for _ in range(2):  # the engine is shared by all clients of a process
        engine = client(store.uri)._tracking_client.store.engine
        with engine.connect() as ours:
            assert ours.exec_driver_sql("PRAGMA synchronous").scalar() == 1, "NORMAL"
    connection.close()
    assert sorted(path.name for path in folder.iterdir()) == ["mlruns"]  # nothing beside it


def test_opening_again_finds_the_same_experiment(open_experiment):
    first, other = open_experiment("one"), open_experiment("two")
    assert open_experiment("one") == first
    assert other.experiment_id != first.experiment_id


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "sqlite://", "sqlite:///", "sqlite:///:memory:", ""])
def test_a_store_that_processes_cannot_share_is_refused(uri, tmp_path):
    with pytest.raises(UserError, match=r"tracking.uri: got .*, allowed is sqlite:///PATH"):
        open_store(uri, "sweep", tmp_path / "artifacts")
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_an_error_that_names_it(tmp_path):
    (tmp_path / "mlruns").write_text("not a folder")
    with pytest.raises(UserError, match=r"tracking.uri: got .*mlruns"):
        open_store(f"sqlite:///{tmp_path}/mlruns/mlflow.db", "sweep", tmp_path / "mlruns" / "artifacts")


def test_the_tables_of_an_older_mlflow_are_left_alone(tmp_path):
    uri, artifacts = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts"
    open_store(uri, "sweep", artifacts)
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    connection.execute("UPDATE alembic_version SET version_num = '5b0e9adcef9c'")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match=f"an older MLflow, .*; `mlflow db upgrade {uri}` makes them so"):
        open_store(uri, "sweep", artifacts)


def test_something_else_than_a_database_is_an_error(tmp_path):
    (tmp_path / "mlflow.db").write_text("a text, and a long one at that: " * 50)
    with pytest.raises(UserError, match=r"tracking.uri: got .*not a database"):
        open_store(f"sqlite:///{tmp_path}/mlflow.db", "sweep", tmp_path / "artifacts")


def test_a_server_that_does_not_answer_is_an_error_without_its_password(tmp_path, unused_port):
    with pytest.raises(UserError, match="an MLflow server that answers") as error:
        open_store(f"http://me:secret@127.0.0.1:{unused_port}", "sweep", tmp_path)
    assert "secret" not in str(error.value)


def test_a_deleted_experiment_is_an_error(open_experiment):
    store = open_experiment("deleted")
    client(store.uri).delete_experiment(store.experiment_id)
    with pytest.raises(UserError, match=r"tracking.experiment: got 'deleted', which was deleted"):
        open_experiment("deleted")


def test_the_server_is_for_this_machine_alone(tmp_path):
    command = server_command(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts", 5001)
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "mlflow.db" not in " ".join(command), "others can read what runs on a machine"
    environment = server_environment(f"sqlite:///{tmp_path}/mlflow.db")
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(UserError, match="has its own UI"):
        server_command("http://me:secret@host", tmp_path, 5001)


@pytest.mark.parametrize("uri", ["postgresql://u@h/d", "mysql+pymysql://h/d", "http://h:5000", "https://h/path"])
def test_other_addresses_stay_as_they_are(uri):
    assert absolute(uri) == uri


def test_nothing_heavy_is_loaded_before_a_store_is_opened():
    rooms = "store runs single tracker writer params spool page server"
    lines = [f"import sweep.tracking.{room}" for room in rooms.split()]
    lines += [f"import sweep.results.{file}" for file in ("leaderboard", "progress", "export")]
    lines += ["import sys", "assert not {'mlflow', 'tensorflow', 'keras'} & set(sys.modules)"]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_a_store_travels(open_experiment):
    import pickle

    store = open_experiment("travels")
    assert pickle.loads(pickle.dumps(store)) == store
    assert isinstance(store, Store)
