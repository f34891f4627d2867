"""What a study's page in MLflow says in words and files: when it begins, while it runs, and at its end."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep.engine.command import Command, pinned
from sweep.engine.placement import share_out
from sweep.engine.redact import redact
from sweep.results.description import About, describe
from sweep.results.trials_csv import trials_csv
from sweep.tracking.provenance import write_provenance

if TYPE_CHECKING:
    from sweep.tracking.page import StudyPage
    from sweep.tracking.source import Source

UPDATE_SECONDS = 15.0
"""How often the description is written anew, at most."""

FOLDER = "about"
"""Where the files are, in the study's own folder."""

LEADERBOARD = "leaderboard.csv"

STATE = "sweep.state"
"""Tag of a study's run: running, finished, stopped, interrupted or failed."""

_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "interrupted": "KILLED", "failed": "FAILED"}
"""MLflow's status of a study's run, by the state that the study ended in."""


class Story:
    """Tells a study's page what there is to say.

    Args:
        study: the study; an object that no other thread uses while `update` runs.
        page: its page.
        command: what the sweeper was started with.
        config: the study's composed configuration, Hydra's node included.
        home: the study's folder.

    Attributes:
        page: see above.
    """

    def __init__(self, study: optuna.Study, page: StudyPage, command: Command, config: DictConfig, home: Path) -> None:
        self.page = page
        self._study, self._command, self._config = study, command, config
        self._folder = home / FOLDER
        self._about = About(_purpose(config), command.again(pinned(config, study.study_name)), command.folder)
        self._said, self._when = "", -math.inf

    def begin(self, source: Source | None) -> None:
        """Writes what is known from the start: configuration, environment, and the source that trials are run from."""
        sweeper = self._config.hydra.sweeper
        cores = share_out(sorted(os.sched_getaffinity(0)), sweeper.n_jobs)
        files = write_provenance(
            self._folder, source, slots=sweeper.n_jobs, threads_per_slot=[len(own) for own in cores]
        )
        self.page.tags(
            {**(source.tags() if source else {}), STATE: "running", "sweep.version": metadata.version("sweep")}
        )
        for file in files:
            self.page.attach(file, "environment")
        for file in self._write_config():
            self.page.attach(file, "config")
        self._describe()

    def update(self) -> None:
        """Writes the description, if there is something new to say and the last time is a while ago."""
        if time.monotonic() - self._when >= UPDATE_SECONDS:
            self._describe()

    def end(self, runs: Mapping[int, str]) -> None:
        """Writes what a study has come to.

        Args:
            runs: the ids of the trials' runs by trial number, as far as they are known.
        """
        path = self._folder / LEADERBOARD
        path.write_text(redact(trials_csv(self._study, runs)), encoding="utf-8")
        self.page.attach(path)
        self._describe()

    def _describe(self) -> None:
        self._when = time.monotonic()
        text = describe(self._study, self._about)
        if text != self._said:
            self._said = text
            self.page.describe(text)

    def _write_config(self) -> list[Path]:
        """The configuration as Hydra composed it, and the overrides that it was composed with."""
        task: Any = OmegaConf.to_container(self._config, resolve=False)
        del task["hydra"]
        files = {"config.yaml": task, "overrides.yaml": list(self._config.hydra.overrides.task)}
        for name, content in files.items():
            text = OmegaConf.to_yaml(OmegaConf.create(content))
            (self._folder / name).write_text(redact(text), encoding="utf-8")
        return [self._folder / name for name in files]


def _purpose(config: DictConfig) -> str:
    """What the study is for, if its configuration says so: another application may mean anything by this key."""
    try:
        purpose = OmegaConf.select(config, "study.description", default="")
    except OmegaConfBaseException:
        return ""
    return purpose if isinstance(purpose, str) else ""


def end_page(page: StudyPage, state: str) -> None:
    """Ends a study's run: it is finished, stopped, interrupted or failed."""
    page.tags({STATE: state})
    page.end(_STATUS[state])
