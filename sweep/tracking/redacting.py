"""MLflow's client, with nothing secret in what it sends: params, tags, names, descriptions, datasets, and text files.

Imports mlflow, which takes seconds: `sweep.tracking.store.client` makes one.
"""

from __future__ import annotations

import functools
import inspect
import posixpath
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities._mlflow_object import _MlflowObject

from sweep.engine.redact import redact, redacted

TEXTS = {
    "create_run": ("tags", "run_name"),
    "update_run": ("name",),
    "log_batch": ("params", "tags"),
    "log_param": ("value",),
    "set_tag": ("value",),
    "log_inputs": ("datasets",),
    "create_registered_model": ("tags", "description"),
    "update_registered_model": ("description",),
    "set_registered_model_tag": ("value",),
    "create_model_version": ("tags", "description"),
    "update_model_version": ("description",),
    "set_model_version_tag": ("value",),
}
"""The calls that write texts, and the arguments that are shown to people. Ids and paths stay as they are."""

_PART = 1 << 20
"""Characters of a file that are looked at together, up to the end of a line."""


class RedactingClient(MlflowClient):  # type: ignore[misc]
    """MLflow's client; its calls in `TEXTS` redact, and so do those that send files, as MLflow sends texts too."""

    def log_artifact(self, run_id: str, local_path: str | Path, artifact_path: str | None = None) -> None:
        """Sends a file, or a folder; of a text, a redacted copy."""
        path = Path(local_path)
        if path.is_dir():
            self.log_artifacts(run_id, str(path), posixpath.join(artifact_path or "", path.name))
            return
        with without_secrets(path) as clean:
            super().log_artifact(run_id, str(clean), artifact_path)

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        """Sends all files of a folder."""
        for path in sorted(Path(local_dir).rglob("*")):
            if path.is_file():
                folder = Path(artifact_path or "", path.parent.relative_to(local_dir)).as_posix()
                self.log_artifact(run_id, path, None if folder == "." else folder)


@contextmanager
def without_secrets(path: Path) -> Iterator[Path]:
    """A file, or, for the length of a `with` block, a redacted copy of it that has the same name.

    What has a zero byte near its beginning is not text, and stays as it is.
    """
    with path.open("rb") as file:
        binary = b"\0" in file.read(8192)
    if binary or all(part == redact(part) for part in _parts(path)):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        with copy.open("w", encoding="utf-8", errors="surrogateescape", newline="") as target:
            target.writelines(map(redact, _parts(path)))
        yield copy


def _parts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        while lines := file.readlines(_PART):
            yield "".join(lines)


def _redacting(call: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    signature = inspect.signature(call)

    @functools.wraps(call)
    def redacting(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.arguments.update({name: _clean(given.arguments[name]) for name in names if name in given.arguments})
        return call(*given.args, **given.kwargs)

    return redacting


def _clean(value: Any) -> Any:
    """Redacts plain values, and MLflow's own objects, such as a param, but for their keys."""
    if isinstance(value, _MlflowObject):
        return type(value)(**{name: inner if name == "key" else _clean(inner) for name, inner in value})
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return redacted(value)


for _name, _arguments in TEXTS.items():
    setattr(RedactingClient, _name, _redacting(getattr(MlflowClient, _name), _arguments))
