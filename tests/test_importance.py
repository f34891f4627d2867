"""What a study's trials say about its parameters: on planted objectives, and with everything a study may hold."""

import math
import re

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from benchmarks.planted import NOISE, OBJECTIVES, judge
from benchmarks.planted import study as planted_study
from sweep.results.evaluators import fanova
from sweep.results.importance import importances
from sweep.results.observations import Axis, observe

X = FloatDistribution(0, 1)
CHOICE = CategoricalDistribution(["[-1,1]", "[-2,2]", None, "relu"])


@pytest.fixture
def fill():
    """Fills a study with trials at random points, whose value is that of a function of the params."""

    def filled(study, value, count=32, seed=0, **space):
        rng = np.random.default_rng(seed)
        for _ in range(count):
            params = {name: drawn(distribution, rng) for name, distribution in space.items()}
            found = value(params)
            state = TrialState.PRUNED if found == math.inf else TrialState.COMPLETE
            study.add_trial(
                create_trial(
                    params=params,
                    distributions=space,
                    values=None if found == math.inf else np.atleast_1d(found).tolist(),
                    state=state,
                    user_attrs={"reason": "diverged"} if found == math.inf else {},
                )
            )
        return study

    return filled


def drawn(distribution, rng):
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[rng.integers(len(distribution.choices))]
    if isinstance(distribution, IntDistribution):
        return int(rng.integers(distribution.low, distribution.high + 1))
    low, high = distribution.low, distribution.high
    return math.exp(rng.uniform(math.log(low), math.log(high))) if distribution.log else rng.uniform(low, high)


def by_param(found):
    return {importance.param: importance for importance in found.params}


def text(found):
    return " ".join(found.sentences)


KINDS = [
    (name, sampler, seed) for name in ("additive", "interaction") for sampler in ("random", "qmc") for seed in (0, 1)
]


@pytest.fixture(scope="module")
def verdicts():
    """What is said of eight planted studies with noise, and how much of it is right; `benchmarks.planted` in short."""
    found = []
    for name, sampler, seed in KINDS:
        study = planted_study(OBJECTIVES[name], NOISE, sampler, seed)
        found.append(judge(OBJECTIVES[name], NOISE, importances(study, seed)))
    return found


def test_the_most_important_parameter_is_first(verdicts):
    right = [OBJECTIVES[name].matter[0] for name, _, _ in KINDS]
    assert sum(verdict.first[0] == first for verdict, first in zip(verdicts, right, strict=True)) >= 7


def test_what_is_stated_as_certain_is_true_and_much_is_stated(verdicts):
    said = sum(verdict.said for verdict in verdicts)
    assert said >= 8 * 8
    assert sum(verdict.wrong for verdict in verdicts) <= 0.05 * said
    assert sum(verdict.called_idle for verdict in verdicts) == 0
    assert sum(verdict.depend for verdict in verdicts) >= 3
    assert sum(verdict.depend_wrong for verdict in verdicts) == 0


@pytest.mark.parametrize("name", ["needle", "cliff"])
def test_where_few_trials_tell_or_many_are_pruned_what_is_stated_is_true(name):
    found = [
        judge(OBJECTIVES[name], NOISE, importances(planted_study(OBJECTIVES[name], NOISE, "random", seed), seed))
        for seed in range(4)
    ]
    assert sum(verdict.said for verdict in found) >= 4
    assert sum(verdict.wrong for verdict in found) <= 0.05 * sum(verdict.said for verdict in found)
    assert sum(verdict.depend_wrong + verdict.called_idle + verdict.idle_called_important for verdict in found) == 0


def test_what_does_nothing_is_not_called_important_and_what_does_most_is(verdicts):
    assert sum(verdict.idle_called_important for verdict in verdicts) == 0
    assert sum(verdict.top_two_named for verdict in verdicts) >= 7


def test_without_noise_every_sentence_is_said():
    found = importances(planted_study(OBJECTIVES["interaction"], 0.0, "qmc", 0))
    assert [importance.param for importance in found.params][:4] == OBJECTIVES["interaction"].matter
    assert found.trials == 64
    said = text(found)
    assert "This rests on 64 complete trials." in said
    assert "learning_rate matters most." in said
    assert "depth matters more than activation and entry_range" in said
    assert "What learning_rate does depends on depth" in said or "What depth does depends on learning_rate" in said
    assert "What does not matter in this space: " in said
    assert {importance.param for importance in found.params if importance.matters is False} == {"width", "bias"}
    assert "not spread evenly" not in said
    assert found.together[0].params in {("depth", "learning_rate"), ("learning_rate", "depth")}
    assert found.together[0].share == pytest.approx(0.25, abs=0.05)


