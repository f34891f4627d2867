"""The command that a program was started with, as one would type it again."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf

from sweep.engine.redact import redact, redacted
from sweep.paths import ROOT_VARIABLE, checkout

COMMAND = "command"
"""Study attribute: what the sweeper that ran it last was started with, as `Command.known` takes it."""

_LINE = 90
"""Characters in a line of a command, if its words allow."""

_OWN = "sweep run"
"""What `sweep.cli` makes of its name."""

_CONFIG_OPTIONS = {"config_path": "--config-path", "config_name": "--config-name", "config_dir": "--config-dir"}
"""Those of Hydra's options that say which configuration is composed."""

_LINK = re.compile(r"\$\{(\w[\w.]*)\}")
"""A value that is that of another key, whose place is told from the top, and nothing else."""


@dataclass(frozen=True)
class Command:
    """A command, in words that need no further quoting but the shell's.

    Attributes:
        program: what starts the program.
        arguments: all that was typed after it.
        folder: the current directory, which relative paths start at.
    """

    program: tuple[str, ...]
    arguments: tuple[str, ...]
    folder: str

    @classmethod
    def this(cls) -> Command:
        """The command that this process was started with."""
        return cls(tuple(_program()), tuple(redacted(sys.argv[1:])), str(Path.cwd()))

    @classmethod
    def known(cls, plain: Mapping[str, Any] | None) -> Command | None:
        """A command that was kept as plain values, which are its attributes by name; None if these are none."""
        if plain is None or plain.keys() != {field.name for field in fields(cls)}:
            return None
        return cls(tuple(plain["program"]), tuple(plain["arguments"]), plain["folder"])

    def plain(self) -> dict[str, Any]:
        """It as plain values, in which there is no password."""
        return asdict(self)

    @property
    def is_own(self) -> bool:
        """Whether it is this package's own `sweep run`."""
        return self.program[0] == "sweep"

    @property
    def options(self) -> Namespace:
        """Its arguments as Hydra reads them."""
        return get_args_parser().parse_args(list(self.arguments))

    def again(self, pinned: Iterable[str] = ()) -> str:
        """The same command, with overrides that keep what would otherwise be another at another time."""
        return _shown([*self.program, *self.arguments, *pinned])

    def single(self, overrides: Iterable[str]) -> str:
        """The command that runs the same program once, with these overrides instead of its own."""
        options = vars(self.options)
        chosen = [word for key, name in _CONFIG_OPTIONS.items() if options[key] for word in (name, options[key])]
        return _shown([*self.program, *chosen, *overrides])

    def trial(self, study: str, number: int, overrides: Iterable[str]) -> list[str]:
        """The commands that run a trial's task again, with its overrides, or by way of a configuration file."""
        commands = [self.single(overrides)]
        if self.is_own:
            name = f"{study}-{number}"
            export = ["export", study, "--trial", str(number), "--name", name]
            words = [[*self.program[:-1], *export], [*self.program, f"+experiment={name}"]]
            commands.append(" && ".join(map(_shown, words)))
        return commands

    def confirm(self, study: str) -> str:
        """The command that confirms a study of this package's own `sweep run`."""
        return _shown([*self.program[:-1], "confirm", study])


def pinned(config: DictConfig, name: str) -> list[str]:
    """Overrides that a study needs in order to be found again by its command, if name or folder are those of a time.

    Args:
        config: the study's composed configuration, in which interpolations stand as they are written.
        name: the study's name.
    """
    written: Any = OmegaConf.to_container(config, resolve=False)
    key, value = _end_of_links(written, "hydra.sweeper.study_name")
    found = [f"{key}={name}"] if value is None or "${now:" in str(value) else []
    key, value = _end_of_links(written, "hydra.sweep.dir")
    return [*found, *([f"{key}={config.hydra.sweep.dir}"] if "${now:" in str(value) else [])]


def _end_of_links(written: Any, key: str) -> tuple[str, Any]:
    """The key that a value comes from, with its value there."""
    value = written
    for part in key.split("."):
        value = value[part]
    link = _LINK.fullmatch(str(value))
    return _end_of_links(written, link[1]) if link else (key, value)


def _shown(words: Iterable[str]) -> str:
    """A command as people see it: in lines that they can read, without the passwords of the URIs in it."""
    lines = [""]
    for word in map(shlex.quote, words):
        if lines[-1] and len(lines[-1]) + len(word) > _LINE:
            lines.append(" ")
        lines[-1] += f" {word}" if lines[-1] else word
    return redact(" \\\n".join(lines))


def _program() -> Sequence[str]:
    name = sys.argv[0]
    if name == _OWN:
        root = os.environ.get(ROOT_VARIABLE)
        moved = root is not None and Path(root) != (checkout() or Path.cwd())
        return ["sweep", *(["--root", str(root)] if moved else []), "run"]
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if module is not None:
        return ["python", "-m", module.name.removesuffix(".__main__")]
    if name.endswith(".py"):
        return ["python", name]
    short = Path(name).name
    return [short if (found := shutil.which(short)) and Path(found).resolve() == Path(name).resolve() else name]
