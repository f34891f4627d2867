"""Journals: what a killed writer leaves is mended, and never costs the study."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import optuna
import pytest

from sweep.engine.errors import UserError
from sweep.engine.storage import JOURNAL, cut_torn_line, open_storage


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
