"""Takes a study away: its runs, its trials' folders, what was exported from it, and its storage.

Every step can be repeated, and what the next ones need is removed last: whoever is interrupted types the same command.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from sweep.engine.address import bare
from sweep.engine.errors import UserError
from sweep.engine.lease import Lease
from sweep.engine.parent import TRACKING_URI
from sweep.engine.storage import Unwritable
from sweep.engine.study import load_study
from sweep.engine.supervisor import SWEEPER
from sweep.engine.works import SIBLINGS, split
from sweep.results import export
from sweep.results.catalogue import Entry
from sweep.results.models import study_models
from sweep.results.running import runner
from sweep.tracking.forget import NOTHING_DELETED, SOME_LEFT, find_runs, forget
from sweep.tracking.logged_models import StudyModels
from sweep.tracking.store import answering, is_gone


@dataclass(frozen=True)
class Deletion:
    """What is to be deleted.

    Attributes:
        entry: the study.
        studies: those beside it and it, as far as they have begun.
        runs: ids of MLflow runs, by tracking URI.
        models: those in MLflow that nothing registered stands on, by study.
        files: what was exported.
        left: what stays, with the reason.
    """

    entry: Entry
    studies: Sequence[optuna.Study]
    runs: Mapping[str, Sequence[str]]
    models: Sequence[tuple[StudyModels, Sequence[str]]]
    files: Sequence[Path]
    left: Sequence[str]

    def describe(self) -> str:
        """All of it, a line each."""
        where = f" in {bare(self.entry.url)}" if self.entry.url else ""
        lines = [f"study {study.study_name}{where}, {len(_trials(study))} trials" for study in self.studies]
        lines += [f"{len(run_ids)} runs in {bare(uri)}, with their artifacts" for uri, run_ids in self.runs.items()]
        lines += [f"{len(ids)} models in {bare(models.uri)}" for models, ids in self.models]
        lines += [str(path) for path in (self.entry.folder, *self.files) if path is not None and path.exists()]
        return "\n".join([*lines, *(f"but not {text}" for text in self.left)])


def look(entry: Entry) -> Deletion:
    """Finds everything that a study has left.

    Raises:
        UserError: if the study runs, if there is nothing of it, or if its storage or MLflow does not answer.
    """
    beside = () if entry.is_sibling else tuple(f"{entry.name}.{kind}" for kind in SIBLINGS)
    whose = (split(entry.name)[0],) if entry.is_sibling else beside
    for study in _load(entry, (*whose, entry.name)):
        check_idle(study)
    studies = _load(entry, (*beside, entry.name))
    if not studies and not (entry.folder and entry.folder.is_dir()):
        raise UserError("STUDY", repr(entry.name), "a study of which there is something left")
    files, left = _exported(entry.name)
    models, registered = _models(studies)
    left += [f"{version}, which is registered in MLflow, and stays with its files" for version in registered]
    return Deletion(entry, studies, _runs(studies), models, files, [*left, *_elsewhere(entry, studies)])


def delete(found: Deletion) -> list[str]:
    """Deletes what `look` found; returns what there is to say about it.

    Raises:
        UserError: if the study runs by now, or something cannot be deleted; the same command goes on.
    """
    entry, said = found.entry, []
    leases = [Lease(study, SWEEPER) for study in found.studies]
    try:
        for study, lease in zip(found.studies, leases, strict=True):
            check_idle(study)
            with contextlib.suppress(Unwritable):  # on a full disk too
                lease.beat()  # whoever would go on with the study now is refused
        if entry.folder is not None:
            _remove(_content(entry.folder))
        for models, model_ids in _models(found.studies)[0]:
            with answering(models.uri, SOME_LEFT):
                for model_id in model_ids:
                    models.remove(model_id)
        for uri, run_ids in _runs(found.studies).items():
            if not forget(uri, run_ids):
                said.append(f"The runs are marked as deleted: `mlflow gc` on {bare(uri)} removes them for good.")
        _remove(found.files)
        if entry.url is not None or entry.is_sibling:  # a journal goes with its folder
            for study in found.studies:
                optuna.delete_study(study_name=study.study_name, storage=entry.storage())
    except BaseException:
        for lease in leases:
            with contextlib.suppress(Exception):
                lease.release()
        raise
    if entry.folder is not None:
        _remove([entry.folder])
    return said


def _load(entry: Entry, names: Iterable[str]) -> list[optuna.Study]:
    """Those of these studies that have begun."""
    found = []
    for name in names:
        with contextlib.suppress(KeyError):
            found.append(load_study(entry.storage(), name))
    return found


def _trials(study: optuna.Study) -> Sequence[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False)


def check_idle(study: optuna.Study) -> None:
    """Raises UserError if somebody runs a study."""
    if who := runner(study):
        allowed = f"a study that has ended: `sweep stop {study.study_name}` lets its running trials end"
        raise UserError("STUDY", f"{study.study_name!r}, which {who} runs", allowed)


def _runs(studies: Iterable[optuna.Study]) -> dict[str, list[str]]:
    """The MLflow runs of studies, by tracking URI."""
    found: dict[str, list[str]] = {}
    for study in studies:
        if uri := study.user_attrs.get(TRACKING_URI):
            found.setdefault(uri, []).extend(find_runs(uri, study.user_attrs["id"]))
    return found


def _models(studies: Iterable[optuna.Study]) -> tuple[list[tuple[StudyModels, list[str]]], list[str]]:
    """The ids of the models of studies in MLflow; and what is registered of others, which stay."""
    found, registered = [], []
    for study in studies:
        models = study_models(study)
        if models is None or is_gone(models.uri):
            continue
        with answering(models.uri, NOTHING_DELETED):
            versions = {model.model_id: models.registered(model.model_id) for model in models.logged()}
        registered += [version for each in versions.values() for version in each]
        if free := [model_id for model_id, own in versions.items() if not own]:
            found.append((models, free))
    return found, registered


def _exported(name: str) -> tuple[list[Path], list[str]]:
    """The files that were exported from a study and that nobody has made his own; and those that stay, and why."""
    folder = export.default_destination() / "experiment"
    files, left = [], []
    for path in (folder / f"{name}.yaml", *sorted(folder.glob(f"{name}-front-*.yaml"))):
        if not path.is_file() or export.study_of(path) != name:
            continue
        if _is_ignored(path):
            files.append(path)
        else:
            left.append(f"{path}, which git does not ignore")
    return files, left


def _is_ignored(path: Path) -> bool:
    """Whether git ignores a file: nobody has added it."""
    try:
        command = ["git", "check-ignore", "--quiet", path.name]
        return subprocess.run(command, cwd=path.parent, capture_output=True, check=False).returncode == 0
    except OSError:  # no git
        return False


def _elsewhere(entry: Entry, studies: Sequence[optuna.Study]) -> list[str]:
    """What is left of trials outside of the study's own folder, where nobody can tell whose it is."""
    given = {
        str(t.user_attrs["output_dir"]) for study in studies for t in _trials(study) if "output_dir" in t.user_attrs
    }
    folders = sorted(path for path in given if not (entry.folder and Path(path).is_relative_to(entry.folder)))
    if not studies and entry.folder and any(_content(entry.folder)):
        return ["runs in MLflow, if there are any: only the study's storage knew which"]
    return [f"the folders of {len(folders)} trials that lie elsewhere, such as {folders[0]}"] if folders else []


def _content(folder: Path) -> list[Path]:
    """What is in a study's folder, but for what the study itself is kept in."""
    return [path for path in folder.glob("*") if not path.name.startswith("study.")]


def _remove(paths: Iterable[Path]) -> None:
    """Removes files and folders, whatever is in them."""
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                "a file of the study", f"{error.filename} ({error.strerror})", "one that can be removed"
            ) from error
