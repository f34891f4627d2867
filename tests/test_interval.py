"""How sure a few trainings make us: against known values, and on studies whose truth is known."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import EQUALS, NOISES, among, normal, studies
from sweep.results.interval import estimate, holm, paired, standing


def test_an_interval_is_students() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert (found.high - found.low) / 2 == pytest.approx(2.7764451 * math.sqrt(2.5 / 5))  # of a table, 4 degrees
    assert found.p == pytest.approx(stats.ttest_1samp([1.0, 2.0, 3.0, 4.0, 5.0], 0).pvalue)
    assert found.count == 5
    assert found.above
    assert not found.below
    assert (-found).below


def test_a_wider_interval_holds_more() -> None:
    narrow, wide = estimate([1.0, 2.0, 4.0], 0.9), estimate([1.0, 2.0, 4.0], 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("values", "mean"), [([], math.nan), ([2.0], 2.0), ([2.0, math.nan, math.inf], 2.0)])
def test_of_fewer_than_two_there_is_no_interval(values: list[float], mean: float) -> None:
    found = estimate(values)
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.p)
    assert not found.above
    assert not found.below


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
    assert found.differences[1] is None
    assert found.beaten == (True, False, True)
    turned = standing(scores, minimize=False)
    assert (turned.best, turned.stands) == (2, True)


def test_it_does_not_stand_if_it_is_not_better_than_one() -> None:
    scores = np.stack([0.01 + SPREAD, 0 + SPREAD[::-1], 2 - SPREAD])
    found = standing(scores, minimize=True)
    assert (found.best, found.stands, found.beaten) == (1, False, (False, False, True))


def test_more_comparisons_take_more_to_stand() -> None:
    z = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    just = z + stats.t.ppf(1 - 0.04 / 2, 4) * z.std(ddof=1) / math.sqrt(5)  # whose p is 0.04
    best, far = np.zeros(5), 100 + z
    assert standing(np.stack([best, just]), minimize=True).stands
    assert standing(np.stack([best, just, far]), minimize=True).stands
    assert not standing(np.stack([best, just, just]), minimize=True).stands
    assert standing(np.stack([best, just, just]), minimize=True).corrected[1:] == pytest.approx((0.08, 0.08))


def test_two_that_are_the_same_do_not_stand_and_neither_does_one_alone() -> None:
    assert not standing(np.stack([SPREAD, SPREAD]), minimize=True).stands
    assert not standing(SPREAD[None], minimize=True).stands


def test_what_diverges_is_beaten_and_what_failed_is_compared_over_the_rest() -> None:
    diverges, fails = 0.0 + SPREAD, -1.0 + SPREAD
    diverges[2], fails[3] = math.inf, math.nan
    found = standing(np.stack([1 + SPREAD[::-1], diverges]), minimize=True)
    assert (found.best, found.stands) == (0, True)
    assert not standing(np.stack([1 + SPREAD[::-1], fails]), minimize=True).stands, "it may be better"
    assert standing(np.stack([1 + SPREAD[::-1], 2 - fails]), minimize=True).stands
    gone = np.full(5, math.nan)
    assert not standing(np.stack([1 + SPREAD, gone]), minimize=True).stands, "nobody knows how good it is"
    assert standing(np.stack([gone, diverges]), minimize=True).best is None
    down = -diverges
    assert standing(np.stack([1 + SPREAD, down]), minimize=False).best == 0


def test_scores_are_a_table() -> None:
    with pytest.raises(ValueError, match=r"\[configurations, seeds\]"):
        standing([1.0, 2.0], minimize=True)


@pytest.mark.parametrize("noise", ["normal", "unequal spreads", "heavy tails"])
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


@pytest.mark.slow
def test_the_benchmark_says_the_same() -> None:
    command = [sys.executable, "-m", "benchmarks.coverage", "20"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "no champion is named" in output
