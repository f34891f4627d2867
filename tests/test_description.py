import io

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console

from sweep.engine.identity import IDENTITY
from sweep.results.description import LONGEST, About, describe
from sweep.results.progress import render
from sweep.results.snapshot import snapshot

ABOUT = About("**Which** rate?", "python fit.py -m 'rate=interval(0.1,1)'", "/home/me_too/fits")
SPACE = {"model.depth": "range(1,5)", "rate": "tag(log,interval(0.1,1))"}


def filled(study: optuna.Study, count: int = 12, fixed: int = 3, state: TrialState = TrialState.COMPLETE) -> None:
    distributions = {"model.depth": IntDistribution(1, 4), "rate": FloatDistribution(0.1, 1, log=True)}
    for number in range(count):
        study.add_trial(
            create_trial(
                state=state,
                value=float(count - number) if state == TrialState.COMPLETE else None,
                params={"model.depth": 1 + number % 4, "rate": 0.25},
                distributions=distributions,
                user_attrs={"metrics": {"val/rmse": 1.5}},
            )
        )
    study.set_user_attr(IDENTITY, {"space": SPACE, "fixed": {f"data.key{index}": index for index in range(fixed)}})
    study.set_user_attr("n_trials", 20)
    study.set_user_attr("objective", "val/log10_rel_error")


def test_it_says_purpose_standing_best_trials_space_command_and_what_is_fixed(study: optuna.Study) -> None:
    filled(study)
    text = describe(study, ABOUT)
    assert text.startswith("**Which** rate?\n\n**12 of 20 trials are done** (12 complete). It minimizes val/log10")
    assert "Best: **1**, trial 11." in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert rows[0] == r"| rank | trial | val/log10\_rel\_error | depth | rate | rmse | s |"
    assert rows[1].startswith("| 1 | 11 | 1 | 4 | 0.25 | 1.5 |")
    assert len([row for row in rows if row.endswith(" 0 |")]) == 10, "the ten best"
    assert "| rate | tag(log,interval(0.1,1)) |" in rows
    assert r"In /home/me\_too/fits:" in text
    assert "```\npython fit.py -m 'rate=interval(0.1,1)'\n```" in text
    assert "data.key0: 0\ndata.key1: 1\ndata.key2: 2" in text


def test_a_study_that_cannot_be_compared_says_so_first(study: optuna.Study) -> None:
    filled(study)
    assert "omparable" not in describe(study, ABOUT)
    study.set_user_attr("not_comparable", "the scale moves")
    assert describe(study, ABOUT).startswith("**Which** rate?\n\nNot comparable: the scale moves\n\n**12 of 20")


def test_a_study_that_has_just_begun_has_no_leaderboard(study: optuna.Study) -> None:
    filled(study, 2, state=TrialState.WAITING)
    text = describe(study, About("", "sweep run -m", "/"))
    assert text.startswith("**0 of 20 trials are done** (2 waiting).")
    assert "Leaderboard" not in text
    assert "Best" not in text


def test_it_says_how_far_the_baselines_are_which_come_first(study: optuna.Study) -> None:
    study.set_user_attr("n_trials", 20)
    theirs = optuna.create_study(study_name="planted.baselines", storage=study._storage)
    assert "Baselines" not in describe(study, ABOUT), "none is asked for yet"
    assert snapshot(study).baselines is None
    for state in (TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING, TrialState.FAIL):
        theirs.add_trial(create_trial(state=state, value=1.0 if state == TrialState.COMPLETE else None))
    theirs.add_trial(create_trial(state=TrialState.WAITING, user_attrs={"retry_of": 3}))
    theirs.set_user_attr("wanted", [1, 2, 3])
    text = describe(study, ABOUT)
    assert "**0 of 20 trials are done** (no trials)." in text
    assert "Baselines: 1 of 3 are done." in text
    seen = snapshot(study)
    assert seen.to_json()["baselines"] == [1, 3]
    console = Console(width=100, file=io.StringIO())
    console.print(render(seen))
    assert "baselines: 1 of 3" in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_is_fixed_is_cut_before_anything_else(study: optuna.Study) -> None:
    filled(study, fixed=2000)
    text = describe(study, ABOUT)
    assert LONGEST - 200 < len(text) <= LONGEST
    assert "Leaderboard" in text
    assert "more in config/config.yaml" in text
    assert text.count("```") == 4


@pytest.mark.parametrize("length", [6_000, 7_000, 20_000])
def test_it_is_never_longer_than_mlflow_takes(study: optuna.Study, length: int) -> None:
    filled(study, fixed=100)
    assert len(describe(study, About("x" * length, "sweep run -m", "/"))) <= LONGEST


def test_several_objectives_have_a_front() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    distributions = {"rate": FloatDistribution(0, 1)}
    for number in range(3):
        values = [float(number), float(number)]
        study.add_trial(create_trial(values=values, params={"rate": 0.5}, distributions=distributions))
    study.add_trial(create_trial(values=[5.0, 0.0], params={"rate": 0.5}, distributions=distributions))
    text = describe(study, ABOUT)
    assert "Pareto front" in text
    assert "It minimizes value 1, maximizes value 2." in text
    assert len([line for line in text.splitlines() if line.startswith(("| 1", "| 2", "| 3", "| 4"))]) == 3