def test_shares_of_optunas_measures_sum_to_one_and_lie_in_their_intervals(study, fill):
    found = importances(fill(study, lambda p: p["a"] + 0.1 * p["b"], a=X, b=X))
    assert found.params[0].param == "a"
    for name in ("ped_anova", "fanova"):
        assert sum(getattr(importance, name) for importance in found.params) == pytest.approx(1)
        for importance in found.params:
            low, high = getattr(importance, f"{name}_interval")
            assert 0 <= low <= getattr(importance, name) <= high <= 1


def test_the_same_trials_and_seed_give_the_same_answer_and_it_hardly_hangs_on_the_seed(study, fill):
    fill(study, lambda p: p["a"] + 0.5 * p["b"], a=X, b=X)
    first = importances(study, seed=3)
    assert first == importances(study, seed=3)
    other = importances(study, seed=4)
    assert first != other
    assert first.params[0].share == pytest.approx(other.params[0].share, abs=0.02)
    assert first.more_than == other.more_than == (("a", "b"),)


def test_maximizing_is_minimizing_the_negative(tmp_path, fill):
    value = lambda p: p["a"] ** 2 + 0.2 * p["b"]  # noqa: E731
    down = importances(fill(optuna.create_study(), value, a=X, b=X))
    up = importances(fill(optuna.create_study(direction="maximize"), lambda p: -value(p), a=X, b=X))
    assert up.params == down.params


def test_what_is_tied_is_said_together_and_what_matters_comes_first(study, fill):
    found = importances(fill(study, lambda p: p["a"] + p["b"] + p["c"], count=64, a=X, b=X, c=X))
    assert found.more_than == ()
    assert found.sentences[0].startswith("What matters, as shares")
    assert re.search(r"cannot tell: which of ., . and . matters most\.", text(found))


def test_noise_alone_proves_nothing(study, fill):
    rng = np.random.default_rng(5)
    found = importances(fill(study, lambda p: rng.standard_normal(), count=20, a=X, b=X, c=CHOICE))
    assert found.more_than == ()
    assert [importance.matters for importance in found.params] == [None] * 3
    assert "What these trials cannot tell: whether " in text(found)


@pytest.mark.parametrize(
    ("value", "count", "said"),
    [
        (lambda p: p["a"], 0, "This rests on 0 complete trials. That is too few to tell what matters: it takes 10."),
        (lambda p: p["a"], 9, "This rests on 9 complete trials. That is too few to tell what matters: it takes 10."),
        (lambda p: 1.0, 20, "This rests on 20 complete trials. All have the same value"),
        (lambda p: math.inf, 20, "This rests on 0 complete trials and 20 that diverged, which count as the worst. All"),
    ],
)
def test_where_nothing_can_be_said_that_is_said(study, fill, value, count, said):
    found = importances(fill(study, value, count=count, a=X))
    assert text(found).startswith(said)
    assert found.more_than == found.together == ()
    assert [importance.matters for importance in found.params] == [None] * (count > 0)


def test_a_parameter_that_never_varied_is_last_and_nothing_is_said_of_it(study, fill):
    space = {"model.a": X, "model.fixed": CategoricalDistribution(["relu"]), "b": IntDistribution(3, 3)}
    found = importances(fill(study, lambda p: p["model.a"], count=16, **space))
    assert [importance.param for importance in found.params] == ["model.a", "b", "model.fixed"]
    assert found.params[0].matters
    assert {found.params[1].share, found.params[1].matters, found.params[2].fanova} == {None}
    assert "Nothing can be said of what had one value only: b and fixed." in text(found)
    assert "a matters most." in text(found)
    alone = importances(fill(optuna.create_study(), lambda p: p["b"], count=16, b=IntDistribution(3, 3)))
    assert "No parameter took more than one value" in text(alone)


