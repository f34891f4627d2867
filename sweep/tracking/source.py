"""The source that something ran from: git's commit, and what was changed since."""

from __future__ import annotations

import inspect
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SECONDS = 20.0
"""How long git may take."""

_PATCH = 1_000_000
"""Bytes of a patch that are kept."""

_UNTRACKED = 200
"""Untracked files that are named."""


COMMIT = "mlflow.source.git.commit"
"""The tag by which MLflow knows a commit."""

CHANGED = " with changes"
"""What follows a commit if tracked files have changed since."""


@dataclass(frozen=True)
class Source:
    """The state of a git checkout.

    Attributes:
        commit: its full hash.
        branch: the branch's name, or None of a detached HEAD.
        patch: what `git diff HEAD` says; empty if no tracked file has changed.
        untracked: files that git neither tracks nor ignores, and folders of nothing else; only their names are known.
    """

    commit: str
    branch: str | None
    patch: str
    untracked: tuple[str, ...]

    @property
    def state(self) -> str:
        """The commit, and whether that is all."""
        return self.commit + (CHANGED if self.patch else "")

    def tags(self) -> dict[str, str]:
        """MLflow's own tags."""
        return {
            COMMIT: self.commit,
            **({"mlflow.source.git.branch": self.branch} if self.branch else {}),
        }

    def plain(self) -> dict[str, Any]:
        """As JSON has it, without the patch."""
        return {
            "commit": self.commit,
            "branch": self.branch,
            "changed": bool(self.patch),
            "untracked": list(self.untracked),
        }


def source_of(task: Callable[..., Any]) -> Source | None:
    """The state of the checkout that a task's own file is in; None if it is in none.

    What is installed is in none: the checkout around an environment is another's.
    """
    code = getattr(inspect.unwrap(task), "__code__", None)
    file = Path(code.co_filename).absolute() if code else None
    if file is None or not file.is_file() or "site-packages" in file.parts:
        return None
    return source(file.parent)


def source(folder: str | Path) -> Source | None:
    """The state of the checkout that a folder is in; None if it is in none, or there is no git."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    # A plain patch, whatever the configuration of git makes of one for people.
    patch = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv") or ""
    # A folder in a word: that of a study in an application's checkout has thousands of files.
    others = ("--others", "--exclude-standard", "--directory", "--no-empty-directory")
    names = _git(folder, "ls-files", *others, "--full-name", "-z", ":/") or ""
    untracked = [name for name in names.split("\0") if name]
    more = len(untracked) - _UNTRACKED
    return Source(
        commit=commit.strip(),
        branch=branch.strip() if branch else None,
        patch=patch if len(patch) <= _PATCH else f"{patch[:_PATCH]}\n[cut: {len(patch):,} characters]\n",
        untracked=(*untracked[:_UNTRACKED], *([f"and {more} more"] if more > 0 else [])),
    )


def _git(folder: str | Path, *arguments: str) -> str | None:
    """What git says about a folder; None if it cannot."""
    # Variables such as GIT_DIR, which a hook of git's has, would point it to another checkout.
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            env={**variables, "GIT_OPTIONAL_LOCKS": "0"},
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode("utf-8", "replace") if answer.returncode == 0 else None
