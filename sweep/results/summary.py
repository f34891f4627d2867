"""The end of a study: what its people are shown, and what is left in its folder and on its page in MLflow."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from sweep.engine.errors import UserError
from sweep.engine.redact import redacted
from sweep.engine.storage import Unwritable
from sweep.engine.study import NOT_COMPARABLE, outstanding
from sweep.paths import Paths, default_root
from sweep.results import export, leaderboard, roles
from sweep.results.curves import Curves
from sweep.results.front import front, front_table
from sweep.results.reconcile import reconcile
from sweep.results.story import Story, end_page
from sweep.tracking.store import shown

if TYPE_CHECKING:
    from sweep.engine.supervisor import Supervisor
    from sweep.tracking.page import StudyPage

log = logging.getLogger(__name__)

RESULTS = "optimization_results.yaml"
"""The file that `hydra-optuna-sweeper` leaves, with its keys, to which ours are added."""


def close(
    study: optuna.Study,
    folder: Path,
    story: Story | None,
    export_as: str | None,
    max_retries: int,
    supervisor: Supervisor,
    report: bool = False,
) -> None:
    """Writes down and shows what a study has come to.

    Args:
        study: the study, whose agents have ended.
        folder: its folder.
        story: what its page in MLflow says, if it is tracked.
        export_as: the name under which the best configuration is exported, or those of the front, if at all.
        max_retries: how often a trial may be run again.
        supervisor: who knows why the study has ended although trials were left, if it has.
        report: whether the report is made; not after Ctrl-C, as whoever presses that waits for the end.

    Raises:
        CompactHydraException: if the study was given up, or has ended without a trial that is complete and feasible.
    """
    console = Console()
    several = len(study.directions) > 1
    left = outstanding(study, max_retries)
    mirror = reconcile(study, story.page.run, story.page) if story else None
    runs = mirror.runs if mirror else {}
    files: list[tuple[Path, str]] = []
    if leaderboard.ranked(study):
        OmegaConf.save(OmegaConf.create(redacted(_results(study, runs), but=("output_dir",))), folder / RESULTS)
        files.append((folder / RESULTS, ""))
        console.print(front_table(study) if several else leaderboard.table(study))
        if said := roles.answer(study):
            console.print(roles.table(study, said))
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
    if report and not interrupted:
        files += _report(study, folder, console)
    if story is not None:
        broken_off = "interrupted" if interrupted else "stopped" if left and not supervisor.spent else "finished"
        _end(study, story, "failed" if failed else broken_off, runs, files)
        where = f"sweep ui {study.study_name}" if _is_ours(study, folder) else shown(story.page.run.store.uri)
        _say(console, f"All of it in MLflow: {where}")
    if failed:
        raise CompactHydraException(f"Study {study.study_name}: {failed}")
    if supervisor.spent:
        _say(console, f"No further trial was begun. {supervisor.spent}")
    elif left:
        _say(console, f"Trials left: {left}. The same command goes on with them.")


def show(study: optuna.Study) -> None:
    """Shows how a study did, if anything of it is complete."""
    if leaderboard.ranked(study):
        Console().print(front_table(study) if len(study.directions) > 1 else leaderboard.table(study))


def close_run(study: optuna.Study, story: Story | None, state: str) -> None:
    """Makes MLflow's runs of a study that was broken off agree with it, and closes the study's own.

    Where the study itself is what cannot be read any more, the runs of its trials wait for `sweep sync`.

    Args:
        study: the study.
        story: what its page in MLflow says, if it is tracked.
        state: finished, stopped, interrupted or failed.
    """
    if story is not None:
        mirror = None
        with contextlib.suppress(StorageInternalError, Unwritable):
            mirror = reconcile(study, story.page.run, story.page)
        _end(study, story, state, mirror.runs if mirror else {})


def _end(
    study: optuna.Study, story: Story, state: str, runs: Mapping[int, str], files: Iterable[tuple[Path, str]] = ()
) -> None:
    """Closes a study's own run, whatever goes wrong with what it was to say at last; says what has to wait."""
    page = story.page
    try:
        Curves(study, page).update()
        for path, folder in files:
            page.attach(path, folder)
        story.end(runs)
    except Exception:
        log.exception("The page of study %s lacks some of what there was to say at its end", study.study_name)
    end_page(page, state)
    close_page(study, page)


def close_page(study: optuna.Study, page: StudyPage) -> None:
    """Writes what is left for a study's page, and says what has to wait."""
    page.close()
    if waiting := page.waiting:
        command = f"sweep sync {study.study_name if _is_ours(study, page.folder) else page.folder}"
        where = shown(page.run.store.uri)
        _say(Console(), f"{waiting:,} events wait for MLflow at {where}. `{command}` writes them when it answers.")


def _is_ours(study: optuna.Study, folder: Path) -> bool:
    """Whether a study with this folder is one that our other commands find by its name."""
    return folder == Paths(default_root()).study(study.study_name)


def _report(study: optuna.Study, folder: Path, console: Console) -> list[tuple[Path, str]]:
    """Makes the report in a study's folder; returns its files. What goes wrong with it is said, and costs nothing."""
    try:
        from sweep.results.report.build import make_report

        made = make_report(study, folder / "report")
    except Exception:
        log.exception("The report of study %s was not made", study.study_name)
        _say(
            console,
            f"The report was not made, for a reason that the log has. To try again: sweep report {study.study_name}",
        )
        return []
    _say(console, f"The report: {made.page}")
    return made.files()


def _results(study: optuna.Study, runs: Mapping[int, str]) -> dict[str, Any]:
    reason = study.user_attrs.get(NOT_COMPARABLE)
    mark = {NOT_COMPARABLE: reason} if reason else {}

    def where(trial: FrozenTrial) -> dict[str, Any]:
        folder = trial.user_attrs.get("output_dir")
        return {"trial": trial.number, "output_dir": folder, "mlflow_run_id": runs.get(trial.number)}

    if len(study.directions) > 1:
        solutions = [{"params": dict(t.params), "values": list(t.values), **where(t)} for t in front(study)]
        return {"name": "optuna", "solutions": solutions, **mark}
    best = leaderboard.ranked(study)[0]
    return {"name": "optuna", "best_params": dict(best.params), "best_value": best.values[0], **where(best), **mark}


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


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
