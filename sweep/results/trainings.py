"""Trainings of configurations with seeds, as the trials of a study beside another: what is to run, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.engine import study as studies
from sweep.engine.configurations import Configurations
from sweep.engine.parent import known_run
from sweep.engine.recomposed import Configuration, Recomposed
from sweep.engine.storage import open_storage
from sweep.engine.study import load_study
from sweep.engine.works import sibling
from sweep.results.description import NOTES
from sweep.results.interval import Floats

Say = Callable[[str], None]
"""Tells the user a line."""

Training = tuple[Configuration, int]
"""A configuration and the seed that it is trained with."""


class Trainings:
    """What has become of the trainings of a study beside another.

    Args:
        study: that study.
        max_retries: how often a training is run again whose process died.

    Attributes:
        study: see above.
    """

    def __init__(self, study: optuna.Study, max_retries: int) -> None:
        self.study, self._max_retries = study, max_retries
        self._minimize = study.direction == StudyDirection.MINIMIZE
        self._last: dict[tuple[str, int], FrozenTrial] = {}
        self._asked: dict[tuple[str, int], Mapping[str, Any]] = {}
        for tries in studies.attempts(study).values():
            asked = tries[0].user_attrs[studies.CONFIGURATION]
            self._asked[asked["identity"], asked["seed"]] = asked
            self._last[asked["identity"], asked["seed"]] = tries[-1]

    def asked(self, wanted: Iterable[Training]) -> list[Mapping[str, Any]]:
        """These trainings as `sweep.engine.study.CONFIGURATION` has them; those that are there, as they are there.

        A training is known by its content and seed, whatever its configuration is called by now.
        """
        found: dict[tuple[str, int], Mapping[str, Any]] = {}
        for one, seed in wanted:
            key = one.identity, seed
            found.setdefault(key, self._asked.get(key) or one.with_seed(seed))
        return list(found.values())

    def unfinished(self, wanted: Iterable[Training]) -> list[Mapping[str, Any]]:
        """Those of these trainings that are not at their end."""
        return studies.unfinished(self.study, self.asked(wanted), self._max_retries)

    def failed(self, wanted: Iterable[Training]) -> int:
        """How many of these trainings have failed for good."""
        last = [self._last.get((one.identity, seed)) for one, seed in wanted]
        return sum(trial is not None and trial.state == TrialState.FAIL for trial in last)

    def trial(self, one: Configuration, seed: int) -> FrozenTrial | None:
        """The complete trial of a training, if there is one."""
        trial = self._last.get((one.identity, seed))
        return trial if trial is not None and trial.state == TrialState.COMPLETE else None

    def scores(self, configurations: Sequence[Configuration], seeds: Sequence[int]) -> Floats:
        """The values `[configurations, seeds]`: nan where there is none, infinite on the worse side if it diverged."""
        return np.array([[self._score(one, seed) for seed in seeds] for one in configurations], np.float64)

    def _score(self, one: Configuration, seed: int) -> float:
        trial = self._last.get((one.identity, seed))
        if trial is None or trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return np.nan
        if trial.state == TrialState.PRUNED:
            return np.inf if self._minimize else -np.inf
        return float(trial.values[0])


def run(
    again: Recomposed,
    kind: str,
    first: Sequence[Configuration],
    wanted: Callable[[Trainings], Iterable[Training]],
    say: Say,
    objective: str | None = None,
    final: bool = False,
) -> tuple[Trainings | None, bool]:
    """Runs trainings beside a study until none is wanted.

    Args:
        again: the study.
        kind: of the study beside it: one of `sweep.engine.works.SIBLINGS`.
        first: configurations that agents can be started with.
        wanted: what is wanted in all, given what there is.
        say: tells the user a line.
        objective: what the values are called; None is as in the study.
        final: whether the trainings are the last word on their configurations.

    Returns:
        What became of them, or None if some are left; and whether Ctrl-C was pressed.

    Raises:
        UserError: if somebody else runs them.
        CompactHydraException: if too many fail.
    """
    settings = again.settings.copy()
    settings.objective = objective or settings.objective
    space = Configurations({each.name: each.overrides for each in first}, again.fixed)
    work = sibling(kind, again.study.study_name, again.home, space, settings, again.config, final)

    def more(study: optuna.Study) -> Sequence[Mapping[str, Any]]:
        there = Trainings(study, settings.max_retries)
        return there.asked(wanted(there))

    found, interrupted = there_is(again, kind), False
    if found is None or found.unfinished(wanted(found)):
        interrupted = again.sweeper.follow_up(again.study, work, more)
        found = there_is(again, kind)
    if found is None:  # it was interrupted before there was such a study
        return None, interrupted
    if left := len(found.unfinished(wanted(found))):
        say(f"Trainings left: {left} at least. The same command goes on with them.")
        return None, interrupted
    if failed := found.failed(wanted(found)):
        say(
            f"{failed} trainings failed, and are not run again. Once the cause is mended, `sweep delete {work.name}` "
            "and the same command run all of them anew."
        )
    return found, interrupted


def there_is(again: Recomposed, kind: str) -> Trainings | None:
    """The trainings of the study of this kind beside a study, or None if it has not begun."""
    study = beside(again, kind)
    return None if study is None else Trainings(study, again.settings.max_retries)


def used_seeds(again: Recomposed) -> set[int]:
    """The seeds that the study's trials and its baselines have had."""
    of = [again.study, beside(again, "baselines")]
    return {t.user_attrs["seed"] for study in of if study for t in study.trials if "seed" in t.user_attrs}


def beside(again: Recomposed, kind: str) -> optuna.Study | None:
    """The study of this kind beside a study, or None if it has not begun."""
    try:
        return load_study(open_storage(again.settings.storage, again.home), f"{again.study.study_name}.{kind}")
    except KeyError:
        return None


def publish(
    again: Recomposed, heading: str, text: str, metrics: Mapping[str, float], files: Iterable[tuple[Path, str]]
) -> None:
    """Keeps what was found out with the study, and puts it on its page: see `sweep.tracking.addition`."""
    again.study.set_user_attr(NOTES, {**again.study.user_attrs.get(NOTES, {}), heading: text})
    parent = known_run(again.study)
    if parent is not None:
        from sweep.tracking.addition import add_to_study

        add_to_study(parent, heading, text, metrics, files)
