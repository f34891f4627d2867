"""The end of a study: what its people are shown, and what is left in its folder and on its page in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from optuna.trial import TrialState
from rich.console import Console

from sweep.engine.errors import UserError
from sweep.engine.outcome import stopped
from sweep.results import export, leaderboard

if TYPE_CHECKING:
    from sweep.tracking.runs import StudyRun

RESULTS = "optimization_results.yaml"
"""The file that `hydra-optuna-sweeper` leaves, with its keys."""


def close(study: optuna.Study, folder: Path, parent: StudyRun | None, export_as: str | None) -> None:
    """Writes down and shows what a study has come to.

    Args:
        study: the study, whose agents have ended.
        folder: its folder.
        parent: its MLflow run, if it is tracked.
        export_as: the name under which the best configuration is exported, if at all.

    Raises:
        CompactHydraException: if every trial has ended and none is complete.
    """
    console = Console()
    trials = study.get_trials(deepcopy=False)
    left = sum(not trial.state.is_finished() or trial.user_attrs.get("retry") == "always" for trial in trials)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    files: list[tuple[Path, str]] = []
    if complete:
        OmegaConf.save(OmegaConf.create(_results(study)), folder / RESULTS)
        files.append((folder / RESULTS, ""))
        if len(study.directions) == 1:
            console.print(leaderboard.table(study))
            if export_as is not None:
                try:
                    path = export.export(study, name=export_as)
                except UserError as error:  # somebody else's file of this name must not cost the study its end
                    console.print(f"The best configuration was not exported. {error}", highlight=False, soft_wrap=True)
                else:
                    files.append((path, ""))
                    console.print(export.describe(path), highlight=False, soft_wrap=True)
    if parent is not None:
        _close_run(study, parent, files, left)
        console.print("All of it in the browser: sweep ui", highlight=False)
    if left:
        console.print(f"{left} trials are left: the same command goes on with them.", highlight=False)
    elif not complete:
        reasons = {str(trial.user_attrs.get("reason")) for trial in trials}
        raise CompactHydraException(
            f"Study {study.study_name}: no trial is complete. Reasons: {'; '.join(sorted(reasons))}"
        )


def _results(study: optuna.Study) -> dict[str, Any]:
    if len(study.directions) > 1:
        front = [{"params": dict(trial.params), "values": list(trial.values)} for trial in study.best_trials]
        return {"name": "optuna", "solutions": front}
    best = leaderboard.ranked(study)[0]
    return {
        "name": "optuna",
        "best_params": dict(best.params),
        "best_value": best.values[0],
        "trial": best.number,
        "output_dir": best.user_attrs["output_dir"],
    }


def _close_run(study: optuna.Study, parent: StudyRun, files: list[tuple[Path, str]], left: int) -> None:
    from sweep.tracking.runs import finish_study, reconcile

    trials = study.get_trials(deepcopy=False)
    ended = {
        trial.number: (
            "STOPPED" if trial.user_attrs.get("retry") == stopped().retry else trial.state.name,
            str(trial.user_attrs.get("reason", "")),
        )
        for trial in trials
        if trial.state.is_finished()
    }
    reconcile(parent, ended)
    counts = leaderboard.states(study)
    metrics = {f"trials/{state.lower()}": float(counts.get(state, 0)) for state in leaderboard.ORDER}
    best = leaderboard.ranked(study) if len(study.directions) == 1 else []
    if best:
        metrics["best/objective"] = best[0].values[0]
    finish_study(parent, "KILLED" if left else "FINISHED", metrics, files)
