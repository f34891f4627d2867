"""A checkpoint: everything from which a training run that was killed goes on as if nothing had happened.

One file in the run's output folder, replaced as a whole: a kill in the middle of writing leaves the one before.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

FILE = "checkpoint.npz"

_FRESH = f".{FILE}"
"""What is being written: left behind by a kill in the middle of it."""

_DECIDES = ["data", "model", "optimizer", "schedule", "train", "evaluation", "objective", "seed"]
_DOES_NOT = ("train.checkpoint_every", "train.resume", "train.threads")


class Unreadable(Exception):  # noqa: N818 - it says what the file is
    """A file that is not there, or is no checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run after a step.

    Attributes:
        step: how many steps were made.
        arrays: values of variables by what they belong to, in the order of the variables.
        progress: what the validations so far have come to; anything JSON can say.
        config: what decides the course of training (see `deciding`).
    """

    step: int
    arrays: Mapping[str, Sequence[NDArray[Any]]]
    progress: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Writes the file of `folder`."""
        words = {"step": self.step, "progress": self.progress, "config": self.config}
        content = {f"{group}/{i}": array for group, arrays in self.arrays.items() for i, array in enumerate(arrays)}
        content["words"] = np.frombuffer(json.dumps(words).encode(), np.uint8)
        fresh = folder / _FRESH
        with fresh.open("wb") as file:
            np.savez(file, allow_pickle=False, **content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Reads the file of `folder`.

        Raises:
            Unreadable: if there is none, or it is no checkpoint.
        """
        try:
            with (folder / FILE).open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as content:
                words = json.loads(content["words"].tobytes())
                arrays: dict[str, list[NDArray[Any]]] = {}
                for name in content.files:  # in the order in which they were written
                    if name != "words":
                        arrays.setdefault(name.rpartition("/")[0], []).append(content[name])
            return cls(words["step"], arrays, words["progress"], words["config"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise Unreadable(str(error)) from error


def deciding(config: DictConfig) -> dict[str, Any]:
    """The values that decide the course of training, by key: with the same ones a checkpoint can be gone on from."""
    flat: dict[str, Any] = {}

    def walk(node: Any, key: str) -> None:
        if isinstance(node, dict):
            for name, value in node.items():
                walk(value, f"{key}.{name}" if key else name)
        elif key not in _DOES_NOT:
            flat[key] = node

    plain = OmegaConf.to_container(OmegaConf.masked_copy(config, _DECIDES), resolve=True, enum_to_str=True)
    walk(plain, "")
    return flat


def differing(checkpoint: Checkpoint, config: DictConfig) -> list[str]:
    """The keys whose values in `config` are not those that the checkpoint was made with."""
    now = json.loads(json.dumps(deciding(config)))
    return sorted(key for key in {*now, *checkpoint.config} if now.get(key, ...) != checkpoint.config.get(key, ...))


def named(config: DictConfig) -> Checkpoint:
    """The checkpoint in the folder that `train.resume` names.

    Raises:
        ValueError: if there is none, or it is of another configuration.
    """
    folder = str(config.train.resume)
    try:
        checkpoint = Checkpoint.load(Path(folder))
    except Unreadable as error:
        raise ValueError(f"train.resume: got {folder}, allowed is a folder with a {FILE}") from error
    if keys := differing(checkpoint, config):
        raise ValueError(
            f"train.resume: got {folder}, made with other values of {', '.join(keys)}, "
            "allowed is a checkpoint of the same configuration"
        )
    return checkpoint


def remove(folder: Path | None) -> None:
    """Removes the checkpoint of a run that has come to its end, if it has one."""
    if folder is not None:
        for name in (FILE, _FRESH):
            (folder / name).unlink(missing_ok=True)
