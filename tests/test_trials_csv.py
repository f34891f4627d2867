import csv
import io
import math

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from sweep.results.trials_csv import trials_csv

SPACE = {"rate": FloatDistribution(0, 1), "act": CategoricalDistribution(["relu", "a,b"])}


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def add(study: optuna.Study, value=None, rate=0.5, state=TrialState.COMPLETE, **attributes) -> None:
    study.add_trial(
        create_trial(
            state=state,
            value=value,
            params={"rate": rate, "act": "a,b"},
            distributions=SPACE,
            user_attrs={"metrics": {"val/rmse": 2 * rate}, "seed": 7, **attributes},
        )
    )


def test_every_trial_is_a_row_the_best_first(study: optuna.Study) -> None:
    study.set_user_attr("objective", "val/rmse")
    add(study, 2.0)
    add(study, 1.0, rate=0.1 + 0.2)
    add(study, state=TrialState.FAIL, reason="exception: ValueError: a,\nb", retry_of=0)
    study.add_trial(create_trial(state=TrialState.WAITING))
    rows = read(trials_csv(study, {1: "abc"}))
    assert [row["number"] for row in rows] == ["1", "0", "2", "3"]
    assert [row["rank"] for row in rows] == ["1", "2", "", ""]
    assert [row["state"] for row in rows] == ["COMPLETE", "COMPLETE", "FAIL", "WAITING"]
    best, _, failed, waiting = rows
    assert (best["run_id"], best["seed"], best["params.act"]) == ("abc", "7", "a,b")
    assert float(best["params.rate"]) == 0.1 + 0.2, "as exact as it was"
    assert (float(best["values.val/rmse"]), float(best["metrics.val/rmse"])) == (1.0, 2 * (0.1 + 0.2))
    assert (failed["reason"], failed["values.val/rmse"], failed["retry_of"]) == (
        "exception: ValueError: a,\nb",
        "",
        "0",
    )
    assert math.isfinite(float(best["seconds"]))
    assert (waiting["params.rate"], waiting["seconds"]) == ("", "")


def test_several_objectives_are_columns_and_the_front_has_ranks() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    for values in ([1.0, 2.0], [2.0, 1.0], [3.0, 3.0]):
        study.add_trial(create_trial(values=values, params={"rate": 0.5}, distributions={"rate": SPACE["rate"]}))
    rows = read(trials_csv(study))
    assert [(row["number"], row["rank"], row["values.value 1"], row["values.value 2"]) for row in rows] == [
        ("0", "1", "1.0", "2.0"),
        ("1", "2", "2.0", "1.0"),
        ("2", "", "3.0", "3.0"),
    ]


def test_an_objective_may_be_called_what_a_column_is(study: optuna.Study) -> None:
    study.set_user_attr("objective", "seconds")
    add(study, 90.0)
    (row,) = read(trials_csv(study))
    assert float(row["values.seconds"]) == 90.0
    assert float(row["seconds"]) < 90.0


def test_trials_that_cannot_be_compared_say_so_in_every_row(study: optuna.Study) -> None:
    add(study, 1.0)
    assert "not_comparable" not in read(trials_csv(study))[0]
    study.set_user_attr("not_comparable", "the scale moves")
    add(study, state=TrialState.FAIL)
    assert [row["not_comparable"] for row in read(trials_csv(study))] == ["the scale moves"] * 2
