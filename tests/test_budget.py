"""When a study starts no further trial although some are left."""

from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sweep.engine import budget
from sweep.engine.study import REPEAT_OF

BEGUN = datetime(2026, 1, 1)


def add(
    study: optuna.Study, at: float, seconds: float, state: str = "COMPLETE", value: float = 1.0, **attrs: object
) -> None:
    """Adds a trial that began `at` seconds after the study."""
    complete = state == "COMPLETE"
    values = [value] * len(study.directions) if complete else None
    trial = create_trial(state=TrialState[state], values=values, user_attrs=attrs)  # type: ignore[arg-type]
    trial.datetime_start = BEGUN + timedelta(seconds=at)
    trial.datetime_complete = trial.datetime_start + timedelta(seconds=seconds)
    study.add_trial(trial)


def test_time_counts_while_a_trial_runs_and_not_while_the_study_lies_still(study: optuna.Study) -> None:
    add(study, 0, 10)
    add(study, 5, 10)
    add(study, 1000, 5)
    assert budget.running_time(study.trials) == 20
    assert budget.spent(study, timeout=20.5, patience=None) is None
    assert "it has run for 20 s, allowed are 20 s" in str(budget.spent(study, timeout=20, patience=None))


def test_patience_counts_trials_since_the_best(study: optuna.Study) -> None:
    assert budget.spent(study, None, 1) is None
    for at, value in enumerate([3.0, 1.0, 2.0]):
        add(study, at, 1, value=value)
    assert budget.spent(study, None, 2) is None
    add(study, 4, 1, "FAIL")
    assert budget.spent(study, None, 2) is None, "a failure says nothing of what is better"
    add(study, 5, 1, "PRUNED")
    assert "2 trials in a row" in str(budget.spent(study, None, 2))
    add(study, 6, 1, value=0.5)
    assert budget.spent(study, None, 1) is None


def test_patience_looks_the_way_that_is_better(study: optuna.Study) -> None:
    up = optuna.create_study(direction="maximize")
    for each in (study, up):
        for at, value in enumerate([1.0, 2.0, 3.0]):
            add(each, at, 1, value=value)
    assert budget.spent(up, None, 1) is None
    assert budget.spent(study, None, 2) is not None


def test_patience_with_several_objectives_waits_for_the_front_to_move() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    for at, value in enumerate([2.0, 1.0, 3.0, 4.0]):
        add(study, at, 1, value=value)
    assert budget.spent(study, None, 3) is None
    assert budget.spent(study, None, 2) is not None


@pytest.mark.parametrize(("failed", "given_up"), [(5, False), (6, True)])
def test_a_study_is_given_up_when_more_than_its_share_failed(study: optuna.Study, failed: int, given_up: bool) -> None:
    for at in range(10):
        add(study, at, 1, "FAIL" if at < failed else "COMPLETE", reason="exception: ValueError: no")
    reason = budget.hopeless(study, 0.5)
    assert (reason is not None) == given_up
    if reason:
        assert "6 of 10 attempts failed" in reason
        assert "ValueError: no" in reason
    assert budget.hopeless(study, 1.0) is None


def test_what_was_not_the_trials_doing_is_not_held_against_the_study(study: optuna.Study) -> None:
    for at in range(9):
        add(study, at, 1, "FAIL", retry="always")
    for at in range(9):
        add(study, at, 1, "FAIL", retry="bounded")
    for at in range(9):
        add(study, at, 1, **{REPEAT_OF: 0})
    assert budget.hopeless(study, 0.5) is None
    add(study, 50, 1, "FAIL")
    assert "10 of 10" in str(budget.hopeless(study, 0.5))


def test_what_breaks_a_constraint_or_was_told_is_not_what_is_better(study: optuna.Study) -> None:
    broken = create_trial(state=TrialState.COMPLETE, value=0.0, constraints={"size": 1.0})
    broken.datetime_start = broken.datetime_complete = BEGUN
    study.add_trial(broken)
    for at, value in enumerate([10.0, 9.0, 8.0]):
        add(study, at + 1, 1, value=value)
    assert budget.spent(study, None, 1) is None
    for at in range(3):
        add(study, at + 5, 1, value=9.0, **{REPEAT_OF: 2})
    assert budget.spent(study, None, 1) is None
