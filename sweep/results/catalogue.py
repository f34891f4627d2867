"""Which studies there are, and where each is kept: in a folder of this machine, or in a database alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from sweep.engine.address import STORAGE, bare
from sweep.engine.errors import UserError
from sweep.engine.identity import IDENTITY, NAME
from sweep.engine.storage import JOURNAL, open_storage, recall
from sweep.engine.study import load_study
from sweep.engine.works import split
from sweep.paths import Paths


@dataclass(frozen=True)
class Entry:
    """Where a study is kept.

    Attributes:
        name: the study's name.
        home: the folder that its journal, or the address of its storage, is in; None if this machine has none.
        url: its storage; None is the journal.
    """

    name: str
    home: Path | None
    url: str | None

    @property
    def is_sibling(self) -> bool:
        """Whether it is one of the studies beside the study whose home it shares."""
        return split(self.name)[1] is not None and (self.home is None or self.home.name != self.name)

    @property
    def folder(self) -> Path | None:
        """The folder with its trials."""
        kind = split(self.name)[1]
        return self.home / kind if self.home and kind and self.is_sibling else self.home

    def storage(self) -> BaseStorage:
        """Opens its storage. Raises KeyError if that is a journal which is not there."""
        if self.url is None and not (self.home and (self.home / JOURNAL).exists()):
            raise KeyError(self.name)
        return open_storage(self.url, self.home or "", f"the storage of study {self.name!r}")

    def load(self) -> optuna.Study:
        """Opens the study.

        Raises:
            UserError: if its storage does not answer, or the study has not begun.
        """
        try:
            return load_study(self.storage(), self.name)
        except KeyError as error:  # the sweeper was killed before it was made
            allowed = "a study that has begun; the command that makes it goes on"
            raise UserError("STUDY", repr(self.name), allowed) from error


def find(paths: Paths, name: str, url: str | None = None) -> Entry:
    """Finds a study by its name.

    Args:
        paths: where the studies' folders are.
        name: its name; that of a study's baselines, say, is NAME.baselines.
        url: look in this storage alone; without it, in the folders first, then in SWEEP_STORAGE.

    Raises:
        UserError: if there is none; it lists what there is.
    """
    if NAME.fullmatch(name):
        homes = [paths.study(home) for home in dict.fromkeys((name, split(name)[0]))]
        for home in homes if url is None else ():
            if home.is_dir():
                return Entry(name, home, recall(home))
        if (asked := url or os.environ.get(STORAGE)) and name in _names(asked):
            return Entry(name, next((home for home in homes if _is_kept(home, asked)), None), asked)
    known = [entry.name for entry in entries(paths, url)]
    listed = ", ".join(known) if known else "none yet: `sweep run -m study=quickstart` makes one"
    raise UserError("STUDY", repr(name), f"a study in {bare(url) if url else paths.mlruns}: {listed}")


def entries(paths: Paths, url: str | None = None) -> Iterator[Entry]:
    """All studies but those beside others: those with a folder, oldest first, then those of SWEEP_STORAGE.

    Args:
        paths: where the studies' folders are.
        url: list this storage alone.

    Raises:
        UserError: if the storage does not answer, after all those with a folder.
    """
    found = [Entry(name, paths.study(name), recall(paths.study(name))) for name in paths.studies()]
    if url is not None:
        found = [entry for entry in found if entry.url and bare(entry.url) == bare(url)]
    yield from found
    if asked := url or os.environ.get(STORAGE):
        known = {entry.name for entry in found}
        names = _names(asked)
        own = [name for name in names if split(name)[1] is None or split(name)[0] not in names]
        yield from (Entry(name, None, asked) for name in own if name not in known)


def _is_kept(home: Path, url: str) -> bool:
    """Whether the study of a folder is kept in this storage."""
    there = recall(home)
    return there is not None and bare(there) == bare(url)


def _names(url: str) -> list[str]:
    """The names of the studies in a storage that a sweeper of ours has made."""
    studies = open_storage(url, "", "the storage").get_all_studies()
    return [study.study_name for study in studies if IDENTITY in study.user_attrs]
