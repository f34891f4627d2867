"""What a study is confirmed on: its best configurations and its baselines."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from sweep.engine import baselines
from sweep.engine.errors import UserError
from sweep.engine.recomposed import Configuration, Recomposed
from sweep.engine.study import CONFIGURATION
from sweep.results.leaderboard import ranked
from sweep.results.trainings import beside


@dataclass(frozen=True)
class Candidate:
    """A configuration that is confirmed.

    Attributes:
        configuration: what is trained.
        trial: the number of the study's trial that it is of; None of a baseline.
        params: of that trial.
        score: what it reached in the study, or among its baselines; None if it was not run there to its end, or is not
            what it was then, because files of conf/ have changed.
    """

    configuration: Configuration
    trial: int | None
    params: Mapping[str, Any]
    score: float | None

    @property
    def name(self) -> str:
        """What people call it: "trial 17", or the baseline's own name."""
        return self.configuration.name


def best_of(again: Recomposed, top: int) -> list[Candidate]:
    """The best configurations of a study, best first: `top` of them, or all if it has fewer.

    Raises:
        UserError: if it has several objectives or no complete trial, or one of them is no longer what it was.
    """
    study = again.study
    if len(study.directions) > 1:
        raise UserError(
            "STUDY", f"{study.study_name!r}, which has {len(study.directions)} objectives", "a study with one objective"
        )
    found: dict[str, Candidate] = {}
    for trial in ranked(study):
        if len(found) == top:
            break
        configuration = again.of_trial(trial)
        found.setdefault(
            configuration.identity, Candidate(configuration, trial.number, dict(trial.params), trial.values[0])
        )
    if not found:
        raise UserError("STUDY", f"{study.study_name!r}, of which no feasible trial is complete", "one that has some")
    return list(found.values())


def baselines_of(again: Recomposed) -> list[Candidate]:
    """The baselines that the study's command names.

    Raises:
        UserError: if one cannot be composed.
    """
    found = baselines.read(again.settings, again.config, again.fixed)
    configurations = [again.configuration(name, lines) for name, lines in found.overrides.items()]
    study = beside(again, "baselines")
    trials = [] if study is None else ranked(study)
    return [Candidate(each, None, {}, _score(again, each, trials)) for each in configurations]


def _score(again: Recomposed, baseline: Configuration, trials: Iterable[FrozenTrial]) -> float | None:
    """What a baseline has reached, if it was then what it is now."""
    for trial in trials:
        asked = trial.user_attrs[CONFIGURATION]
        if asked["name"] != baseline.name or again.changes(trial, baseline):
            continue
        with contextlib.suppress(UserError):  # what it was cannot be composed any more
            if again.configuration(baseline.name, asked["overrides"]).identity == baseline.identity:
                return float(trial.values[0])
    return None
