"""A database that MLflow is to write to: it answers, its tables are those of this MLflow, and one process makes them.

MLflow itself tries for 100 s to reach a database that is away, brings another MLflow's tables up to its own version
without being asked, which locks that other one out, and fails where two processes make tables at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import sqlalchemy

from sweep.engine.address import bare
from sweep.engine.errors import UserError

ANSWER_SECONDS = 20
"""How long a database may take to answer."""

_LOCK = 0x5357454550  # "SWEEP"
"""The key of PostgreSQL's advisory lock that is held while tables are made or looked at."""


@contextmanager
def alone_with(uri: str) -> Iterator[None]:
    """Lets one process at a time, of any machine, make the tables of a database; those of one SQLite file do not wait.

    Args:
        uri: SQLAlchemy's URL of it, password and all.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if it does not answer.
        UserError: if its tables are another MLflow's, or another program's; they stay as they are.
    """
    with _connected(uri) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        _check_tables(connection, uri)
        connection.commit()  # keeps the lock, which is the session's, and lets others change tables
        yield


def reach(uri: str) -> None:
    """Connects to a database and leaves it as it is.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if it does not answer.
        ImportError: if its driver is not installed.
    """
    _connected(uri).close()


def _connected(uri: str) -> sqlalchemy.Connection:
    url = sqlalchemy.make_url(uri)
    patient = url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query
    patience = {"connect_timeout": ANSWER_SECONDS} if patient else {}
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=patience).connect()


def _check_tables(connection: Any, uri: str) -> None:
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db.utils import _get_alembic_config

    found = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_get_alembic_config(""))
    if found is None or found == scripts.get_current_head():
        return
    try:
        scripts.get_revision(found)
        whose, remedy = (
            "an older MLflow",
            f"; `mlflow db upgrade {bare(uri)}` makes them so for good (back it up first)",
        )
    except CommandError:
        whose, remedy = "a newer MLflow, or of another program", ""
    allowed = f"a database that is empty, or has the tables of MLflow {version('mlflow')}{remedy}"
    raise UserError("tracking.uri", f"{bare(uri)}, which has the tables of {whose}", allowed)
