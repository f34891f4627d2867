"""What Hydra or OmegaConf found wrong, said in our one form, with the nearest right key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig

from sweep.engine.errors import UserError


def explain(error: Exception, config: DictConfig | None) -> UserError:
    """Turns an error of composition into a UserError.

    Args:
        error: Hydra's or OmegaConf's.
        config: a configuration whose keys are right, if there is one.
    """
    if isinstance(error, UserError):
        return error
    text = f"{error}\n{error.__cause__ or ''}"
    keys = _flat_keys(config) if config is not None else []
    if found := re.search(r"Error parsing override '([^=]+)=(.*)'\n(.*)", text):
        reason = found[3].partition(": mismatch")[0]
        if "NoneType is incompatible" in text:
            reason += " (null among choices is written as key=null,1)"
        return UserError(found[1].lstrip("+~"), found[2], f"Hydra's grammar: {reason}")
    if found := re.search(r"Could not (?:override|append to|delete from config\.?) '([^']+)'", text):
        key = found[1]
        return UserError(key, "a key that does not exist", nearest(key, keys))
    if found := re.search(r"Could not find '([^']+)'\n\nAvailable options in '([^']+)':\n((?:\t.*\n?)*)", text):
        options = found[3].split()
        choice = found[1].rpartition("/")[2]
        return UserError(found[2], repr(choice), nearest(choice, options))
    if found := re.search(r"[Kk]ey '([^']+)' (?:is )?not in .*\n\s*full_key: (\S+)", text):
        return UserError(found[2], "a key that does not exist", nearest(found[2], keys))
    if found := re.search(r"Error merging override (.+?)=(.*)\n(.*)", text):
        reason, inside = found[3].rstrip("."), f"{found[1].lstrip('+')}."
        if "is not a subclass of" in reason and (children := [key for key in keys if key.startswith(inside)]):
            return UserError(found[1].lstrip("+"), repr(found[2]), f"one of its keys: {', '.join(children)}")
        wanted = re.search(r"could not be converted to (\w+)|expected one of (\[.*\])", reason)
        allowed = _a(wanted[1]) if wanted and wanted[1] else f"one of {wanted[2]}" if wanted else f"another ({reason})"
        return UserError(found[1].lstrip("+"), repr(found[2]), allowed)
    if found := re.search(r"Ambiguous value for argument '([^=]+)=(.*)'|Sweep parameters '([^=]+)=(.*)'", text):
        key, value = found[1] or found[3], found[2] or found[4]
        return UserError(key, repr(value), "one value; with -m, a search space")
    lines = [line.strip() for line in text.splitlines() if line.strip() and "See https" not in line]
    return UserError("the configuration", "; ".join(lines), "what Hydra can compose")


_KINDS = {"Integer": "an integer", "Float": "a number", "Boolean": "true or false", "String": "a text"}


def _a(kind: str) -> str:
    return _KINDS.get(kind, f"a {kind}")


def nearest(name: str, allowed: Iterable[str]) -> str:
    """What is allowed in place of `name`, the nearest first; all of it if it is little."""
    listed = list(allowed)
    siblings = [key for key in listed if key.rpartition(".")[0] == name.rpartition(".")[0]]
    guess = difflib.get_close_matches(name, listed, n=1, cutoff=0.5)
    others = ", ".join(siblings or listed) if len(siblings or listed) <= 16 else ""
    said = f"one of {others}" if others else "a key of `sweep run --cfg job`"
    return f"{said} (did you mean {guess[0]}?)" if guess else said


def _flat_keys(config: Any, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key in config:
        keys.append(f"{prefix}{key}")
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none():
            keys += _flat_keys(node, f"{prefix}{key}.")
    return keys
