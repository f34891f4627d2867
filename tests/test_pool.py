from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conf.schema import DataConfig
from data.matrices import Determinant, Floats
from data.pool import held_out, pool, steps_per_epoch
from data.stream import stream
from data.targets import Compression, Target

SMALL = DataConfig(num_samples=1000, validation_split=0.33)
"""670 to train on, 330 held out."""


def batches(steps: int, what: DataConfig = SMALL, *, seed: int = 0, batch_size: int = 100, start: int = 0):
    return list(pool(what, seed, batch_size, start, steps).as_numpy_iterator())


def epoch(number: int = 0, what: DataConfig = SMALL, **further: Any) -> tuple[Floats, Floats]:
    """All samples of an epoch, in its order."""
    steps = steps_per_epoch(what, further.get("batch_size", 100))
    matrices, targets = zip(*batches(steps, what, start=number * steps, **further), strict=True)
    return np.concatenate(matrices), np.concatenate(targets)


def order(matrices: Floats) -> Floats:
    """What tells matrices apart: their first two entries, as one number. One entry has 23 bits: too few for 10,000."""
    return matrices[:, 0, 0] + 1j * matrices[:, 0, 1]


def streamed(what: DataConfig = SMALL, seed: int = 0) -> tuple[Floats, Floats]:
    assert what.num_samples is not None
    return next(stream(what, seed, what.num_samples).as_numpy_iterator())


@pytest.mark.parametrize(
    ("size", "rule", "value", "target"),
    [
        (2, "none", 0.0, Target.determinant),
        (3, "above", 0.1, Target.inverse),
        (3, "rescaled", 1.0, Target.inverse),
        (4, "relative", 0.0125, Target.determinant),
        (5, "above", 0.1, Target.inverse),
    ],
)
def test_a_pool_and_a_stream_of_the_same_seed_agree(size: int, rule: str, value: float, target: Target) -> None:
    what = replace(SMALL, matrix_size=size, determinant=Determinant(rule, value), target=target)
    matrices, targets = streamed(what, seed=7)
    seen, labels = epoch(what=what, seed=7)
    places = np.argsort(order(matrices[:670]))[np.argsort(np.argsort(order(seen)))]
    np.testing.assert_array_equal(seen, matrices[places])
    np.testing.assert_array_equal(labels, targets[places])
    np.testing.assert_array_equal(held_out(what, 7).inputs, matrices[670:])


@pytest.mark.parametrize("batch_size", [1, 100, 134, 670, 5000])
def test_every_epoch_visits_each_training_sample_once(batch_size: int) -> None:
    expected = np.sort(order(streamed()[0][:670]))
    assert len(np.unique(expected)) == 670
    for number in range(2):
        np.testing.assert_array_equal(np.sort(order(epoch(number, batch_size=batch_size)[0])), expected)


def test_epochs_and_seeds_differ_in_their_order() -> None:
    first, second = np.split(order(np.concatenate([matrices for matrices, _ in batches(14)])), 2)
    assert np.mean(first == second) < 0.02
    assert np.mean(first == order(streamed()[0][:670])) < 0.02
    np.testing.assert_array_equal(first, order(epoch(0)[0]))
    assert not np.isin(first, order(epoch(0, seed=1)[0])).any()
    # The same samples under other seeds would come in another order: compare ranks.
    assert np.mean(np.argsort(first) == np.argsort(order(epoch(0, seed=1)[0]))) < 0.02


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    np.testing.assert_array_equal(epoch(3, batch_size=100)[0], epoch(3, batch_size=64)[0])


def test_the_last_batch_of_an_epoch_is_partial_as_in_keras() -> None:
    sizes = [len(matrices) for matrices, _ in batches(15)]
    assert sizes == [100] * 6 + [70] + [100] * 6 + [70] + [100]
    assert steps_per_epoch(SMALL, 100) == 7
    assert steps_per_epoch(SMALL, 67) == 10
    assert steps_per_epoch(SMALL, 10_000) == 1


def test_shapes_are_static_where_no_batch_is_partial() -> None:
    matrices, targets = pool(SMALL, 0, 67).element_spec
    assert matrices.shape == (67, 3, 3)
    assert targets.shape == (67, 9)
    matrices, targets = pool(replace(SMALL, target=Target.determinant), 0, 100).element_spec
    assert matrices.shape.as_list() == [None, 3, 3]
    assert targets.shape.as_list() == [None, 1]