def test_what_tells_nothing_comparable_is_left_out_and_said_to_be(study, fill):
    fill(study, lambda p: p["a"], count=12, a=X)
    for state, attributes in (
        (TrialState.PRUNED, {"user_attrs": {"reason": "pruned at step 3"}}),
        (TrialState.FAIL, {}),
        (TrialState.COMPLETE, {"constraints": {"memory": 1.0}}),
        (TrialState.COMPLETE, {"user_attrs": {"repeat_of": 0}}),
        (TrialState.RUNNING, {}),
    ):
        values = [100.0] if state == TrialState.COMPLETE else None
        study.add_trial(
            create_trial(state=state, values=values, params={"a": 0.0}, distributions={"a": X}, **attributes)
        )
    assert len(observe(study).trials) == 12
    found = importances(study)
    assert found.trials == 12
    assert "Left out, since they have no comparable value: 1 pruned, 1 failed and 1 infeasible." in text(found)


def test_what_made_the_pruned_trials_bad_may_be_what_matters_most(study, fill):
    """A learning rate too large is five units worse, and all of that was pruned: nothing of it is in what is left."""
    space = {"rate": X, "depth": X, "idle": X}
    fill(study, lambda p: 0.2 * p["depth"] + 0.1 * (p["rate"] > 0.5), count=64, **space)
    whole = importances(study)
    assert by_param(whole)["idle"].matters is False
    assert "depth matters most." in text(whole)
    assert "What does not matter in this space: idle" in text(whole)
    rng = np.random.default_rng(1)
    for _ in range(8):
        params = {name: rng.uniform() for name in space}
        pruned = create_trial(state=TrialState.PRUNED, params=params, distributions=space, intermediate_values={1: 5.0})
        study.add_trial(pruned)
    found = importances(study)
    assert by_param(found)["depth"].matters
    assert not [importance for importance in found.params if importance.matters is False]
    assert "What matters among the trials that were trained to their end, as shares" in text(found)
    assert "matters most" not in text(found)
    assert "does not matter" not in text(found)
    assert "cannot tell: whether idle" in text(found)


def test_a_trial_that_diverged_counts_as_the_worst(study, fill):
    fill(study, lambda p: math.inf if p["rate"] > 0.7 else p["b"], count=48, rate=X, b=X)
    observed = observe(study)
    assert observed.diverged > 5
    worst = max(range(len(study.trials)), key=lambda number: study.trials[number].value or 0.0)
    assert observed.badness.max() == observed.badness[worst]
    found = importances(study)
    assert found.diverged == observed.diverged
    assert by_param(found)["rate"].matters
    assert f"and {observed.diverged} that diverged, which count as the worst" in text(found)


def test_a_value_far_out_does_not_hide_the_others(study, fill):
    fill(study, lambda p: 1e30 if p["b"] > 0.97 else p["a"] - 0.5, count=48, seed=1, a=X, b=X)
    found = importances(study)
    assert found.params[0].param == "a"
    assert found.params[0].matters
    assert "far out at the bad end" in text(found)


def test_the_best_trial_is_never_pulled_in(study, fill):
    fill(study, lambda p: -50.0 if p["a"] > 0.9 else p["a"], count=32, a=X)
    observed = observe(study)
    assert observed.badness.min() * 64 == -50


def test_an_error_over_magnitudes_is_looked_at_in_logarithms(study, fill):
    found = importances(fill(study, lambda p: 10 ** (3 * p["a"] + p["b"]), count=40, a=X, b=X, idle=X))
    assert "the logarithm of objective" in text(found)
    assert found.params[0].share == pytest.approx(0.9, abs=0.03)
    assert by_param(found)["idle"].matters is False
    near = fill(optuna.create_study(), lambda p: 1 + p["a"], count=12, a=X)
    assert not observe(near).logarithmic


def test_every_kind_of_parameter_is_measured_alike(study, fill):
    """The same effect, by what is drawn evenly, in logarithms, as integers and as a choice, is as important."""
    space = {"even": X, "log": FloatDistribution(1e-6, 1e-1, log=True), "int": IntDistribution(1, 16), "list": CHOICE}
    value = lambda p: (  # noqa: E731
        p["even"] + (math.log10(p["log"]) + 6) / 5 + (p["int"] - 1) / 15 + CHOICE.choices.index(p["list"]) / 3
    )
    found = importances(fill(study, value, count=96, **space))
    assert all(importance.matters for importance in found.params)
    # Values of [0, 1] that are drawn evenly: k have the variance (k + 1) / 12 / (k - 1), infinitely many 1 / 12.
    variances = {"even": 1 / 12, "log": 1 / 12, "int": 17 / 12 / 15, "list": 5 / 12 / 3}
    truth = {name: variance / sum(variances.values()) for name, variance in variances.items()}
    assert {each.param: each.share for each in found.params} == pytest.approx(truth, abs=0.05)
    assert all(importance.fanova > 0.05 for importance in found.params)


