import numpy as np
import pytest

from data.matrices import MINIMUM_ACCEPTANCE, Determinant, acceptance, det, draw, inverse

ABOVE = Determinant(value=0.1)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_determinant_and_inverse_agree_with_lapack(size: int) -> None:
    matrices = draw(np.random.default_rng(1), 500, size, (-2.0, 2.0), ABOVE, np.float64)
    np.testing.assert_allclose(det(matrices), np.linalg.det(matrices), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(inverse(matrices), np.linalg.inv(matrices), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_results_keep_the_dtype_and_any_leading_shape(size: int) -> None:
    matrices = draw(np.random.default_rng(1), 6, size, (-2.0, 2.0), ABOVE).reshape(2, 3, size, size)
    assert inverse(matrices).shape == matrices.shape
    assert inverse(matrices).dtype == det(matrices).dtype == np.float32
    assert det(matrices).shape == (2, 3)


def test_draw_gives_exactly_the_count_all_kept_within_the_range() -> None:
    matrices = draw(np.random.default_rng(3), 1000, 3, (-0.5, 0.5), ABOVE)  # 9% are accepted
    assert matrices.shape == (1000, 3, 3)
    assert matrices.dtype == np.float32
    assert np.abs(det(matrices.astype(np.float64))).min() > 0.1
    assert -0.5 <= matrices.min() < -0.49
    assert 0.49 < matrices.max() <= 0.5
    assert len(np.unique(matrices[:, 0, 0])) > 990


def test_draw_repeats_with_its_generator_and_can_be_empty() -> None:
    first, again, other = (draw(np.random.default_rng(seed), 50, 3, (-2.0, 2.0), ABOVE) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert draw(np.random.default_rng(0), 0, 3, (-2.0, 2.0), ABOVE).shape == (0, 3, 3)


def test_draw_refuses_a_rule_that_keeps_almost_nothing() -> None:
    with pytest.raises(ValueError, match=r"determinant\.value: got 100\.0, .* allowed is a value that keeps"):
        draw(np.random.default_rng(0), 1, 3, (-2.0, 2.0), Determinant(value=100.0))


@pytest.mark.parametrize(("entry", "share"), [(0.5, 0.09), (1.0, 0.76), (2.0, 0.9668), (4.0, 0.996)])
def test_acceptance_is_what_was_measured(entry: float, share: float) -> None:
    assert acceptance(3, (-entry, entry), ABOVE) == pytest.approx(share, abs=0.005)


def test_acceptance_tells_one_in_a_thousand() -> None:
    """At ±2, thresholds of 15 and 17.5 keep 1.7 and 0.5 in a thousand."""
    assert acceptance(3, (-2.0, 2.0), Determinant(value=15.0)) > MINIMUM_ACCEPTANCE
    assert acceptance(3, (-2.0, 2.0), Determinant(value=17.5)) < MINIMUM_ACCEPTANCE


@pytest.mark.parametrize("entry_range", [(-1e30, 1e30), (-3e38, 3e38), (-1e-20, 1e-20), (1.0, 1.0)])
def test_matrices_that_float32_cannot_invert_count_as_rejected(entry_range: tuple[float, float]) -> None:
    assert acceptance(3, entry_range, Determinant(value=0.0)) == 0.0
