"""The one redaction: what is secret is taken out of everything that is written, sent or said.

Secret are

- in any text: what is secret in an address by its form (see `sweep.engine.address.conceal`);
- wherever they stand, also percent-encoded or escaped: the passwords of the addresses that this process was given, as
  an argument or in any environment variable, and the values of environment variables whose names say that they are
  secret (`MLFLOW_TRACKING_TOKEN`, `PGPASSWORD`, `AWS_SECRET_ACCESS_KEY`), as the environment is at that moment.

What is shorter than six characters is not looked for by itself: a text without it would be no text any more. What reads
like a word or a number (`postgres`, `123456`) is looked for only where it stands as a word of its own. Names of keys,
metrics and files are not looked at, and neither is what is not text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

from sweep.engine.address import conceal, passwords

HIDDEN = "***"
"""What stands where something secret was."""

SHORTEST = 6
"""Characters of the shortest secret that is looked for by itself."""

_SAYS_SECRET = re.compile(
    r"PASSW(?:OR)?D|PASSPHRASE|SECRET|CREDENTIAL|CONNECTION_STRING|TOKEN(?![A-Z])"
    r"|(?:^|_)(?:API|ACCESS)?KEY(?:_|$)|(?:^|_)(?:PASS|PAT)$"
)
"""What the name of an environment variable has in it, in capitals, if its value is secret. TOKENIZERS_… is not."""

_ADDRESS = re.compile(r"[\w+.-]+://")

_WORD = 16
"""Letters alone, or digits alone, are a word or a number if they are fewer."""


class _Known(NamedTuple):
    """What is looked for: the texts, and one expression of all of them."""

    texts: tuple[str, ...]
    expression: re.Pattern[str]


_given: set[str] = set()
_environment: dict[Any, Any] = {}
_known = _Known((), re.compile(r"(?!)"))


def redact(text: str) -> str:
    """The text, with `***` in the place of what is secret in it. Doing it again changes nothing."""
    text = conceal(text, HIDDEN)
    known = _up_to_date()
    for secret in known.texts:
        if secret in text:
            return known.expression.sub(HIDDEN, text)
    return text


def redacted(value: Any, but: Container[str] = ()) -> Any:
    """Plain values, however nested, with every text redacted.

    A mapping's value under the name of a secret variable is hidden whatever it is: somebody has noted the environment.

    Args:
        value: texts, numbers, sequences and mappings.
        but: keys of a mapping whose values stay as they are, such as paths that will be opened.
    """
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: inner if key in but else _redacted_under(key, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redacted(inner) for inner in value)
    return value


def learn(address: str) -> None:
    """Takes note of an address, whose password is secret from now on."""
    global _environment
    secret = set(passwords(address))
    if not secret <= _given:
        _given.update(secret)
        _environment = {}


def _up_to_date() -> _Known:
    """What is looked for, as the environment is now: a task may load its secrets into it."""
    global _environment, _known
    now = os.environ._data  # type: ignore[attr-defined]  # to compare it takes 1 us, to decode it 20
    if now != _environment:
        seen = dict(now)
        _known = _gathered([*_given, *_secrets_of({os.fsdecode(key): os.fsdecode(seen[key]) for key in seen})])
        _environment = seen  # last: another thread may be here too
    return _known


def _secrets_of(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if _says_secret(name.upper()):
            if not _is_place(value):  # where a secret is kept is none
                yield from value.splitlines()
        elif "://" in value:
            for address in filter(_ADDRESS.match, value.split()):
                yield from passwords(address)


def _is_place(value: str) -> bool:
    try:
        return value.startswith("/") and Path(value).exists()
    except PermissionError:  # a place, then
        return True
    except OSError:  # too long for one
        return False


def _says_secret(name: Any) -> bool:
    return isinstance(name, str) and name.isupper() and _SAYS_SECRET.search(name) is not None


def _redacted_under(key: Any, value: Any) -> Any:
    hidden = isinstance(value, str) and value and _says_secret(key)
    return HIDDEN if hidden else redacted(value)


def _gathered(secrets: Iterable[str]) -> _Known:
    texts = {form for secret in secrets for form in _forms(secret.strip())}
    longest_first = sorted(texts, key=len, reverse=True)
    expression = "|".join(_expression(text) for text in longest_first) or r"(?!)"
    return _Known(tuple(longest_first), re.compile(expression))


def _forms(secret: str) -> set[str]:
    """A secret as it may be written in an address, in JSON, and in Python; none if it is too short."""
    if len(secret) < SHORTEST:
        return set()
    escaped = (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret))
    return {secret, quote(secret, safe=""), quote_plus(secret), *(text[1:-1] for text in escaped)}


def _expression(text: str) -> str:
    if len(text) < _WORD and (text.isalpha() or text.isdigit()):
        before = r"(?:(?<![\w.])|(?<=\\[ntr]))" if text.isdigit() else r"(?:(?<!\w)|(?<=\\[ntr]))"
        return rf"{before}{re.escape(text)}(?!\w)"
    return re.escape(text)
