"""A PostgreSQL server of the tests' own, on a port of its own."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest

NO_DRIVER = "psycopg is not installed, as the extra postgres does"

ACCOUNT = "postgres"
"""Who runs the server where the tests are run by root, which PostgreSQL refuses."""


def missing() -> str | None:
    """Why no server can be started here, if that is so."""
    if _program("initdb") is None:
        return "postgresql is not installed"
    if os.getuid() == 0 and ACCOUNT not in (account.pw_name for account in pwd.getpwall()):
        return f"root cannot run PostgreSQL, and there is no account {ACCOUNT}"
    return NO_DRIVER if importlib.util.find_spec("psycopg") is None else None


def require_driver() -> None:
    """Skips the test, or fails it, where PostgreSQL's driver is not installed."""
    if importlib.util.find_spec("psycopg") is None:
        _absent(NO_DRIVER)


def _absent(reason: str) -> NoReturn:
    if os.environ.get("SWEEP_REQUIRE_SERVICES"):
        pytest.fail(f"{reason}, and SWEEP_REQUIRE_SERVICES wants it")
    pytest.skip(reason)


@contextmanager
def server() -> Iterator[str]:
    """Runs a server for the length of a `with` block; gives the URL of its database, with a password."""
    if reason := missing():
        _absent(reason)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with TemporaryDirectory(prefix="postgres") as folder:
        data, password = Path(folder, "data"), Path(folder, "password")
        password.write_text("secret")
        if os.getuid() == 0:
            for path in (folder, password):
                shutil.chown(path, ACCOUNT)
        _run(folder, "initdb", "-D", data, "-U", "me", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync")
        options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        _run(folder, "pg_ctl", "-D", data, "-o", options, "-l", Path(folder, "log"), "-w", "start")
        try:
            yield f"postgresql+psycopg://me:secret@127.0.0.1:{port}/postgres"
        finally:
            _run(folder, "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def execute(url: str, statement: str) -> None:
    """Executes a statement in a server's own database."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())


def _program(name: str) -> str | None:
    """A program of PostgreSQL's, which Debian keeps off the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, versions)]))


def _run(folder: str, name: str, *arguments: str | Path) -> None:
    program = _program(name)
    assert program is not None
    user = ACCOUNT if os.getuid() == 0 else None
    with Path(folder, f"{name}.log").open("wb") as log:  # not a pipe, which the server would keep open
        result = subprocess.run(
            [program, *arguments], cwd=folder, user=user, stdout=log, stderr=subprocess.STDOUT, check=False, timeout=60
        )
    assert result.returncode == 0, Path(folder, f"{name}.log").read_text()


def rows(url: str) -> Iterator[str]:
    """Every row of every table of a database, as a text."""
    import psycopg
    from psycopg import sql

    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        for (table,) in connection.execute(tables).fetchall():
            for row in connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))):
                yield f"{table}: {row}"
