from typing import Any

import numpy as np
import pytest

from conf.schema import EvaluationConfig
from data.evaluation import evaluation_set
from data.matrices import Determinant
from data.stream import stream


def config(**changes: Any) -> EvaluationConfig:
    return EvaluationConfig(**({"size": 2000} | changes))


def test_the_default_set_is_the_answers() -> None:
    frozen = evaluation_set(EvaluationConfig(), "validation")
    assert frozen.inputs.shape == frozen.inverses.shape == (100_000, 3, 3)
    assert frozen.inputs.dtype == np.float32
    assert frozen.inverses.dtype == np.float64
    assert np.sqrt(np.mean(frozen.inverses**2)) == pytest.approx(2.438, abs=0.05)
    assert np.median(np.abs(frozen.inverses)) == pytest.approx(0.546, abs=0.01)
    assert np.abs(np.linalg.det(frozen.inputs.astype(np.float64))).min() > 0.1


@pytest.mark.parametrize("size", [2, 3, 4])
def test_inverses_are_those_of_the_float32_inputs(size: int) -> None:
    frozen = evaluation_set(config(matrix_size=size), "test")
    product = frozen.inputs.astype(np.float64) @ frozen.inverses
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(size), product.shape), atol=1e-9)


def test_the_set_is_frozen() -> None:
    first = evaluation_set(config(), "validation")
    digests = {evaluation_set(config(seed=seed), "validation").digest for seed in range(3)}
    again = evaluation_set(config(), "validation")
    np.testing.assert_array_equal(first.inputs, again.inputs)
    assert first.digest == again.digest
    assert len(digests | {first.digest}) == 4
    with pytest.raises(ValueError, match="read-only"):
        again.inputs[0, 0, 0] = 0


def test_the_digest_is_the_same_on_every_machine() -> None:
    """Recipe and float32 inputs: if this fails, earlier results were judged on other matrices."""
    assert evaluation_set(EvaluationConfig(), "validation").digest == "65a3a15a0d4bf0df"
    assert evaluation_set(EvaluationConfig(), "test").digest == "f59155ef4df9fffb"


def test_splits_and_training_share_no_matrix_even_with_equal_seeds() -> None:
    seed = 2024
    rows = [evaluation_set(config(seed=seed), split).inputs.reshape(-1, 9) for split in ("validation", "test")]
    matrices, _ = next(stream(seed, 2000, 3, (-2.0, 2.0), Determinant(), 5.0).as_numpy_iterator())
    entries = np.concatenate([*(part[:, 0] for part in rows), matrices[:, 0, 0]])
    assert len(np.unique(entries)) > 0.998 * len(entries)


def test_a_split_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="split: got train, allowed is one of validation, test"):
        evaluation_set(config(), "train")  # type: ignore[arg-type]
