import io

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console

from sweep.engine.errors import UserError
from sweep.engine.names import short_names
from sweep.results.leaderboard import number, ranked, states, table

SPACE = {
    "model.depth": IntDistribution(1, 8),
    "model.width": IntDistribution(16, 256),
    "optimizer.learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "data.entry_range": CategoricalDistribution(["[-1,1]", "[-2,2]"]),
    "data.target_scale": FloatDistribution(1.0, 20.0, log=True),
}


def params(trial):
    return {
        **{"model.depth": 1 + trial, "model.width": 256, "optimizer.learning_rate": 1.2345678e-4},
        **{"data.entry_range": "[-2,2]", "data.target_scale": 12.345678},
    }


def add(study, values, state=TrialState.COMPLETE, **attributes):
    trial = len(study.get_trials(deepcopy=False))
    searched = {"params": params(trial), "distributions": SPACE} if state != TrialState.WAITING else {}
    study.add_trial(create_trial(state=state, values=values, user_attrs=attributes, **searched))


@pytest.fixture
def played(study):
    """Six first attempts, one of them run again: 3 complete, 1 pruned, 1 failed, 1 waiting."""
    study.set_user_attr("objective", "val/log10_rel_error")
    for value, rmse, share in ((-0.5, 1.0, 0.10), (-0.7, 1.5, 0.30), (-0.6, 0.5, 0.20)):
        metrics = {"val/rmse": rmse, "val/rel_error_median": 10**value, "val/within_5pct": share, "train/loss": rmse}
        add(study, [value], metrics=metrics)
    add(study, None, TrialState.PRUNED, reason="diverged", metrics={"val/rmse": 1e-9})
    add(study, None, TrialState.FAIL, reason="crash: SIGKILL")
    add(study, None, TrialState.FAIL, retry_of=4)
    add(study, None, TrialState.WAITING)
    return study


def drawn(renderable, width):
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("metric", "order"),
    [
        (None, [1, 2, 0]),
        ("val/log10_rel_error", [1, 2, 0]),
        ("val/rmse", [2, 0, 1]),
        ("val/within_5pct", [1, 2, 0]),
        ("train/loss", [2, 0, 1]),
    ],
)
def test_the_best_is_first_whichever_way_that_is(played, metric, order):
    assert [trial.number for trial in ranked(played, metric)] == order


def test_a_maximised_objective_is_ranked_downwards(tmp_path):
    study = optuna.create_study(direction="maximize")
    for value in (0.1, 0.3, 0.2):
        add(study, [value])
    assert [trial.number for trial in ranked(study)] == [1, 2, 0]


def test_an_unknown_metric_lists_what_there_is(played):
    with pytest.raises(
        UserError, match=r"--metric: got val/rsme, allowed is one of val/log10_rel_error, train/loss, val/"
    ):
        ranked(played, "val/rsme")
    add(played, [0.0], metrics={"mystery": 1.0})
    with pytest.raises(UserError, match="known to be better small or large"):
        ranked(played, "mystery")


def test_a_study_without_complete_trials_is_an_empty_table(study):
    assert ranked(study) == ranked(study, "val/rmse") == []
    assert "no trials" in drawn(table(study), 80)


def test_a_trial_that_was_run_again_counts_once(played):
    assert states(played) == {"COMPLETE": 3, "PRUNED": 1, "FAIL": 1, "WAITING": 1}


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_fits_and_shows_every_parameter(played, width):
    text = drawn(table(played), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for cell in ("-0.7", "1.23e-4", "[-2,2]", "12.3", "30.0%", "0.2", "256"):
        assert cell in text
    words = text.split()
    for word in ("trial", "value", "depth", "width", "rmse", "median", "scale"):
        assert word in words
    assert "3 complete, 1 pruned, 1 fail, 1 waiting" in text
    assert "planted: best by val/log10_rel_error" in text


def test_the_metric_that_ranks_is_shown_first_and_top_limits(played):
    text = drawn(table(played, top=2, metric="val/within_1pct".replace("1", "5")), 140)
    heading = next(line for line in text.splitlines() if "trial" in line)
    assert heading.index("within 5pct") < heading.index("rmse")
    assert [line.split()[1] for line in text.splitlines() if line.strip()[:1].isdigit() and "%" in line] == ["1", "2"]


def test_names_are_as_short_as_they_can_be():
    assert short_names(
        ["model.depth", "data.matrix_size", "evaluation.matrix_size", "matrix_size", "a.b.c", "x.b.c"]
    ) == {
        **{"model.depth": "depth", "data.matrix_size": "data.matrix_size"},
        **{"evaluation.matrix_size": "evaluation.matrix_size", "matrix_size": "matrix_size"},
        **{"a.b.c": "a.b.c", "x.b.c": "x.b.c"},
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00012345678, "1.235e-4"),
        (123, "123"),
        (True, "True"),
        ("[-2,2]", "[-2,2]"),
        (-0.5, "-0.5"),
        (1e10, "1e10"),
        (0.0, "0"),
        (0.05, "0.05"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
