from typing import Any

import numpy as np
import pytest

from conf.schema import DataConfig
from data.matrices import Determinant, Floats, det
from data.stream import stream
from data.targets import Compression, Target

BLOCK = 8192
"""How many samples are made at a time: where a boundary lies that no batch may show."""

RULES = [("above", 0.1), ("relative", 0.0125), ("rescaled", 1.0), ("none", 0.0)]


def source(size: int = 3, entry: float = 2.0, **further: Any) -> DataConfig:
    return DataConfig(size, [-entry, entry], **further)


def batches(count: int, what: DataConfig | None = None, *, seed: int = 0, batch_size: int = 64, start: int = 0):
    return list(stream(what or source(), seed, batch_size, start, count).as_numpy_iterator())


def samples(count: int, what: DataConfig | None = None, seed: int = 0) -> tuple[Floats, Floats]:
    """The first `count` matrices and targets."""
    return batches(1, what, seed=seed, batch_size=count)[0]


@pytest.mark.parametrize(("size", "entry"), [(2, 2.0), (3, 2.0), (3, 0.5), (4, 2.0), (5, 2.0)])
def test_every_batch_is_full_and_every_matrix_kept(size: int, entry: float) -> None:
    for matrices, targets in batches(3, source(size, entry), batch_size=1000):
        assert matrices.shape == (1000, size, size)
        assert targets.shape == (1000, size * size)
        assert matrices.dtype == targets.dtype == np.float32
        assert np.abs(det(matrices.astype(np.float64))).min() > 0.1 - 1e-5
        assert np.abs(matrices).max() <= entry


def test_shapes_are_static() -> None:
    matrices, targets = stream(source(4), 0, 64).element_spec
    assert matrices.shape == (64, 4, 4)
    assert targets.shape == (64, 16)
    _, targets = stream(source(4, target=Target.determinant), 0, 64, start=3).element_spec
    assert targets.shape == (64, 1)


def test_a_shortage_is_filled_by_further_draws() -> None:
    """A rule that keeps 1.7 in a thousand: the first draw cannot be enough."""
    rare = source(determinant=Determinant("above", 15.0))
    matrices, _ = samples(1000, rare)
    assert np.abs(det(matrices)).min() > 15 - 1e-4
    assert len(np.unique(matrices[:, 0, 0])) > 990
    np.testing.assert_array_equal(matrices, samples(1000, rare)[0])


def test_a_rule_that_keeps_nothing_is_refused() -> None:
    what = source()
    what.determinant.value = 100.0
    with pytest.raises(ValueError, match=r"determinant\.value: got 100\.0, .*, allowed is a value that keeps"):
        stream(what, 0, 64)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize(("rule", "value"), RULES)
def test_targets_are_the_scaled_inverses_and_determinants(size: int, rule: str, value: float) -> None:
    kinds = {"determinant": Determinant(rule, value), "target_scale": 7.0}
    matrices, targets = samples(20_000, source(size, **kinds))
    truth = np.linalg.inv(matrices.astype(np.float64))
    error = np.linalg.norm(targets.reshape(truth.shape) * 7.0 - truth, axis=(1, 2))
    assert (error / np.linalg.norm(truth, axis=(1, 2))).max() < 1e-6
    again, targets = samples(20_000, source(size, target=Target.determinant, **kinds))
    np.testing.assert_array_equal(again, matrices)
    np.testing.assert_allclose(targets[:, 0] * 7.0, np.linalg.det(matrices.astype(np.float64)), rtol=1e-6)


@pytest.mark.parametrize("target", Target)
def test_compression_is_asinh_of_the_targets_and_leaves_the_matrices(target: Target) -> None:
    plain, compressed = (samples(5000, source(target=target, compression=compression)) for compression in Compression)
    np.testing.assert_array_equal(compressed[0], plain[0])
    np.testing.assert_allclose(compressed[1], np.arcsinh(plain[1].astype(np.float64)), rtol=1e-6)
    assert abs(plain[1]).max() > 3  # where the two differ