@pytest.mark.parametrize(
    ("distribution", "value", "place"),
    [
        (FloatDistribution(0, 4), 1.0, 0.25),
        (FloatDistribution(1e-4, 1, log=True), 1e-2, 0.5),
        (FloatDistribution(0, 1, step=0.25), 0.5, 0.5),
        (IntDistribution(1, 4), 1, 0.125),
        (IntDistribution(1, 4, log=True), 4, 0.947),
        (CHOICE, "[-2,2]", 0.375),
        (CHOICE, None, 0.625),
    ],
)
def test_places_are_even_for_what_is_drawn(distribution, value, place):
    levels = {CHOICE: 4}.get(distribution, 0)
    assert Axis("x", distribution, levels).place(value) == pytest.approx(place, abs=1e-3)


def test_a_conditional_parameter_matters_where_it_exists(study):
    rng = np.random.default_rng(0)
    for _ in range(80):
        params = {"optimizer": ["sgd", "adam"][rng.integers(2)], "other": rng.random()}
        distributions = {"optimizer": CategoricalDistribution(["sgd", "adam"]), "other": X, "momentum": X}
        if params["optimizer"] == "sgd":
            params["momentum"] = rng.random()
        else:
            del distributions["momentum"]
        value = params.get("momentum", 0.5) + 0.1 * rng.standard_normal()
        study.add_trial(create_trial(params=params, distributions=distributions, value=value))
    found = importances(study)
    assert found.params[0].param == "momentum"
    assert found.params[0].matters
    assert by_param(found)["optimizer"].matters is not True
    assert by_param(found)["momentum"].fanova > by_param(found)["optimizer"].fanova


def test_a_conditional_parameter_does_not_take_the_place_of_its_condition(study):
    rng = np.random.default_rng(0)
    for _ in range(60):
        chosen = ["sgd", "adam"][rng.integers(2)]
        params = {"optimizer": chosen} | ({"momentum": rng.random()} if chosen == "sgd" else {})
        distributions = {"optimizer": CategoricalDistribution(["sgd", "adam"])}
        distributions |= {"momentum": X} if chosen == "sgd" else {}
        value = (chosen == "sgd") + 0.1 * rng.standard_normal()
        study.add_trial(create_trial(params=params, distributions=distributions, value=value))
    found = by_param(importances(study))
    assert found["optimizer"].matters
    assert found["momentum"].matters is not True
    assert found["optimizer"].fanova > 0.7


def test_each_of_several_objectives_is_asked_for(fill):
    study = optuna.create_study(directions=["minimize", "maximize"])
    fill(study, lambda p: (p["a"], p["b"]), count=16, a=X, b=X)
    assert importances(study).params[0].param == "a"
    second = importances(study, objective=1)
    assert second.params[0].param == "b"
    assert "of the variation of value 2" in text(second)


def test_a_range_that_was_changed_in_between_is_one_axis(study, fill):
    fill(study, lambda p: p["a"], count=12, a=FloatDistribution(0, 1))
    fill(study, lambda p: p["a"], count=12, a=FloatDistribution(0.5, 2))
    (axis,) = observe(study).axes
    assert (axis.distribution.low, axis.distribution.high) == (0, 2)
    assert importances(study).params[0].matters


def test_fanova_sees_logarithmic_parameters_as_they_were_drawn(study, fill):
    """Optuna's own evaluator, on the bare numbers, sees the upper fifth of such a range as nine tenths of it."""
    space = {"rate": FloatDistribution(1e-6, 1e-1, log=True), "b": X}
    fill(study, lambda p: math.log10(p["rate"]) / 5 + 0.5 * p["b"], count=40, **space)
    bare = optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0))
    assert fanova(observe(study))["rate"][0] > 0.6 > bare["rate"]


def test_a_sampler_that_searches_is_noticed():
    found = importances(planted_study(OBJECTIVES["additive"], 0.0, "tpe", 0))
    assert "not spread evenly" in text(found)
    assert all(importance.matters is not True for importance in found.params if importance.param in ("width", "bias"))
