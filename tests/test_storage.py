"""Storages: what a killed writer or a full disk leaves is mended, and a study's folder says where it is kept."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from sweep.engine.errors import UserError
from sweep.engine.storage import JOURNAL, Unwritable, open_storage, recall, remember
from sweep.engine.torn import cut_torn_line


def make_study(folder: Path, trials: int) -> None:
    study = optuna.create_study(study_name="s", storage=open_storage(None, folder))
    for _ in range(trials):
        study.ask()


@pytest.mark.parametrize("torn", [b'{"op_code": 5, "tri', b"x" * 10_000])
def test_a_torn_last_line_is_cut_and_nothing_else_lost(tmp_path: Path, torn: bytes) -> None:
    make_study(tmp_path, 3)
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(torn)
    study = optuna.load_study(study_name="s", storage=open_storage(None, tmp_path))
    study.ask()
    reopened = optuna.load_study(study_name="s", storage=open_storage(None, tmp_path))
    assert len(reopened.trials) == 4
    assert (tmp_path / JOURNAL).read_bytes().endswith(b"\n")


@pytest.mark.parametrize(("content", "left"), [(b"", b""), (b"a\n", b"a\n"), (b"a\nb", b"a\n"), (b"ab", b"")])
def test_cutting_keeps_whole_lines(tmp_path: Path, content: bytes, left: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("rb+") as file:
        cut_torn_line(file.fileno())
    assert path.read_bytes() == left


def _hold_lock(folder: Path, holding: "multiprocessing.synchronize.Event") -> None:
    storage = open_storage(None, folder)
    storage._backend._lock.acquire()  # type: ignore[attr-defined]
    holding.set()
    time.sleep(60)


def test_a_lock_dies_with_its_owner(tmp_path: Path) -> None:
    make_study(tmp_path, 1)
    context = multiprocessing.get_context("spawn")
    holding = context.Event()
    owner = context.Process(target=_hold_lock, args=(tmp_path, holding))
    owner.start()
    assert holding.wait(30)
    assert owner.pid is not None
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    optuna.load_study(study_name="s", storage=open_storage(None, tmp_path)).ask()  # Optuna's own lock waits 30 s here
    assert owner.exitcode == -signal.SIGKILL


def _ask(folder: Path, count: int) -> None:
    study = optuna.load_study(study_name="s", storage=open_storage(None, folder))
    for _ in range(count):
        study.ask()


def test_writers_of_several_processes_lose_nothing(tmp_path: Path) -> None:
    make_study(tmp_path, 0)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_ask, args=(tmp_path, 20)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    trials = optuna.load_study(study_name="s", storage=open_storage(None, tmp_path)).trials
    assert [trial.number for trial in trials] == list(range(60))


def test_a_database_that_does_not_open_is_an_error_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        open_storage("postgresql+nodriver://me:secret@nowhere/db", tmp_path)
    assert "hydra.sweeper.storage" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_journal_can_be_named_by_url(tmp_path: Path) -> None:
    optuna.create_study(study_name="s", storage=open_storage(f"journal://{tmp_path}/deep/my.journal", "elsewhere"))
    assert (tmp_path / "deep/my.journal").exists()


FULL = """
import resource, sys
import optuna
from sweep.engine.storage import Unwritable, open_storage
study = optuna.load_study(study_name="s", storage=open_storage(None, sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for count in range(1000):
    try:
        study.ask()
    except Unwritable as error:
        print(count, error)
        break
"""


@pytest.mark.parametrize("room", [600, 700, 801])
def test_a_full_disk_is_said_and_costs_nothing_that_was_written(tmp_path: Path, room: int) -> None:
    make_study(tmp_path, 1)
    journal = tmp_path / JOURNAL
    limit = journal.stat().st_size + room
    command = [sys.executable, "-c", FULL, str(tmp_path), str(limit)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"{journal} (File too large)" in said
    assert "free some space" in said
    assert journal.stat().st_size == limit, "the disk was full in the middle of a line"
    study = optuna.load_study(study_name="s", storage=open_storage(None, tmp_path))
    assert len(study.trials) == 1 + int(said.split()[0])
    study.ask()
    assert journal.read_bytes().endswith(b"\n")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unwritable, match="Not a directory") as error:
        open_storage(None, tmp_path / "file" / "folder")
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("postgresql+psycopg://me:secret@host:5433/db", "postgresql+psycopg://me@host:5433/db"),
        ("postgresql://me@host/db?password=secret&sslmode=require", "postgresql://me@host/db?sslmode=require"),
        ("sqlite:////deep/my.db", "sqlite:////deep/my.db"),
        ("secret", "a text that is no URL"),
    ],
)
def test_a_storage_is_named_without_its_password(tmp_path: Path, url: str, left: str) -> None:
    remember(tmp_path, url)
    assert recall(tmp_path) == left
    assert "secret" not in "".join(path.read_text() for path in tmp_path.iterdir())


@pytest.mark.parametrize(("url", "file"), [("sqlite:///a/my.db", "a/my.db"), ("journal://my.journal", "my.journal")])
def test_a_file_is_remembered_wherever_the_commands_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    remember(tmp_path, url)
    monkeypatch.chdir("/")
    there = recall(tmp_path)
    assert there is not None
    assert there.endswith(f"{tmp_path}/{file}")


def test_a_study_may_come_back_to_its_folder(tmp_path: Path) -> None:
    remember(tmp_path, "postgresql://me:secret@host/db")
    remember(tmp_path, None)
    assert recall(tmp_path) is None
