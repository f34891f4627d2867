"""The MLflow store: database and experiment, made exactly once, and the clients that write to it.

Nothing here imports mlflow before a store is opened: that costs seconds which only those who track should pay.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.engine.address import DRIVER, TRACKING, TRACKING_TOO, keep, with_password
from sweep.engine.errors import UserError
from sweep.engine.redact import learn, redact

REQUEST_SECONDS = 20
"""How long one request to a tracking server may take, unless MLFLOW_HTTP_REQUEST_TIMEOUT says otherwise."""

ALLOWED_URIS = "sqlite:///PATH, the URL of another database (postgresql://…) or of an MLflow server (http://…)"

shown = redact
"""A text as it may be shown."""

_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""The tag by which MLflow's UI shows an experiment's runs and charts, not traces of language models."""

_SQLITE = "sqlite:///"
_AWAY = {401, 403, 408, 429, 499}  # with all of 500 and above: worth another try


@dataclass(frozen=True)
class Store:
    """An experiment of a store that exists. Travels between processes and machines.

    Attributes:
        uri: MLflow's tracking URI, absolute, without its password: `client` and `full` find that in the environment.
        experiment: the experiment's name.
        experiment_id: its id in this store.
    """

    uri: str
    experiment: str
    experiment_id: str


def open_store(uri: str, experiment: str, artifacts: Path) -> Store:
    """Opens a store, and makes its database and experiment if they are not there.

    Any number of processes may do so at once; those of one machine wait for each other.

    Args:
        uri: any tracking URI of MLflow's but a folder; a relative SQLite path starts at the current directory. If it
            has a password, that is kept in this process's environment.
        experiment: name of the experiment.
        artifacts: where a database without a server keeps its files; a server has its own place.

    Raises:
        UserError: if the store cannot be opened or does not answer, its tables are another MLflow's, or the experiment
            was deleted.
    """
    uri = keep(absolute(uri), TRACKING)
    if not uri.startswith(("http://", "https://")):
        return _open_database(uri, experiment, artifacts.absolute())
    with answering(uri, "an MLflow server that answers"):
        return Store(uri, experiment, _experiment_id(client(uri), experiment, _KIND))


def _open_database(uri: str, experiment: str, artifacts: Path) -> Store:
    path = _file(uri)
    with answering(uri, ALLOWED_URIS), _made_of_files(uri):
        from sweep.tracking.database import alone_with, reach

        if path is None:  # one that is away leaves no folder behind
            reach(full(uri))
        artifacts.mkdir(parents=True, exist_ok=True)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        lock = artifacts.parent / "mlflow.lock" if path is None else path.with_name(path.name + ".lock")
        load_mlflow()
        with _only_one(lock):
            if path is not None:
                _make_tables(path, artifacts)
                _use_wal(path)
            from mlflow.entities import ExperimentTag
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            # Made here rather than by a client, so that every artifact location derives from `artifacts`.
            tags = [ExperimentTag(*tag) for tag in _KIND.items()]
            with alone_with(full(uri)):
                store = SqlAlchemyStore(full(uri), str(artifacts))
                return Store(uri, experiment, _experiment_id(store, experiment, tags))


@contextmanager
def _made_of_files(uri: str) -> Iterator[None]:
    """Turns what a file system says against a database, or a missing driver, into the UserError that says so."""
    try:
        yield
    except ImportError as error:
        raise UserError("tracking.uri", f"{shown(uri)} ({error})", DRIVER) from error
    except (OSError, sqlite3.Error) as error:
        raise UserError("tracking.uri", f"{shown(uri)} ({error})", "a place where files can be made") from error


def _experiment_id(api: Any, name: str, tags: Any) -> str:
    """Finds or makes an experiment through `api`, a client or a store of MLflow's, with tags as that takes them."""
    from mlflow.exceptions import MlflowException

    found = api.get_experiment_by_name(name)
    if found is None:
        try:
            return str(api.create_experiment(name, tags=tags))
        except MlflowException:  # another machine was faster
            found = api.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise UserError("tracking.experiment", f"{name!r}, which was deleted", "another name, or restore it")
    return str(found.experiment_id)


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Lets one process of this machine in at a time; the kernel takes the lock back from a process that was killed."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_tables(path: Path, artifacts: Path) -> None:
    """Makes a new database beside its place and moves it there: MLflow never mends one that is half made."""
    if path.exists() and path.stat().st_size:
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    making = path.with_name(f"{path.name}.making")
    for left in path.parent.glob(f"{making.name}*"):  # by a process that was killed
        left.unlink()
    SqlAlchemyStore(f"{_SQLITE}{making}", str(artifacts)).engine.dispose()
    making.replace(path)


