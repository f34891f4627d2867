"""Addresses of stores, and the passwords in them: a password travels in the environment, and nowhere else.

What is written, sent to another machine or told to Hydra is an address without its password. Whoever opens it finds the
password again in the variable that names the same address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

STORAGE = "SWEEP_STORAGE"
"""The environment variable that names the database of the studies that have none of their own, with its password."""

TRACKING = "SWEEP_TRACKING"
"""The environment variable that has the address of MLflow's store, if there is a password in it."""

TRACKING_TOO = "MLFLOW_TRACKING_URI"
"""MLflow's own variable for it. It is read but never set: a task that uses MLflow itself would follow it."""

DRIVER = "a database whose driver is installed; PostgreSQL's comes with `pip install 'sweep[postgres]'`"
"""What is allowed where a database cannot be opened for want of a package."""

_FILES = ("journal://", "sqlite:///", "sqlite+pysqlite:///")

_URI = re.compile(r"[^\s\"'<>{}\\`]*")
"""What an address in a text can be made of, from `://` on; any other character is written with a percent sign."""

_AUTHORITY = re.compile(r"[^/?#]*")

_LOGIN = re.compile(r"(?:([^:/@]*):[^@]*|([^:/]*):[^/@]*)@(?:[^/@]*@)*")
"""A name with a password, as SQLAlchemy reads them: the password may have a slash in it."""

_SECRET = r"[\w-]*(?:password|passwd|pwd|passphrase|token|secret|signature|credential|(?:api|access)[_-]?key)|key|sig"
_SECRET_PAIR = re.compile(rf"(?<=[?&;])({_SECRET}|odbc_connect)=([^\s\"'<>\\`&#;]+)", re.IGNORECASE)


def bare(url: str) -> str:
    """An address without what is secret in it, the same from every directory: `postgresql://me@host/db`."""
    scheme, found, rest = absolute(url).partition("://")
    if not found:
        return "a text that is no URL"
    head, _, query = _without_login(rest, _is_web(scheme), "").partition("?")
    left = "&".join(pair for pair in query.split("&") if not _SECRET_PAIR.match(f"?{pair}", 1))
    return f"{scheme}://{head}" + (f"?{left}" if left else "")


def conceal(text: str, instead: str) -> str:
    """A text with `instead` in the place of everything that is secret in the addresses in it.

    That is a name together with its password, a name alone in a web address, since it may be a token, and the values
    in a query whose names say that they are secret. A name alone in any other address is only a name.
    """
    if "://" in text:
        parts = text.split("://")
        for index in range(1, len(parts)):
            uri = _URI.match(parts[index])
            assert uri is not None  # it matches the empty text, too
            if "@" in uri[0]:
                hidden = _without_login(uri[0], _is_web(parts[index - 1]), f"{instead}@")
                parts[index] = hidden + parts[index][uri.end() :]
        text = "://".join(parts)
    if "=" in text and ("?" in text or "&" in text):
        text = _SECRET_PAIR.sub(lambda found: f"{found[1]}={instead}", text)
    return text


def passwords(url: str) -> Iterator[str]:
    """What is secret in an address, as it is written there and as it is meant."""
    scheme, _, rest = url.partition("://")
    if _is_web(scheme):
        authority = _AUTHORITY.match(rest)
        login, _, _ = authority[0].rpartition("@") if authority else ("", "", "")
        written = [login.partition(":")[2] or login]
    else:
        found = _LOGIN.match(rest)
        written = [found[0].removesuffix("@").partition(":")[2]] if found else []
    written += [value for _, value in _SECRET_PAIR.findall(rest)]
    for text in filter(None, written):
        yield text
        yield unquote(text)


def keep(url: str, variable: str) -> str:
    """Puts an address that has a password into this process's environment, and returns it without."""
    if has_password(url):
        os.environ[variable] = url
    return bare(url) if "://" in url else url


def has_password(url: str) -> bool:
    """Whether there is anything secret in an address."""
    return any(passwords(url))


def with_password(url: str, *variables: str) -> str:
    """The address in one of these variables, password and all, if it is this one but for that; else this one."""
    if not has_password(url):
        for variable in variables:
            known = os.environ.get(variable)
            if known and bare(known) == bare(url):
                return known
    return url


def absolute(url: str) -> str:
    """An address that means the same file, if it is one, from every directory."""
    for scheme in _FILES:
        path = url.removeprefix(scheme)
        if path and path != url and not path.startswith((":memory:", "file:")):
            return f"{scheme}{Path(path).absolute()}"
    return url


def same_database(one: str | None, other: str | None) -> bool:
    """Whether two addresses are of the same database, whoever opens it, and with whatever driver."""
    return bool(one and other) and _place(str(one)) == _place(str(other))


def withhold(text: str) -> str:
    """A text in which the addresses that this process keeps are without their passwords."""
    for variable in (STORAGE, TRACKING):
        known = os.environ.get(variable)
        if known and known in text:
            text = text.replace(known, bare(known))
    return text


def _place(url: str) -> tuple[str, str]:
    scheme, _, rest = bare(url).partition("://")
    return scheme.partition("+")[0], rest.partition("?")[0].rpartition("@")[2]


def _is_web(scheme: str) -> bool:
    return scheme[-5:].lower().endswith(("http", "https"))


def _without_login(rest: str, web: bool, instead: str) -> str:
    """What follows `://`, with `instead` for the login; without an `instead`, a name stays, as it is needed."""
    if web:
        authority = _AUTHORITY.match(rest)
        login, at, host = authority[0].rpartition("@") if authority else ("", "", "")
        return f"{instead}{host}{rest[len(login) + len(at) + len(host) :]}" if at else rest
    found = _LOGIN.match(rest)
    if found is None:
        return rest
    name = found[1] or found[2]
    return (instead or (f"{name}@" if name else "")) + rest[found.end() :]
