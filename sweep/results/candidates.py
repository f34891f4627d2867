"""What a study is confirmed on: its best configurations and its baselines."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

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
        score: what it reached in the study, or among its baselines; None if it was not run there to its end.
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
    scores = _scores(again, found.overrides)
    return [Candidate(each, None, {}, scores.get(each.identity)) for each in configurations]


def _scores(again: Recomposed, names: Container[str]) -> dict[str, float]:
    """What baselines of these names have reached, by the identity of their configurations."""
    study = beside(again, "baselines")
    asked = [(t.user_attrs[CONFIGURATION], t.values[0]) for t in ranked(study)] if study is not None else []
    mine = [(each["name"], each["overrides"], value) for each, value in asked if each["name"] in names]
    return {again.configuration(name, lines).identity: value for name, lines, value in mine}