@pytest.mark.parametrize("batch_size", [67, 100])
def test_a_pool_resumed_at_any_step_equals_the_uninterrupted_one(batch_size: int) -> None:
    whole = batches(22, batch_size=batch_size)
    for start in range(0, 22, 3):
        late = batches(22 - start, batch_size=batch_size, start=start)
        for (matrices, targets), step in zip(late, whole[start:], strict=True):
            np.testing.assert_array_equal(matrices, step[0])
            np.testing.assert_array_equal(targets, step[1])


def test_a_resumed_pool_does_not_make_the_epochs_before() -> None:
    assert len(batches(1, start=10**12)[0][0]) in (70, 100)


def test_steps_make_it_finite_and_known() -> None:
    finite = pool(SMALL, 0, 100, start=5, steps=11)
    assert finite.cardinality() == 11
    assert len(list(finite)) == 11
    endless = pool(SMALL, 0, 100).take(50)
    assert len(list(endless)) == 50


@pytest.mark.parametrize(
    ("count", "split", "held"), [(1000, 0.33, 330), (10_000, 0.33, 3300), (7, 0.2, 1), (3, 0.5, 2)]
)
def test_the_last_samples_are_held_out_and_never_trained_on(count: int, split: float, held: int) -> None:
    what = DataConfig(num_samples=count, validation_split=split)
    part = held_out(what, 0)
    assert len(part.inputs) == held
    np.testing.assert_array_equal(part.inputs, streamed(what)[0][-held:])
    assert not np.isin(order(epoch(what=what)[0]), order(part.inputs)).any()
    assert len(epoch(what=what)[0]) == count - held


def test_without_a_split_all_is_trained_on_and_none_held_out() -> None:
    what = replace(SMALL, validation_split=0.0)
    assert len(epoch(what=what)[0]) == 1000
    with pytest.raises(ValueError, match=r"validation_split: got 0\.0, allowed is a share that holds out"):
        held_out(what, 0)


@pytest.mark.parametrize("target", Target)
def test_the_held_out_truth_is_in_original_units_whatever_training_sees(target: Target) -> None:
    what = replace(SMALL, target=target)
    changed = replace(what, target_scale=50.0, compression=Compression.asinh, input_norm=True)
    part, same = held_out(what, 3), held_out(changed, 3)
    exact = part.inputs.astype(np.float64)
    expected = np.linalg.inv(exact) if target is Target.inverse else np.linalg.det(exact)[:, None]
    assert part.truth.dtype == np.float64
    np.testing.assert_allclose(part.truth, expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_array_equal(same.truth, part.truth)
    assert same.digest == part.digest
    with pytest.raises(ValueError, match="read-only"):
        part.inputs[0, 0, 0] = 0


def test_each_held_out_part_has_its_own_digest() -> None:
    others = [
        replace(SMALL, target=Target.determinant),
        replace(SMALL, num_samples=1001),
        replace(SMALL, validation_split=0.34),
        replace(SMALL, matrix_size=2),
        replace(SMALL, entry_range=[-1.0, 1.0]),
        replace(SMALL, determinant=Determinant("none", 0.0)),
    ]
    digests = {held_out(what, 0).digest for what in [SMALL, *others]} | {held_out(SMALL, 1).digest}
    assert len(digests) == len(others) + 2


@pytest.mark.parametrize("option", [{"compression": Compression.asinh}, {"input_norm": True}, {"target_scale": 2.0}])
def test_options_of_targets_leave_matrices_and_their_order(option: dict[str, Any]) -> None:
    plain, changed = epoch(), epoch(what=replace(SMALL, **option))
    np.testing.assert_array_equal(changed[0], plain[0])
    assert np.mean(changed[1] == plain[1]) < 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_samples": None}, r"num_samples: got None, allowed is an integer of at least 1"),
        ({"num_samples": 0}, r"num_samples: got 0, allowed is an integer of at least 1"),
        ({"num_samples": 2, "validation_split": 0.9}, r"validation_split: got 0\.9, allowed is a share from 0"),
        ({"validation_split": -0.1}, r"validation_split: got -0\.1, allowed is a share from 0"),
    ],
)
def test_a_pool_with_nothing_to_train_on_is_refused(changes: dict[str, Any], message: str) -> None:
    what = replace(SMALL)
    for key, value in changes.items():  # the configuration's own check would be the first to refuse them
        setattr(what, key, value)
    for use in (lambda: pool(what, 0, 100), lambda: steps_per_epoch(what, 100), lambda: held_out(what, 0)):
        with pytest.raises(ValueError, match=message):
            use()
