"""How sure a few trainings make us: against known values, and on studies whose truth is known."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import EQUALS, NOISES, Bars, among, named_at_last, normal, studies
from sweep.results.interval import Comparison, common_skewness, compare, estimate, holm, paired, standing


def test_an_interval_is_students() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert (found.high - found.low) / 2 == pytest.approx(2.7764451 * math.sqrt(2.5 / 5))  # of a table, 4 degrees
    assert found.p == pytest.approx(stats.ttest_1samp([1.0, 2.0, 3.0, 4.0, 5.0], 0).pvalue)
    assert found.count == 5
    assert ((-found).low, (-found).high) == (-found.high, -found.low)


def test_that_of_skewed_draws_is_longer_on_their_side() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    even, right, left = (estimate(values, skewness) for skewness in (0.0, 1.0, -1.0))
    assert right.high - right.mean > even.high - even.mean
    assert right.mean - right.low < even.mean - even.low
    assert (left.mean - left.low, left.high - left.mean) == pytest.approx((right.high - 3, 3 - right.low))
    assert estimate(values, 1e-5).high == pytest.approx(even.high, rel=1e-4)
    assert estimate(values[:2], 1.0) == estimate(values[:2]), "two draws tell nothing of it"
    # Hall's formula by hand: sqrt(n) (3 / g) (cbrt(1 + g (t / sqrt(n) - g / 6n)) - 1) at n = 5, g = 1, t = -2.7764451
    quantile = math.sqrt(5) * 3 * (np.cbrt(1 + (-2.7764451 / math.sqrt(5) - 1 / 30)) - 1)
    assert right.high == pytest.approx(3 - math.sqrt(2.5 / 5) * quantile)


def test_skewness_is_that_which_configurations_have_on_average() -> None:
    drawn = np.random.default_rng(0).exponential(size=(4, 7))
    expected = stats.skew(drawn, axis=1, bias=False).mean()
    assert common_skewness(drawn) == pytest.approx(expected)
    lost = np.concatenate([drawn, [[math.inf, math.nan, *drawn[0, :5]], np.ones(7), [math.nan] * 7]])
    assert common_skewness(lost) == pytest.approx((4 * expected + stats.skew(drawn[0, :5], bias=False)) / 5)
    assert common_skewness([[0.0] * 20 + [1.0]]) == 2.0
    assert common_skewness([[1.0, 2.0]]) == 0.0


@pytest.mark.parametrize(("values", "mean"), [([], math.nan), ([2.0], 2.0), ([2.0, math.nan, math.inf], 2.0)])
def test_of_fewer_than_two_there_is_no_interval(values: list[float], mean: float) -> None:
    found = estimate(values)
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.p)


def test_of_values_that_are_all_the_same_one_is_sure() -> None:
    assert (estimate([2.0, 2.0, 2.0]).low, estimate([2.0, 2.0, 2.0]).p) == (2.0, 0.0)
    assert estimate([0.0, 0.0]).p == 1.0


def test_a_paired_difference_is_over_what_both_have() -> None:
    first, second = [1.0, 2.0, 4.0, math.nan, 9.0], [0.5, 2.5, 2.0, 1.0, math.inf]
    found = paired(first, second)
    assert found.count == 3
    assert found.p == pytest.approx(stats.ttest_rel(first[:3], second[:3]).pvalue)
    low, high = stats.ttest_rel(first[:3], second[:3]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_holms_correction_is_that_of_his_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


SPREAD = np.array([-0.1, 0.05, 0.0, 0.02, 0.03])


def test_the_best_stands_if_it_is_better_than_each_other() -> None:
    scores = np.stack([1 + SPREAD, 0 + SPREAD[::-1], 2 - SPREAD])
    found = standing(scores, minimize=True)
    assert (found.best, found.stands) == (1, True)
    assert found.comparisons[1] is None
    assert found.beaten == (True, False, True)
    turned = standing(scores, minimize=False)
    assert (turned.best, turned.stands) == (2, True)


def test_it_does_not_stand_if_it_is_not_better_than_one() -> None:
    scores = np.stack([0.01 + SPREAD, 0 + SPREAD[::-1], 2 - SPREAD])
    found = standing(scores, minimize=True)
    assert (found.best, found.stands, found.beaten) == (1, False, (False, False, True))


def test_what_is_better_than_each_is_better_than_all() -> None:
    z = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    just = z + stats.t.ppf(1 - 0.04 / 2, 4) * z.std(ddof=1) / math.sqrt(5)  # whose p is 0.04
    found = standing(np.stack([np.zeros(5), just, just, 100 + z]), minimize=True)
    assert found.stands
    assert [each.p for each in found.comparisons[1:3] if each] == pytest.approx([0.04, 0.04])
    assert not standing(np.stack([np.zeros(5), just]), minimize=True, level=0.03).stands


def test_two_that_are_the_same_do_not_stand_and_neither_does_one_alone() -> None:
    assert not standing(np.stack([SPREAD, SPREAD]), minimize=True).stands
    assert not standing(SPREAD[None], minimize=True).stands


def diverging(scores: Any, count: int) -> Any:
    return np.concatenate([np.full(count, math.inf), scores[count:]])


def test_one_that_diverged_once_is_compared_over_the_rest() -> None:
    base = 1 + SPREAD[::-1]
    near = compare(diverging(1.01 + SPREAD, 1), base, minimize=True)
    assert near.difference is not None
    assert near.difference.count == 4
    assert near.p == near.difference.p, "one of five against none of five may be chance: it is no second chance"
    assert near.p > 0.05
    assert not standing(np.stack([base, diverging(1.01 + SPREAD, 1)]), minimize=True).stands
    assert standing(np.stack([base, diverging(2 + SPREAD, 1)]), minimize=True).stands
    better = standing(np.stack([base, diverging(0 + SPREAD, 1)]), minimize=True)
    assert (better.best, better.stands) == (1, True), "and it may be the best"


def test_to_diverge_more_often_than_by_chance_is_to_be_worse() -> None:
    base = 1 + SPREAD[::-1]
    often = compare(diverging(0 + SPREAD, 4), base, minimize=True)
    assert (often.difference, often.worse) == (None, True)
    assert often.p == pytest.approx(10 / 210), "5 of 10 trainings: 4 of one side and 0 of the other, either way"
    assert not compare(base, diverging(0 + SPREAD, 4), minimize=True).worse
    found = standing(np.stack([base, diverging(0 + SPREAD, 4)]), minimize=True)
    assert (found.best, found.stands) == (0, True)
    turned = standing(np.stack([base, -diverging(0 + SPREAD, 4)]), minimize=False)
    assert (turned.best, turned.stands) == (0, True)
    assert not standing(np.stack([base, diverging(0 + SPREAD, 3)]), minimize=True).stands, "3 of 5 may be chance"
    seeds = np.linspace(-0.1, 0.1, 10)
    both = compare(diverging(1.5 + seeds, 2), 1 + seeds[::-1], minimize=True)
    assert both.difference is not None
    assert both.p == pytest.approx(2 * both.difference.p), "two chances"


def test_what_failed_is_never_the_best_but_may_be() -> None:
    fails = -1.0 + SPREAD
    fails[3] = math.nan
    assert not standing(np.stack([1 + SPREAD[::-1], fails]), minimize=True).stands, "it may be better"
    assert standing(np.stack([1 + SPREAD[::-1], 2 - fails]), minimize=True).stands
    gone = np.full(5, math.nan)
    assert not standing(np.stack([1 + SPREAD, gone]), minimize=True).stands, "nobody knows how good it is"
    assert standing(np.stack([gone, diverging(SPREAD, 5)]), minimize=True).best is None
    assert compare(gone, SPREAD, minimize=True) == Comparison(None, None, False)


def test_scores_are_a_table() -> None:
    with pytest.raises(ValueError, match=r"\[configurations, seeds\]"):
        standing([1.0, 2.0], minimize=True)


@pytest.mark.parametrize("noise", list(NOISES))
def test_intervals_hold_the_truth_as_often_as_they_say(noise: str) -> None:
    """The short form of `python -m benchmarks.coverage`."""
    found = list(studies(np.random.default_rng(6), 150, NOISES[noise], 5))
    held = [each for one in found for each in one.held()]
    assert 0.93 <= np.mean(held) <= 0.98
    gaps = [row.gap for one in found for row in one.confirmed.rows if row.trial is not None and row.gap is not None]
    assert np.mean(gaps) > 0.5, "a study's own best score is too good: it was chosen for being"


@pytest.mark.parametrize("case", EQUALS)
def test_among_equals_there_is_no_champion(case: str) -> None:
    found = among(np.random.default_rng(7), 300, EQUALS[case], normal, 5)
    assert np.mean([one.confirmed.champion is None for one in found]) >= 0.92, "95% in truth; 300 tell it to 1.3%"


def test_what_is_better_is_found_to_be_and_nothing_else() -> None:
    found = among(np.random.default_rng(8), 100, (3.0, 0.0, 3.0, 3.0, 3.0), normal, 10)
    named = [one.confirmed.champion for one in found]
    assert set(named) <= {"trial 1", None}
    assert named.count("trial 1") >= 95


def test_nor_where_trainings_diverge_and_one_asks_again() -> None:
    rng = np.random.default_rng(9)
    found = [named_at_last(rng, EQUALS["the best two trials equal, all else far worse"], NOISES["5% diverge"])
             for _ in range(150)]  # fmt: skip
    assert np.mean(found) <= 0.08


@pytest.mark.slow
def test_the_benchmark_says_the_same() -> None:
    command = [sys.executable, "-m", "benchmarks.coverage", "100"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "a champion is named although" in result.stdout


def test_a_bar_that_is_missed_by_more_than_chance_is_said() -> None:
    bars = Bars(1000)
    assert bars.share([True] * 94 + [False] * 6, "held", 0.93, 0.97) == " 94.0% "
    assert bars.share([True] * 90 + [False] * 10, "held", 0.93, 0.97) == " 90.0%!"
    assert bars.missed == ["held: 90.0%"]
