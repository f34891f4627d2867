"""Where Optuna keeps a study: a journal file on one machine, a database for many."""

from __future__ import annotations

import fcntl
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from sweep.engine.address import DRIVER, STORAGE, bare, with_password
from sweep.engine.errors import UserError
from sweep.engine.journal import Unwritable, open_journal
from sweep.engine.redact import learn

__all__ = ["Unwritable", "only_one", "open_storage", "recall", "remember"]

JOURNAL = "study.journal"
"""Name of the journal in a study's folder."""

ADDRESS = "study.storage"
"""Name of the file in a study's folder that says where else the study is kept."""

_JOURNAL_SCHEME = "journal://"
_OPENING_SECONDS = (0.1, 0.3, 1.0, 3.0)
"""Pauses before a database, whose tables another process is just making, is opened again."""


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Lets one sweeper of this machine at a time make or resume the study of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "study.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_storage(url: str | None, folder: str | Path, what: str = "hydra.sweeper.storage") -> BaseStorage:
    """Opens a storage. Any number of processes may open a new database at once.

    Args:
        url: a database URL of SQLAlchemy's, `journal:///PATH`, or None for the journal of a study's `folder`. Its
            password, if it is not in it, is that of SWEEP_STORAGE if it names the same database, else the driver's own
            concern (PGPASSWORD, .pgpass).
        folder: the study's folder.
        what: what an error calls the URL.

    Raises:
        UserError: if the database cannot be opened.
        Unwritable: if the journal cannot be.
    """
    if url is None:
        return open_journal(Path(folder, JOURNAL))
    if url.startswith(_JOURNAL_SCHEME):
        return open_journal(Path(url.removeprefix(_JOURNAL_SCHEME)))
    url = with_password(url, STORAGE)
    learn(url)
    try:
        return _open_database(url)
    except (SQLAlchemyError, StorageInternalError, ImportError, ValueError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        allowed = DRIVER if isinstance(error, ImportError) else "the URL of a database that answers"
        raise UserError(what, f"{bare(url)} ({reason})", allowed) from error


def _open_database(url: str) -> BaseStorage:
    for seconds in _OPENING_SECONDS:
        try:
            return _database(url)
        except (IntegrityError, ProgrammingError, StorageInternalError):  # two made the same table
            time.sleep(seconds)
    return _database(url)


def _database(url: str) -> BaseStorage:
    # A connection that was idle while the server restarted is replaced instead of failing a trial.
    storage = RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    weakref.finalize(storage, storage.engine.dispose)  # its connections end with it
    return get_storage(storage)  # with a cache, which all studies that are opened from it share


def remember(folder: Path, url: str | None) -> None:
    """Leaves in a study's folder where the study is kept, without the password."""
    path = Path(folder, ADDRESS)
    if url is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(bare(url) + "\n", encoding="utf-8")


def recall(folder: Path) -> str | None:
    """Where the study of a folder is kept, without the password; None is the journal in it."""
    path = Path(folder, ADDRESS)
    return path.read_text(encoding="utf-8").strip() if path.exists() else None
