import itertools

import numpy as np
import pytest

from conf.schema import EvaluationConfig
from data.evaluation import evaluation_set
from sweep.metrics import measures
from sweep.training.refine import refined, without_network

FROZEN = evaluation_set(EvaluationConfig(size=20_000), "validation")


def test_a_step_is_newton_schulz_and_squares_the_residual() -> None:
    a = FROZEN.inputs[:100].astype(np.float64)
    x = FROZEN.truth[:100] * 1.01
    np.testing.assert_allclose(refined(a, x, 1), x @ (2 * np.eye(3) - a @ x), rtol=1e-9)
    np.testing.assert_allclose(refined(a, x, 2), FROZEN.truth[:100], rtol=1e-7)
    np.testing.assert_array_equal(refined(a, x, 0), x)


def test_a_prediction_that_is_too_far_off_is_left_as_it_is() -> None:
    a = FROZEN.inputs[:100].astype(np.float64)
    far = FROZEN.truth[:100] * 5.0
    np.testing.assert_array_equal(refined(a, far, 3), far)
    broken = FROZEN.truth[:2].copy()
    broken[0] = np.nan
    assert np.isnan(refined(a[:2], broken, 3)[0]).all()


def test_refining_never_makes_the_residual_larger() -> None:
    rng = np.random.default_rng(0)
    x = FROZEN.truth * rng.normal(1, 0.5, (len(FROZEN.truth), 1, 1))
    sizes = [
        np.linalg.norm(FROZEN.inputs @ refined(FROZEN.inputs, x, steps) - np.eye(3), axis=(1, 2)) for steps in range(4)
    ]
    for before, after in itertools.pairwise(sizes):
        assert (after <= before * (1 + 1e-9)).all()


def test_what_takes_no_network_is_what_was_measured() -> None:
    """14 steps from Aᵀ/(‖A‖₁‖A‖∞) bring 97% of the answer's matrices within 5%."""
    values = measures(FROZEN.inputs, FROZEN.truth, without_network(FROZEN.inputs, 14))
    assert values["within_5pct"] == pytest.approx(0.97, abs=0.01)
