"""The end of a study: what its people are shown, and what is left in its folder and on its page in MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from sweep.engine.errors import UserError
from sweep.engine.redact import redacted
from sweep.engine.study import outstanding
from sweep.results import export, leaderboard
from sweep.results.front import front, front_table
from sweep.tracking.ended import Ended

if TYPE_CHECKING:
    from sweep.engine.supervisor import Supervisor
    from sweep.tracking.runs import StudyRun

RESULTS = "optimization_results.yaml"
"""The file that `hydra-optuna-sweeper` leaves, with its keys, to which ours are added."""


def close(
    study: optuna.Study,
    folder: Path,
    parent: StudyRun | None,
    export_as: str | None,
    max_retries: int,
    supervisor: Supervisor,
) -> None:
    """Writes down and shows what a study has come to.

    Args:
        study: the study, whose agents have ended.
        folder: its folder.
        parent: its MLflow run, if it is tracked.
        export_as: the name under which the best configuration is exported, or those of the front, if at all.
        max_retries: how often a trial may be run again.
        supervisor: who knows why the study has ended although trials were left, if it has.

    Raises:
        CompactHydraException: if the study was given up, or has ended without a trial that is complete and feasible.
    """
    console = Console()
    several = len(study.directions) > 1
    left = outstanding(study, max_retries)
    files: list[tuple[Path, str]] = []
    if leaderboard.ranked(study):
        runs = _mirror(study, parent)
        OmegaConf.save(OmegaConf.create(redacted(_results(study, runs), but=("output_dir",))), folder / RESULTS)
        files.append((folder / RESULTS, ""))
        console.print(front_table(study) if several else leaderboard.table(study))
        if export_as is not None:
            try:
                paths = (
                    export.export_front(study, name=export_as) if several else [export.export(study, name=export_as)]
                )
            except UserError as error:  # somebody else's file of this name must not cost the study its end
                _say(console, f"What is best was not exported. {error}")
            else:
                files += [(path, "") for path in paths]
                _say(console, export.describe(*paths))
    interrupted = supervisor.interrupted.is_set()
    nothing = None if files or left or interrupted else _without_result(study)
    failed = supervisor.hopeless or nothing
    if parent is not None:
        status = "FAILED" if failed else "KILLED" if interrupted or (left and not supervisor.spent) else "FINISHED"
        close_run(study, parent, status, files)
        _say(console, "All of it in the browser: sweep ui")
    if failed:
        raise CompactHydraException(f"Study {study.study_name}: {failed}")
    if supervisor.spent:
        _say(console, f"No further trial was begun. {supervisor.spent}")
    elif left:
        _say(console, f"Trials left: {left}. The same command goes on with them.")


def close_baselines(study: optuna.Study, parent: StudyRun | None) -> None:
    """Shows how the baselines of a study did, and makes MLflow's runs agree with it.

    Args:
        study: the sibling study that they ran in.
        parent: the run that theirs are nested under, with the sibling's name and id, if it is tracked.
    """
    _mirror(study, parent)
    if leaderboard.ranked(study):
        Console().print(front_table(study) if len(study.directions) > 1 else leaderboard.table(study))


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
    from sweep.tracking.runs import finish_study

    _mirror(study, parent)
    counts = leaderboard.states(study)
    metrics = {f"trials/{state.lower()}": float(counts.get(state, 0)) for state in leaderboard.ORDER}
    if len(study.directions) > 1:
        metrics["trials/front"] = float(len(front(study)))
    elif best := leaderboard.ranked(study):
        metrics["best/objective"] = best[0].values[0]
    finish_study(parent, status, metrics, files)


def _mirror(study: optuna.Study, parent: StudyRun | None) -> Mapping[int, str]:
    """Makes MLflow's runs of a study's trials agree with it; returns their ids by trial number."""
    if parent is None:
        return {}
    from sweep.tracking.runs import reconcile, trial_runs

    reconcile(parent, {t.number: _ended(t) for t in study.get_trials(deepcopy=False) if t.state.is_finished()})
    return trial_runs(parent)


def _results(study: optuna.Study, runs: Mapping[int, str]) -> dict[str, Any]:
    def where(trial: FrozenTrial) -> dict[str, Any]:
        folder = trial.user_attrs.get("output_dir")
        return {"trial": trial.number, "output_dir": folder, "mlflow_run_id": runs.get(trial.number)}

    if len(study.directions) > 1:
        solutions = [{"params": dict(t.params), "values": list(t.values), **where(t)} for t in front(study)]
        return {"name": "optuna", "solutions": solutions}
    best = leaderboard.ranked(study)[0]
    return {"name": "optuna", "best_params": dict(best.params), "best_value": best.values[0], **where(best)}


def _without_result(study: optuna.Study) -> str:
    """Why a study has no best trial."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        trials = study.get_trials(deepcopy=False)
        reasons = sorted({str(trial.user_attrs["reason"]) for trial in trials if "reason" in trial.user_attrs})
        return f"no trial is complete. Reasons: {'; '.join(reasons) or 'none known'}"
    nearest = min(complete, key=lambda trial: max(trial.constraints.values(), default=0.0))
    values = ", ".join(f"{name} = {leaderboard.number(value)}" for name, value in nearest.constraints.items())
    return (
        f"none of its {len(complete)} complete trials is feasible, which takes every constraint to be at most 0. "
        f"Nearest: trial {nearest.number}, {values}"
    )


def _ended(trial: FrozenTrial) -> Ended:
    attributes = trial.user_attrs
    interrupted = trial.state == TrialState.FAIL and attributes.get("retry") == "always"
    constraints = {f"constraint/{name}": value for name, value in trial.constraints.items()}
    return Ended(
        state="STOPPED" if interrupted else trial.state.name,
        reason=str(attributes.get("reason", "")),
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
        params={key: str(value) for key, value in trial.params.items()},
        metrics={**attributes.get("metrics", {}), **constraints},
        reported=trial.intermediate_values,
        folder=attributes.get("output_dir"),
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
