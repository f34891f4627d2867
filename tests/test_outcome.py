"""One state and one reason for whatever a trial can come to."""

import math
import signal
from typing import Any

import optuna
import pytest

from sweep.engine import outcome as outcomes
from sweep.engine.trial import TrialPruned


@pytest.mark.parametrize(
    ("value", "objectives", "state", "values"),
    [
        (1, 1, "COMPLETE", (1.0,)),
        ([1, 2.5], 2, "COMPLETE", (1.0, 2.5)),
        (math.nan, 1, "PRUNED", ()),
        (math.inf, 1, "PRUNED", ()),
        (None, 1, "FAIL", ()),
        ("a word", 1, "FAIL", ()),
        ([1, 2], 1, "FAIL", ()),
        (1.0, 2, "FAIL", ()),
    ],
)
def test_what_a_task_returns(value: Any, objectives: int, state: str, values: tuple[float, ...]) -> None:
    outcome = outcomes.returned(value, objectives)
    assert (outcome.state, outcome.values) == (state, values)
    assert bool(outcome.reason) == (state != "COMPLETE")


@pytest.mark.parametrize("error", [TrialPruned("pruned at step 3"), optuna.TrialPruned("pruned at step 3")])
def test_pruned_is_pruned_whoever_says_so(error: Exception) -> None:
    assert outcomes.raised(error) == outcomes.Outcome("PRUNED", reason="pruned at step 3")


def test_an_exception_fails_with_its_traceback_and_is_not_retried() -> None:
    try:
        raise KeyError("width")
    except KeyError as error:
        outcome = outcomes.raised(error)
    assert outcome.state == "FAIL"
    assert outcome.reason == "exception: KeyError: 'width'"
    assert "test_outcome.py" in outcome.traceback
    assert outcome.retry == "never"


def test_a_death_names_its_signal() -> None:
    assert outcomes.died(-signal.SIGSEGV).reason == "crash: SIGSEGV"
    assert outcomes.died(3).reason == "crash: exit status 3"
    assert outcomes.died(3).retry == "bounded"


def test_an_interruption_is_no_failure_to_the_tracker() -> None:
    assert outcomes.run_state(outcomes.stopped()) == "STOPPED"
    assert outcomes.run_state(outcomes.orphaned()) == "STOPPED"
    assert outcomes.run_state(outcomes.died(-9)) == "FAIL"
