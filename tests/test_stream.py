from typing import Any

import numpy as np
import pytest

from data.matrices import Determinant, det
from data.stream import stream

ABOVE = Determinant(value=0.1)


def batches(count: int, *, seed: int = 0, batch_size: int = 64, size: int = 3, entry: float = 2.0, **further: Any):
    settings = {"determinant": ABOVE, "target_scale": 5.0} | further
    return list(stream(seed, batch_size, size, (-entry, entry), **settings).take(count).as_numpy_iterator())


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("entry", [0.5, 2.0])
def test_every_batch_is_full_and_every_matrix_kept(size: int, entry: float) -> None:
    for matrices, targets in batches(3, size=size, entry=entry, batch_size=1000):
        assert matrices.shape == (1000, size, size)
        assert targets.shape == (1000, size * size)
        assert matrices.dtype == targets.dtype == np.float32
        assert np.abs(det(matrices.astype(np.float64))).min() > 0.1 - 1e-5
        assert np.abs(matrices).max() <= entry


def test_shapes_are_static() -> None:
    matrices, targets = stream(0, 64, 3, (-2.0, 2.0), ABOVE, 5.0).element_spec
    assert matrices.shape == (64, 3, 3)
    assert targets.shape == (64, 9)


def test_a_shortage_is_filled_by_further_draws() -> None:
    """A rule that keeps 1.7 in a thousand: the first draw cannot be enough."""
    rare = Determinant(value=15.0)
    ((matrices, _),) = batches(1, batch_size=1000, determinant=rare, steps=1)
    assert np.abs(det(matrices)).min() > 15 - 1e-4
    assert len(np.unique(matrices[:, 0, 0])) > 990
    ((again, _),) = batches(1, batch_size=1000, determinant=rare, steps=1)
    np.testing.assert_array_equal(matrices, again)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_targets_are_the_scaled_inverses(size: int) -> None:
    for matrices, targets in batches(4, size=size, batch_size=8192, target_scale=7.0):
        truth = np.linalg.inv(matrices.astype(np.float64))
        error = np.linalg.norm(targets.reshape(truth.shape) * 7.0 - truth, axis=(1, 2))
        assert (error / np.linalg.norm(truth, axis=(1, 2))).max() < 1e-6


@pytest.mark.parametrize("batch_size", [100, 3000, 10_000])
@pytest.mark.parametrize("start", [1, 5, 83])
def test_a_batch_depends_on_seed_and_step_alone(batch_size: int, start: int) -> None:
    whole = batches(start + 2, batch_size=batch_size)
    for late, step in zip(batches(2, batch_size=batch_size, start=start), whole[start:], strict=True):
        np.testing.assert_array_equal(late[0], step[0])
        np.testing.assert_array_equal(late[1], step[1])


def test_no_two_batches_and_no_two_seeds_share_matrices() -> None:
    drawn = [matrices[:, 0, 0] for seed in (0, 1, 2**40) for matrices, _ in batches(90, seed=seed, batch_size=100)]
    entries = np.concatenate(drawn)
    assert len(np.unique(entries)) > 0.995 * len(entries)


def test_steps_make_it_finite_and_known() -> None:
    finite = stream(0, 64, 3, (-2.0, 2.0), ABOVE, 5.0, start=3, steps=7)
    assert finite.cardinality() == 7
    assert len(list(finite)) == 7


def test_the_stream_has_the_statistics_of_the_problem() -> None:
    matrices, targets = (np.concatenate(parts) for parts in zip(*batches(40, batch_size=8192), strict=True))
    assert np.sqrt(np.mean(np.square(targets * 5.0, dtype=np.float64))) == pytest.approx(2.438, abs=0.04)
    assert np.median(np.abs(targets * 5.0)) == pytest.approx(0.546, abs=0.01)
    assert matrices.mean() == pytest.approx(0.0, abs=0.01)
    assert matrices.std() == pytest.approx(4 / np.sqrt(12), abs=0.02)
