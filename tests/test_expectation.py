"""What a run of an exported configuration says of its value."""

import math
from pathlib import Path
from typing import Any

import pytest
from application import Application

from sweep.engine.made_with import made_with
from sweep.results.expectation import Heard, compared, digest, equal_digits

VALUES = {"model": {"depth": 2, "rates": [1e-05, 2.0]}, "seed": 3}
THEN = {"commit": "abc", "tensorflow": "2.21.0", "processor": "fast"}
EXPECTS = {
    **{"of": "trial 7 of study s", "metric": "val/rmse", "value": 0.123456789, "configuration": digest(VALUES)},
    **{"evaluation": "0123", "made_with": THEN},
}


def said(value: float, **changes: Any) -> str:
    now: dict[str, Any] = {"metric": "val/rmse", "values": VALUES, "overrides": [], "evaluation": "0123"}
    return compared(EXPECTS, value=value, **{**now, "made_with": THEN, **changes})


def test_the_same_value_is_the_same_to_the_last_digit_whatever_else_has_changed() -> None:
    same = "The same value as trial 7 of study s had, to the last digit."
    assert said(0.123456789) == same
    assert said(0.123456789, made_with={**THEN, "commit": "def"}) == same


def test_a_value_that_is_like_it_and_one_that_is_not() -> None:
    assert said(0.12345679).startswith("The same to 8 digits: trial 7 of study s had val/rmse = 0.123456789, this run")
    assert said(0.2).startswith("Not the same value: trial 7 of study s had val/rmse = 0.123456789, this run 0.2.")
    assert said(math.nan).startswith("Not the same value")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "Nothing else that is known of the two differs."),
        ({"values": {**VALUES, "seed": 4}, "overrides": ["seed=4"]}, "Not as it was: the configuration (seed=4)."),
        ({"values": {**VALUES, "seed": 4}}, "Not as it was: the configuration, which was changed in its file."),
        ({"evaluation": "4567"}, "the evaluation set (digest 0123 then, 4567 now)"),
        ({"made_with": {**THEN, "tensorflow": "2.22.0"}}, "Not as it was: tensorflow (2.21.0 then, 2.22.0 now)."),
        ({"made_with": {**THEN, "GPU": "H"}}, "Not as it was: GPU (none then, H now)."),
        ({"made_with": {}}, "commit (abc then, none now); tensorflow"),
        ({"metric": "val/r2"}, "Not compared: trial 7 of study s had val/rmse = 0.123456789, and the objective"),
    ],
)
def test_what_is_not_as_it_was_is_said(changes: dict[str, Any], why: str) -> None:
    assert why in said(0.2, **changes)


def test_changes_since_a_commit_may_be_others() -> None:
    dirty = {"commit": "abc with changes"}
    text = compared({**EXPECTS, "made_with": dirty}, "val/rmse", 0.2, VALUES, [], "0123", dirty)
    assert "perhaps what was changed since that commit" in text


@pytest.mark.parametrize(
    ("one", "other", "digits"),
    [(1.0, 1.0, 16), (1.0, 1.1, 1), (-0.5, 0.5, 0), (1e-9, 1.000001e-9, 6), (0.0, 0.0, 16), (0.0, 1.0, 0)],
)
def test_equal_digits(one: float, other: float, digits: int) -> None:
    assert equal_digits(one, other) == digits
    assert equal_digits(one, math.inf) == equal_digits(math.nan, other) == 0


def test_a_digest_is_of_values_not_of_their_order() -> None:
    assert digest({"seed": 3, "model": {"rates": [1e-5, 2.0], "depth": 2}}) == digest(VALUES)
    assert digest({**VALUES, "seed": 3.5}) != digest(VALUES)


def test_facts_are_heard_and_handed_on() -> None:
    sent: list[str] = []
    heard = Heard(lambda kind, _: bool(sent.append(kind)))
    assert not heard("facts", {"a": 1})
    assert not heard("report", {"value": 2.0})
    assert (heard.facts, sent) == ({"a": 1}, ["facts", "report"])


def test_what_this_process_runs_with() -> None:
    mine = made_with("abc with changes")
    assert mine["commit"] == "abc with changes"
    assert {"python", "sweep", "tensorflow", "numpy"} <= set(mine)
    import optuna

    assert mine["optuna"] == optuna.__version__
    assert "commit" not in made_with(None)
    assert all(isinstance(value, str) and value for value in mine.values())


def test_every_trial_says_what_it_was_run_with(application: Application) -> None:
    application.run("x=interval(-2,2)", "n=1", "hydra.sweeper.n_trials=2")
    for trial in application.study.trials:
        assert trial.user_attrs["made_with"]["python"].startswith("3.")
        assert "commit" not in trial.user_attrs["made_with"], "its folder is no checkout"
    assert not list(Path(application.folder, "out").glob("**/experiment"))
