"""The roles of a study's keys: what may have which, and what a study with roles says."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from application import Application
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console

from sweep import preflight
from sweep.cli import task
from sweep.engine.errors import UserError
from sweep.results.roles import Value, answer, best_of, table

SPACE: dict[str, BaseDistribution] = {
    "model": CategoricalDistribution(["dense", "gated"]),
    "rate": FloatDistribution(1e-4, 1.0, log=True),
    "width": IntDistribution(1, 64),
    "depth": IntDistribution(1, 4),
}
ROLES = {"scientific": ["model"], "nuisance": ["rate", "width", "depth"], "fixed": {"batch": 64, "loss": "mse"}}
Add = Callable[..., None]


@pytest.fixture
def add(study: optuna.Study) -> Add:
    """Adds a trial with these params."""
    study.set_user_attr("objective", "error")
    study.set_user_attr("roles", ROLES)

    def added(value: float | None, state: TrialState = TrialState.COMPLETE, /, **params: Any) -> None:
        attributes = {"repeat_of": params.pop("repeat_of")} if "repeat_of" in params else {}
        drawn = {key: SPACE[key] for key in params}
        values = None if value is None else [value]
        study.add_trial(
            create_trial(state=state, values=values, params=params, distributions=drawn, user_attrs=attributes)
        )

    return added


def values(study: optuna.Study, key: str) -> dict[str, Value]:
    said = answer(study)
    assert said is not None
    (found,) = [comparison for comparison in said.comparisons if comparison.key == key]
    return {value.label: value for value in found.values}


def test_each_value_is_seen_at_its_best_nuisance_setting(study: optuna.Study, add: Add) -> None:
    """On average dense is better; at its best rate, gated is."""
    for rate in (1e-3, 1e-2, 1e-1):
        add(0.5, model="dense", rate=rate)
        add(0.1 if rate == 1e-2 else 2.0, model="gated", rate=rate)
    found = values(study, "model")
    assert list(found) == ["dense", "gated"]
    assert (found["dense"].best, found["gated"].best) == (0.5, 0.1)
    assert found["gated"].setting == {"rate": 1e-2}
    assert found["gated"].trial == 3
    assert answer(study).fixed == {"batch": 64, "loss": "mse"}  # type: ignore[union-attr]


def test_more_trials_are_no_advantage(study: optuna.Study, add: Add) -> None:
    """Both values draw from the same distribution, one of them ten times as often."""
    drawn = np.random.default_rng(0).normal(size=110)
    for index, value in enumerate(drawn):
        add(float(value), model="dense" if index < 10 else "gated")
    few, many = values(study, "model").values()
    assert (few.trials, many.trials) == (10, 100)
    assert many.best < few.best - 0.5  # type: ignore[operator]
    assert abs(many.middle - few.middle) < 0.1  # type: ignore[operator]
    assert many.low <= few.middle <= many.high  # type: ignore[operator]


@pytest.mark.parametrize("draws", [1, 3, 12])
def test_the_best_of_equally_many_is_that_of_a_bootstrap(draws: int) -> None:
    rng = np.random.default_rng(1)
    ordered = np.sort(rng.lognormal(size=12))
    drawn = rng.choice(ordered, (200_000, draws)).min(1)
    for closed, share in zip(best_of(ordered, draws), (0.025, 0.5, 0.975), strict=True):
        assert np.mean(drawn < closed) - 0.01 < share < np.mean(drawn <= closed) + 0.01


def test_trials_without_a_result_count_as_the_worst_and_told_ones_not_at_all(study: optuna.Study, add: Add) -> None:
    for value in (1.0, 2.0, 3.0, 9.0):
        add(value, model="dense")
    for _ in range(3):
        add(None, TrialState.PRUNED, model="gated")
    add(1.5, model="gated")
    add(1.5, model="gated", repeat_of=7)
    add(None, TrialState.RUNNING, model="gated")
    gated = values(study, "model")["gated"]
    assert gated.trials == 4
    assert (gated.best, gated.low, gated.high) == (1.5, 1.5, 9.0)


def test_a_value_with_few_trials_is_listed_but_not_compared(study: optuna.Study, add: Add) -> None:
    for value in (1.0, 2.0, 3.0, 4.0):
        add(value, model="dense")
    add(0.5, model="gated")
    found = values(study, "model")
    assert found["gated"].best == 0.5
    assert found["gated"].middle is None
    assert answer(study).comparisons[0].draws == 4  # type: ignore[union-attr]
    assert found["dense"].high == 3.0, "by the draws of dense alone, of which 4.0 is the best once in 256"


def test_ranges_are_cut_into_parts_and_few_numbers_are_not(study: optuna.Study, add: Add) -> None:
    study.set_user_attr("roles", {**ROLES, "scientific": ["depth", "width", "rate"]})
    for index in range(64):
        add(float(index), depth=1 + index % 4, width=1 + index, rate=float(10 ** (-4 + index / 16)))
    assert list(values(study, "depth")) == ["1", "2", "3", "4"]
    widths = values(study, "width")
    assert list(widths) == ["1 – 11", "12 – 21", "22 – 32", "33 – 42", "43 – 53", "54 – 64"]
    assert sum(value.trials for value in widths.values()) == 64
    assert widths["12 – 21"].best == 11.0
    rates = values(study, "rate")
    assert len(rates) == 6
    assert next(iter(rates)) == "1e-4 – 4.6e-4"
    assert sum(value.trials for value in rates.values()) == 64


def test_choices_that_read_alike_are_not_one(study: optuna.Study) -> None:
    choices = [2, "2", True, "true", 1024.0, 1024.4, None, "null"]
    study.set_user_attr("roles", {**ROLES, "scientific": ["x"]})
    for index, choice in enumerate(choices):
        drawn = {"x": CategoricalDistribution(choices)}
        study.add_trial(create_trial(value=float(index), params={"x": choice}, distributions=drawn))
    found = values(study, "x")
    assert list(found) == ["2", '"2"', "true", '"true"', "1024.0", "1024.4", "null", '"null"']
    assert [value.best for value in found.values()] == list(range(8))


def asked(study: optuna.Study) -> list[tuple[str, str]]:
    said = answer(study)
    assert said is not None
    return [pair for comparison in said.comparisons for pair in comparison.better or ()]


def at_random(seed: int, value: Callable[[dict[str, Any]], float], trials: int = 64) -> optuna.Study:
    """A study of random trials, whose value is that of a function of the params, and noise."""
    drawn, rng = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)), np.random.default_rng(seed)
    drawn.set_user_attr("roles", {**ROLES, "scientific": ["model", "width", "depth"]})
    for _ in range(trials):
        trial = drawn.ask(SPACE)
        drawn.tell(trial, value(trial.params) + 0.1 * rng.standard_normal())
    return drawn


def test_where_nothing_matters_hardly_any_value_is_called_better() -> None:
    assert sum(bool(asked(at_random(seed, lambda params: 0.0))) for seed in range(40)) <= 0.05 * 40


def test_a_sampler_that_searches_favours_values_and_then_none_is_called_better() -> None:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.set_user_attr("roles", {**ROLES, "scientific": ["model", "width", "depth"]})
    for _ in range(64):
        trial = study.ask(SPACE)
        study.tell(trial, abs(np.log10(trial.params["rate"]) + 2))
    assert asked(study) == []
    (sentence,) = answer(study).sentences  # type: ignore[union-attr]
    assert sentence.startswith(
        "Of model, width and depth, these trials cannot tell which value is better: their sampler sear"
    )


def test_a_value_that_is_better_at_its_best_is_called_so_and_the_others_are_not() -> None:
    def value(params: dict[str, Any]) -> float:
        return abs(np.log10(params["rate"]) + 2) + 0.7 * (params["model"] == "dense")

    drawn = at_random(0, value)
    assert asked(drawn) == [("gated", "dense")]
    assert answer(drawn).sentences == [  # type: ignore[union-attr]
        "Of model, gated is better than dense.",
        "Of width and depth, these trials cannot tell which value is better.",
    ]


def test_a_maximized_objective_is_best_when_it_is_large(add: Add, study: optuna.Study) -> None:
    upward = optuna.create_study(direction="maximize")
    upward.set_user_attr("roles", ROLES)
    for value in (1.0, 2.0, 3.0):
        add(value, model="dense")
    upward.add_trials(study.trials)
    dense = values(upward, "model")["dense"]
    assert (dense.best, dense.low, dense.high) == (3.0, 1.0, 3.0)
    assert dense.middle == 3.0


def test_without_roles_or_with_several_objectives_nothing_is_said(add: Add, study: optuna.Study) -> None:
    add(1.0, model="dense")
    study.set_user_attr("roles", None)
    assert answer(study) is None
    several = optuna.create_study(directions=["minimize", "minimize"])
    several.set_user_attr("roles", ROLES)
    assert answer(several) is None


def test_the_table_has_values_settings_and_what_was_held_still(study: optuna.Study, add: Add) -> None:
    for value in (1.0, 2.0, 3.0):
        add(value, model="dense", rate=value / 10)
    said = answer(study)
    assert said is not None
    console = Console(file=io.StringIO(), width=100)
    console.print(table(study, said))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Holds for what was held still: batch=64, loss=mse" in printed
    (row,) = [line.split() for line in printed.splitlines() if "dense" in line]
    assert row == ["model", "dense", "3", "1", "0", "3", "1", "(1", "to", "3)"]


BASE = ("-m", "study=quickstart")


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ("{scientific:[model.dpeth]}", ["roles.scientific: got model.dpeth", "did you mean model.depth?"]),
        ("{nuisance:[train.loss]}", ["roles.nuisance: got train.loss", "a parameter that varies"]),
        ("{fixed:[model.depth]}", ["roles.fixed: got model.depth, which varies", "one value"]),
        ("{fixed:[train.lss]}", ["roles.fixed: got train.lss", "did you mean train.loss?"]),
        ("{scientific:[model.depth],nuisance:[model.depth]}", ["model.depth, which is scientific, too"]),
        ("{scientfic:[model.depth]}", ["roles.scientfic", "did you mean scientific?"]),
        ("{scientific:model.depth}", ["roles.scientific", "a list of keys"]),
    ],
)
def test_roles_that_make_no_sense_are_refused(
    roles: str, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_ROOT", str(tmp_path))
    with pytest.raises(UserError) as error:
        preflight.check([*BASE, f"+hydra.sweeper.roles={roles}"], task)
    assert all(text in str(error.value) for text in said), str(error.value)


def test_a_study_keeps_its_roles_and_says_what_they_ask(application: Application) -> None:
    space = ("x=interval(-2,2)", "n=range(1,4)", "hydra.sweeper.n_trials=6", "hydra/sweeper/pruner=none")
    output = application.run(*space, "+hydra.sweeper.roles={scientific:[n],fixed:[fault,seconds]}")
    assert application.study.user_attrs["roles"] == {
        "scientific": ["n"],
        "nuisance": ["x"],
        "fixed": {"fault": "none", "seconds": 0.0},
    }
    assert "of each value at its best setting" in output
    assert "held still: fault=none" in output
    output = application.run(*space)
    assert "of each value at its best setting" not in output, "roles are no part of what makes it this study"