def _use_wal(path: Path) -> None:
    """Lets readers and a writer work at once, and nearly halves the time of a write. The file remembers it."""
    connection = sqlite3.connect(path, timeout=REQUEST_SECONDS)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def load_mlflow() -> Any:
    """Imports mlflow (2 to 5 s), without telemetry, chatter, or retries of its own, and returns it."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow import environment_variables as settings

    # Defaults of this process alone: variables would reach a trial's process, where the user's task may use MLflow.
    # A request that is sent again below us could create a run twice, and would hold the writer up for minutes.
    settings.MLFLOW_HTTP_REQUEST_MAX_RETRIES.default = 0
    settings.MLFLOW_HTTP_REQUEST_TIMEOUT.default = REQUEST_SECONDS
    settings.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.default = True
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # logs a traceback of what it then raises
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return mlflow


def client(uri: str) -> Any:
    """An MlflowClient of a store that is there, independent of MLflow's global state and of MLFLOW_RUN_ID. It redacts.

    Raises:
        UserError: if the store is a SQLite file that is gone, which MLflow would make anew.
    """
    check_there(uri)
    load_mlflow()
    if not uri.startswith(("http://", "https://")):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = 0  # it would try for 100 s to reach a database; whoever calls tries again
    from sweep.tracking.redacting import RedactingClient

    api = RedactingClient(full(uri), full(uri))
    if uri.startswith(_SQLITE):
        _commit_sooner(api)
    return api


def _commit_sooner(api: Any) -> None:
    """Leaves it to the operating system when what is committed to a SQLite file reaches the disk.

    In WAL mode that is safe: a kill loses nothing, and a loss of power at most the last commits. On a busy machine it
    saves a quarter of the time of a write, and as much of what trials wait for their agents.
    """
    from sqlalchemy import event

    engine = api._tracking_client.store.engine
    if not event.contains(engine, "connect", _commit_without_sync):
        event.listen(engine, "connect", _commit_without_sync)
        engine.dispose()


def _commit_without_sync(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL").close()


def is_gone(uri: str) -> bool:
    """Whether a store is a SQLite file that is not there: to ask MLflow about it would make it."""
    path = _file(uri)
    return path is not None and not path.exists()


def check_there(uri: str) -> None:
    """Raises UserError if a store is a SQLite file that is gone."""
    if is_gone(uri):
        raise UserError("tracking.uri", f"{shown(uri)}, which is gone", "the store that the runs are in")


def _file(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other store."""
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]) if uri.startswith(_SQLITE) else None


def full(uri: str) -> str:
    """A tracking URI with its password, if the environment has that: for MLflow alone, never to be written or sent."""
    uri = with_password(uri, TRACKING, TRACKING_TOO)
    learn(uri)
    return uri


def is_away(error: Exception) -> bool:
    """Whether the store did not answer, or not properly: the same call may work later."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    if isinstance(error, MlflowException):
        status = int(error.get_http_status_code())
        return status in _AWAY or status >= 500
    if isinstance(error, OperationalError):  # a database, before MLflow has reached it once
        return True
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError | IsADirectoryError)


@contextmanager
def answering(uri: str, allowed: str = "an MLflow store that answers") -> Iterator[None]:
    """Turns whatever a store raises in a `with` block into the UserError that says so."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError("tracking.uri", f"{shown(uri)} ({reason(error)})", allowed) from error


def reason(error: BaseException) -> str:
    """An error of MLflow's in one line, without passwords; if no connection came about, why not."""
    root: Any = error
    while (cause := root.__cause__ or root.__context__) is not None:
        root = cause
    silence = root.strerror if isinstance(root, OSError) and root.filename is None else None
    words = silence or str(error)
    lines = words.strip().splitlines() or [type(error).__name__]
    return shown(lines[0])[:300]


def absolute(uri: str) -> str:
    """A tracking URI that means the same from every directory.

    Raises:
        UserError: if it is of a kind that MLflow no longer has or that processes cannot share.
    """
    if uri.startswith(_SQLITE):
        path, _, options = uri.removeprefix(_SQLITE).partition("?")
        if path and not path.startswith((":memory:", "file:")):
            return f"{_SQLITE}{Path(path).absolute()}" + (f"?{options}" if options else "")
    elif re.match(r"(?!file:|sqlite:)[\w+]+://", uri):
        return uri
    raise UserError("tracking.uri", shown(uri), ALLOWED_URIS)


def server_command(uri: str, artifacts: Path, port: int) -> list[str]:
    """The command that serves MLflow's UI of a store on this machine, for this machine alone.

    It names no store: every user of a machine can read what was typed on it. `server_environment` does.

    Raises:
        UserError: if the store is behind a server already.
    """
    uri = absolute(uri)
    if uri.startswith(("http://", "https://")):
        raise UserError("tracking.uri", f"{shown(uri)}, a server that has its own UI", "a database to be served")
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--artifacts-destination", str(artifacts.absolute())),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
    ]


def server_environment(uri: str) -> Mapping[str, str]:
    """The environment in which to run `server_command` of the same store."""
    return {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": full(absolute(uri)),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Jobs are for judging language models: ten processes and 10 s that a sweep has no use for.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