@pytest.mark.parametrize(
    ("size", "compression"),
    [(2, Compression.none), (3, Compression.none), (3, Compression.asinh), (4, Compression.none)],
)
def test_input_norm_makes_targets_those_of_the_normalised_matrix(size: int, compression: Compression) -> None:
    """The matrices stay as they are: the network divides by the same norm."""
    what = {"target_scale": 3.0, "compression": compression}
    matrices, targets = samples(5000, source(size, input_norm=True, **what))
    np.testing.assert_array_equal(matrices, samples(5000, source(size, **what))[0])
    exact = matrices.astype(np.float64)
    normalised = exact / np.sqrt(np.mean(exact**2, axis=(1, 2), keepdims=True))
    expected = np.linalg.inv(normalised).reshape(len(exact), -1) / 3.0
    expand = np.sinh if compression is Compression.asinh else np.asarray
    np.testing.assert_allclose(expand(targets.astype(np.float64)), expected, rtol=3e-6, atol=1e-9)
    _, targets = samples(5000, source(size, input_norm=True, target=Target.determinant, **what))
    np.testing.assert_allclose(
        expand(targets[:, 0].astype(np.float64)), np.linalg.det(normalised) / 3.0, rtol=3e-6, atol=1e-9
    )


def test_the_target_scale_changes_targets_alone() -> None:
    (matrices, targets), (again, halves) = (samples(1000, source(target_scale=scale)) for scale in (4.0, 8.0))
    np.testing.assert_array_equal(matrices, again)
    np.testing.assert_array_equal(targets, 2 * halves)


def test_a_stricter_rule_keeps_some_of_the_same_matrices_in_the_same_order() -> None:
    """What is drawn does not depend on how much of it a rule is expected to keep."""
    all_of_them, _ = samples(BLOCK, source(determinant=Determinant("none", 0.0)))
    strict, _ = samples(1000, source(determinant=Determinant("above", 1.0)))
    np.testing.assert_array_equal(strict, all_of_them[abs(det(all_of_them)) > 1][:1000])


@pytest.mark.parametrize("batch_size", [1, 100, 10_000])
def test_a_sample_depends_on_seed_and_index_alone_whatever_the_batch_size(batch_size: int) -> None:
    count = 200 if batch_size == 1 else 20_000
    whole = samples(count)
    cut = batches(count // batch_size, batch_size=batch_size)
    for part, expected in zip(zip(*cut, strict=True), whole, strict=True):
        joined = np.concatenate(part)
        np.testing.assert_array_equal(joined, expected[: len(joined)])


@pytest.mark.parametrize(("batch_size", "start"), [(100, 1), (100, 82), (3000, 3), (10_000, 1)])
def test_a_resumed_stream_equals_the_uninterrupted_one(batch_size: int, start: int) -> None:
    """All but the first start within the second block."""
    what = source(determinant=Determinant("rescaled", 1.0))
    matrices, targets = samples((start + 2) * batch_size, what)
    for step, late in enumerate(batches(2, what, batch_size=batch_size, start=start), start):
        place = slice(step * batch_size, (step + 1) * batch_size)
        np.testing.assert_array_equal(late[0], matrices[place])
        np.testing.assert_array_equal(late[1], targets[place])


def test_a_resumed_stream_does_not_make_what_came_before() -> None:
    """Sample 10¹² would take days to reach."""
    first, second = batches(2, batch_size=1000, start=10**9)
    assert len(np.unique(np.concatenate([first[0], second[0]])[:, 0, 0])) > 1990


def test_no_two_batches_and_no_two_seeds_share_matrices() -> None:
    drawn = [matrices[:, 0, 0] for seed in (0, 1, 2**40) for matrices, _ in batches(90, seed=seed, batch_size=100)]
    entries = np.concatenate(drawn)
    assert len(np.unique(entries)) > 0.995 * len(entries)


@pytest.mark.parametrize(("start", "steps"), [(3, 7), (127, 1), (128, 1), (0, 300)])
def test_steps_make_it_finite_and_known(start: int, steps: int) -> None:
    finite = stream(source(), 0, 64, start=start, steps=steps)
    assert finite.cardinality() == steps
    assert len(list(finite)) == steps


def test_the_stream_has_the_statistics_of_the_problem() -> None:
    matrices, targets = samples(300_000)
    assert np.sqrt(np.mean(np.square(targets * 5.0, dtype=np.float64))) == pytest.approx(2.438, abs=0.04)
    assert np.median(np.abs(targets * 5.0)) == pytest.approx(0.546, abs=0.01)
    assert matrices.mean() == pytest.approx(0.0, abs=0.01)
    assert matrices.std() == pytest.approx(4 / np.sqrt(12), abs=0.02)
