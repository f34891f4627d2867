"""What a trial is run with: the commit of its program, versions, processors. The same give the same number."""

from __future__ import annotations

from sweep.tracking.environment import environment

MADE_WITH = "made_with"
"""Trial attribute: what `made_with` gave."""

PACKAGES = ("sweep", "tensorflow", "keras", "numpy", "optuna")
"""Whose versions are kept, as far as they are installed."""


def made_with(commit: str | None) -> dict[str, str]:
    """What this process runs a task with, by what people call it; what cannot be found out is left out.

    Args:
        commit: of the task's source: see `sweep.tracking.source.Source.state`.
    """
    here = environment()
    found = {
        "commit": commit,
        "python": here["python"],
        "processor": here["cpu"],
        "GPU": ", ".join(here["gpus"]),
    }
    found |= {name: here["packages"].get(name) for name in PACKAGES}
    return {name: value for name, value in found.items() if value}
