"""A trial's model as a version of a registered model, which others load by name, and which outlives its study."""

from __future__ import annotations

import contextlib
import json
import shlex
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.address import bare
from sweep.engine.errors import UserError
from sweep.engine.parent import marks
from sweep.engine.study import MODEL
from sweep.engine.trial import EXAMPLE_SUFFIX
from sweep.results.front import objective_names
from sweep.results.leaderboard import incomparable_note, number
from sweep.results.models import log_each, study_models
from sweep.tracking.calls import legal
from sweep.tracking.logged_models import StudyModels
from sweep.tracking.model_process import LOG, only_one
from sweep.tracking.registry import CANDIDATE, Version, legal_name, register
from sweep.tracking.store import answering, shown

_SHORT = 300
"""How long an example may be to be shown."""


def check_model(study: optuna.Study, trial: FrozenTrial) -> StudyModels:
    """Where the model of a trial is, or will be, in MLflow.

    Raises:
        UserError: if the study is not tracked, or the trial is not complete or left no model.
    """
    models = study_models(study)
    if models is None:
        received = f"study {study.study_name!r}, which is not tracked"
        raise UserError("--register", received, "a study with tracking.uri, an MLflow store to register in")
    if trial.state != TrialState.COMPLETE or MODEL not in trial.user_attrs:
        received = f"trial {trial.number}, {trial.state.name.lower()}, which has no model"
        raise UserError("--register", received, "a complete trial whose task offered one")
    return models


def register_trial(
    study: optuna.Study, trial: FrozenTrial, folder: Path | None, name: str | None = None, alias: str = CANDIDATE
) -> Version:
    """Registers the model of a trial, which is logged first if it was not; the same one never twice.

    Args:
        study: the study.
        trial: one of its complete trials.
        folder: the study's folder, if this machine has it.
        name: of the registered model; the study's unless given.
        alias: what the version is given, which leaves any other: `champion` is for `sweep confirm` alone.

    Raises:
        UserError: if there is no such model, its file is gone or cannot be loaded, or MLflow does not answer.
    """
    models = check_model(study, trial)
    name = legal_name(study.study_name) if name is None else name
    with only_one(folder) as lock:
        with answering(models.uri):
            model_id = _logged(models, trial.number) or _log(models, trial, folder, lock)
        return register(models.uri, model_id, name, alias, _tags(study, trial), _description(study, trial))


def describe(version: Version, study: optuna.Study, trial: FrozenTrial) -> str:
    """What to tell the user about a registered version."""
    known = "" if version.new else ", as it was already"
    uri = bare(study.user_attrs["tracking_uri"])
    predict = f"mlflow models predict -m {shlex.quote(version.uri)} -i INPUTS.json -t json --env-manager local"
    return (
        f"Registered: {version.name} version {version.number}, alias {version.alias}{known}: "
        f"the model of trial {trial.number}\n"
        f"Use it: MLFLOW_TRACKING_URI={shlex.quote(uri)} {predict} -o OUTPUTS.json\n"
        f"with INPUTS.json such as {_example(trial)}"
    )


def _logged(models: StudyModels, trial: int) -> str | None:
    ready = [model.model_id for model in models.logged() if model.trial == trial and model.ready]
    return ready[-1] if ready else None


def _log(models: StudyModels, trial: FrozenTrial, folder: Path | None, lock: int | None) -> str:
    for _, answer in log_each(models, {trial.number: str(trial.user_attrs[MODEL])}, folder, lock):
        if answer.model_id is None:
            where = f"; see {folder / LOG}" if folder else ""
            received = f"trial {trial.number}, whose model was not logged ({answer.error}{where})"
            raise UserError("--register", received, "a model that loads, and an MLflow store that takes it")
        return answer.model_id
    received = f"trial {trial.number}, whose run is not complete in {shown(models.uri)}"
    raise UserError("--register", received, "a trial whose run is: the command that ran the study sees to it")


def _tags(study: optuna.Study, trial: FrozenTrial) -> dict[str, str]:
    digest = trial.user_attrs.get("facts", {}).get("evaluation_digest")
    return {
        "sweep.study": study.study_name,
        "sweep.study_id": study.user_attrs["id"],
        "sweep.trial": str(trial.number),
        **{legal(name): str(value) for name, value in zip(objective_names(study), trial.values, strict=True)},
        **({"evaluation_digest": str(digest)} if digest else {}),
        **marks(study),
    }


def _description(study: optuna.Study, trial: FrozenTrial) -> str:
    values = ", ".join(f"{n} = {number(v, 6)}" for n, v in zip(objective_names(study), trial.values, strict=True))
    params = ", ".join(f"{key}={number(value)}" for key, value in trial.params.items())
    return f"Trial {trial.number} of study {study.study_name}: {values}, with {params}{incomparable_note(study)}"


def _example(trial: FrozenTrial) -> str:
    """An input in the form that MLflow reads."""
    with contextlib.suppress(OSError):
        text = Path(trial.user_attrs[MODEL]).with_suffix(EXAMPLE_SUFFIX).read_text(encoding="utf-8")
        inputs = json.loads(text)["inputs"]
        if isinstance(inputs, list) and len(shown := json.dumps({"inputs": _rounded(inputs[:1])})) < _SHORT:
            return shown
    return "serving_input_example.json of the model"


def _rounded(value: Any) -> Any:
    return [_rounded(each) for each in value] if isinstance(value, list) else round(value, 3)
