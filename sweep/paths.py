"""Where this project's stores are: the one place that knows, so that no path is joined by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT_VARIABLE = "SWEEP_ROOT"
"""The environment variable that moves the root."""


def checkout() -> Path | None:
    """The checkout that this package runs from, or None if it is installed without one."""
    folder = Path(__file__).resolve().parents[1]
    return folder if (folder / "pyproject.toml").is_file() and (folder / "conf").is_dir() else None


def default_root() -> Path:
    """SWEEP_ROOT, else the checkout, else the current directory."""
    variable = os.environ.get(ROOT_VARIABLE)
    return Path(variable).absolute() if variable else checkout() or Path.cwd()


@dataclass(frozen=True)
class Paths:
    """The stores under a root."""

    root: Path

    @property
    def mlruns(self) -> Path:
        """Everything that runs leave behind."""
        return self.root / "mlruns"

    @property
    def database(self) -> Path:
        """MLflow's database."""
        return self.mlruns / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifacts."""
        return self.mlruns / "artifacts"

    def study(self, name: str) -> Path:
        """The folder of a study."""
        return self.mlruns / "studies" / name

    def studies(self) -> list[str]:
        """The names of all studies that have a folder, oldest first."""
        marks = [path for kind in ("journal", "storage") for path in (self.mlruns / "studies").glob(f"*/study.{kind}")]
        return list(dict.fromkeys(path.parent.name for path in sorted(marks, key=lambda path: path.stat().st_mtime)))
