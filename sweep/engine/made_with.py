"""What a trial is run with: the commit of its program, versions, processors. The same give the same number."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweep.tracking.environment import environment
from sweep.tracking.source import source

MADE_WITH = "made_with"
"""Trial attribute: what `made_with` gave."""

CHANGED = " with changes"
"""What follows a commit if tracked files have changed since."""

PACKAGES = ("sweep", "tensorflow", "keras", "numpy", "optuna")
"""Whose versions are kept, as far as they are installed."""


def made_with(task: Callable[..., Any]) -> dict[str, str]:
    """What this process runs a task with, by what people call it; what cannot be found out is left out.

    The commit is that of the checkout that the task's own file is in.
    """
    here = environment()
    found = {
        "commit": _commit(task),
        "python": here["python"],
        "processor": here["cpu"],
        "GPU": ", ".join(here["gpus"]),
    }
    found |= {name: here["packages"].get(name) for name in PACKAGES}
    return {name: value for name, value in found.items() if value}


def _commit(task: Callable[..., Any]) -> str | None:
    code = getattr(inspect.unwrap(task), "__code__", None)
    file = Path(code.co_filename).absolute() if code else None
    if file is None or not file.is_file() or "site-packages" in file.parts:  # the checkout around those is another's
        return None
    checkout = source(file.parent)
    if checkout is None:
        return None
    return checkout.commit + (CHANGED if checkout.patch else "")
