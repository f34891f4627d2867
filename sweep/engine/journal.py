"""The journal: a study as a file on one machine, which neither a kill nor a full disk can cost."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from hydra.errors import CompactHydraException
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from sweep.engine.torn import cut_torn_line


class Unwritable(CompactHydraException):
    """The journal cannot be written, as when its disk is full. What was written before is all there."""


class _Lock(JournalFileOpenLock):
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


class _Backend(JournalFileBackend):
    """Optuna's backend, whose failure to write is told to the user."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:  # what was begun is cut by whoever has the lock next
            raise Unwritable(
                f"The study's journal cannot be written: {self._file_path} ({error.strerror}). "
                "Nothing that was in it is lost: free some space, and the same command goes on"
            ) from error


def open_journal(path: Path) -> JournalStorage:
    """Opens a journal, and makes it if it is not there.

    Raises:
        Unwritable: if it cannot be made, and from every later call that cannot write it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(_Backend(str(path), lock_obj=_Lock(str(path))))
    except OSError as error:
        raise Unwritable(f"The study's journal cannot be opened: {path} ({error.strerror})") from error
