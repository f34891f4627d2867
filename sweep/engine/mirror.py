"""What an agent tells MLflow of its trials, if the study is tracked: each becomes a run, from its begin to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig

from sweep.engine.checks import directions
from sweep.engine.outcome import Outcome, run_state
from sweep.engine.plan import Plan
from sweep.engine.study import CONFIGURATION, RETRY_OF
from sweep.engine.works import split
from sweep.tracking.note import NOTE, Note
from sweep.tracking.params import log10_params, run_params
from sweep.tracking.system import Usage


class Mirror:
    """Tells the tracker; without a tracker it does nothing.

    Args:
        plan: the study's.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tracker = plan.parent.tracker(plan.folder) if plan.parent is not None else None
        self._notes: dict[int, Note] = {}
        self._watched: dict[int, Usage] = {}

    def begin(self, trial: optuna.Trial, config: DictConfig, overrides: Sequence[str], folder: Path) -> None:
        """Begins the run of a trial that has its configuration."""
        if self._tracker is not None:
            params = run_params(config, log_scaled=self._log_scaled(trial))
            asked = trial.user_attrs.get(CONFIGURATION)
            tags = {**self._plan.tags, **({"sweep.configuration": asked["name"]} if asked else {})}
            self._tracker.begin(trial.number, self._name(trial), params, tags, folder)
            self._describe(trial, **self._again(trial, overrides))

    def begin_unrun(self, trial: optuna.Trial) -> None:
        """Begins the run of a trial that no process will run."""
        if self._tracker is not None:
            params = {key: str(value) for key, value in trial.params.items()}
            params |= log10_params(trial.params, self._log_scaled(trial))
            self._tracker.begin(trial.number, self._name(trial), params, self._plan.tags)
            self._describe(trial)

    def watch(self, trial: optuna.Trial, pid: int) -> None:
        """Looks, from now on, at the process that runs a trial."""
        if self._tracker is not None:
            self._watched[trial.number] = Usage(pid)

    def look(self) -> None:
        """Tells what the processes of running trials take, of those that were not looked at for a while."""
        for number, usage in self._watched.items():
            if usage.due:
                self.write(number, "seen", usage.look())

    def write(self, number: int, kind: str, payload: Mapping[str, Any]) -> None:
        """Passes an event on."""
        if self._tracker is not None:
            self._tracker.write(number, kind, payload)

    def end(self, number: int, outcome: Outcome) -> None:
        """Ends the run of a trial."""
        if self._tracker is None:
            return
        if (usage := self._watched.pop(number, None)) is not None:
            self.write(number, "seen", usage.last_look())
        state = run_state(outcome)
        if (note := self._notes.pop(number, None)) is not None:
            text = note.text(state, outcome.reason, outcome.values, outcome.traceback)
            self.write(number, "tags", {NOTE: text})
        self._tracker.end(number, state, outcome.reason, outcome.traceback, outcome.values)

    def close(self) -> None:
        """Waits until all is written."""
        if self._tracker is not None:
            self._tracker.close()

    def _again(self, trial: optuna.Trial, overrides: Sequence[str]) -> dict[str, Any]:
        """What a trial's note says of doing it again: nothing but `sweep confirm` judges on the test set."""
        study, command = self._plan.study, self._plan.command
        if self._plan.final:
            return {"does": "It is trained and judged by", "again": [command.confirm(split(study)[0])]}
        return {"again": command.trial(study, trial.number, overrides)}

    def _describe(self, trial: optuna.Trial, **again: Any) -> None:
        asked, retry = trial.user_attrs.get(CONFIGURATION), trial.user_attrs.get(RETRY_OF)
        title = f"Trial {trial.number} of study {self._plan.study}"
        note = Note(
            title=title if retry is None else f"{title}, another attempt at trial {retry},",
            varied=trial.params if asked is None else {CONFIGURATION: asked["name"]},
            objectives=self._objectives(),
            **again,
        )
        self._notes[trial.number] = note
        self.write(trial.number, "tags", {NOTE: note.text()})

    def _objectives(self) -> list[str]:
        name, count = str(self._plan.settings.objective), len(directions(self._plan.settings))
        return [name] if count == 1 else [f"{name} {index}" for index in range(1, count + 1)]

    def _name(self, trial: optuna.Trial) -> str:
        return f"{self._plan.study} {trial.number}"

    def _log_scaled(self, trial: optuna.Trial) -> list[str]:
        """Keys that the study draws on a log scale, whether this trial has them or not."""
        known = {**self._plan.space.distributions(), **trial.distributions}
        return [key for key, one in known.items() if getattr(one, "log", False)]
