"""Where Optuna keeps a study: a journal file on one machine, a database for many."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from sweep.engine.errors import UserError

JOURNAL = "study.journal"
"""Name of the journal in a study's folder."""


class _JournalLock(JournalFileOpenLock):
    """A lock that dies with its owner, and mends what a dead owner left.

    Optuna's locks are files, which stall everybody for 30 s after their owner was killed; the kernel takes `flock` back
    at once. Whoever holds the lock is the only writer, so an unterminated last line is a dead writer's: left in place,
    it would make the journal unreadable with the next append.
    """

    def __init__(self, journal: str) -> None:
        super().__init__(journal)
        self._journal = journal
        self._descriptor = -1

    def acquire(self) -> bool:
        descriptor = os.open(self._journal + ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with open(self._journal, "rb+") as file:  # noqa: PTH123 - a plain descriptor, thousands of times
                cut_torn_line(file.fileno())
            self._descriptor = descriptor
        except BaseException:  # Ctrl-C: a lock that is kept would block this process for good
            os.close(descriptor)
            raise
        return True

    def release(self) -> None:
        os.close(self._descriptor)  # which unlocks


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Lets one sweeper of this machine at a time make or resume the study of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "study.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cut_torn_line(descriptor: int) -> None:
    """Cuts an unterminated last line off an open journal."""
    end = size = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 4096)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)


def open_storage(url: str | None, folder: str | Path) -> BaseStorage:
    """Opens a storage.

    Args:
        url: a database URL of SQLAlchemy's, `journal:///PATH`, or None for the journal of a study's `folder`.
        folder: the study's folder.

    Raises:
        UserError: if the storage cannot be opened.
    """
    if url is None or url.startswith("journal://"):
        path = Path(folder, JOURNAL) if url is None else Path(url.removeprefix("journal://"))
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=_JournalLock(str(path))))
    try:
        return RDBStorage(url)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        try:
            shown = make_url(url).render_as_string(hide_password=True)
        except SQLAlchemyError:
            shown = "a text that is no URL"
        reason = str(error).splitlines()[0]
        raise UserError("hydra.sweeper.storage", f"{shown} ({reason})", "the URL of a database that answers") from error
