"""The end of a study: what its people are shown, and what is left in its folder and on its page in MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from sweep.engine.errors import UserError
from sweep.engine.study import outstanding
from sweep.results import export, leaderboard
from sweep.tracking.ended import Ended

if TYPE_CHECKING:
    from sweep.tracking.runs import StudyRun

RESULTS = "optimization_results.yaml"
"""The file that `hydra-optuna-sweeper` leaves, with its keys."""


def close(study: optuna.Study, folder: Path, parent: StudyRun | None, export_as: str | None, max_retries: int) -> None:
    """Writes down and shows what a study has come to.

    Args:
        study: the study, whose agents have ended.
        folder: its folder.
        parent: its MLflow run, if it is tracked.
        export_as: the name under which the best configuration is exported, if at all.
        max_retries: how often a trial may be run again.

    Raises:
        CompactHydraException: if every trial has ended and none is complete.
    """
    console = Console()
    trials = study.get_trials(deepcopy=False)
    left = outstanding(study, max_retries)
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
                    console.print(
                        f"The best configuration was not exported. {error}",
                        markup=False,
                        highlight=False,
                        soft_wrap=True,
                    )
                else:
                    files.append((path, ""))
                    console.print(export.describe(path), highlight=False, soft_wrap=True)
    if parent is not None:
        close_run(study, parent, "KILLED" if left else "FINISHED", files)
        console.print("All of it in the browser: sweep ui", highlight=False)
    if left:
        console.print(f"Trials left: {left}. The same command goes on with them.", highlight=False)
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


def close_run(
    study: optuna.Study, parent: StudyRun | None, status: str, files: Iterable[tuple[Path, str]] = ()
) -> None:
    """Makes MLflow's runs of a study agree with it, and closes the study's own.

    Args:
        study: the study.
        parent: its MLflow run, if it is tracked.
        status: FINISHED, FAILED or KILLED.
        files: what goes to the run's artifacts, each with its folder there.
    """
    if parent is None:
        return
    from sweep.tracking.runs import finish_study, reconcile

    reconcile(parent, {t.number: _ended(t) for t in study.get_trials(deepcopy=False) if t.state.is_finished()})
    counts = leaderboard.states(study)
    metrics = {f"trials/{state.lower()}": float(counts.get(state, 0)) for state in leaderboard.ORDER}
    best = leaderboard.ranked(study) if len(study.directions) == 1 else []
    if best:
        metrics["best/objective"] = best[0].values[0]
    finish_study(parent, status, metrics, files)


def _ended(trial: FrozenTrial) -> Ended:
    attributes = trial.user_attrs
    interrupted = trial.state == TrialState.FAIL and attributes.get("retry") == "always"
    complete = trial.state == TrialState.COMPLETE and len(trial.values) == 1
    return Ended(
        state="STOPPED" if interrupted else trial.state.name,
        reason=str(attributes.get("reason", "")),
        value=trial.values[0] if complete else None,
        params={key: str(value) for key, value in trial.params.items()},
        metrics=attributes.get("metrics", {}),
        reported=trial.intermediate_values,
        folder=attributes.get("output_dir"),
    )
