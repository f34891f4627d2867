from typing import Any

import numpy as np
import pytest

from conf.schema import DataConfig, EvaluationConfig
from data.evaluation import evaluation_set
from data.matrices import Determinant
from data.stream import stream
from data.targets import Target


def config(**changes: Any) -> EvaluationConfig:
    return EvaluationConfig(**({"size": 2000} | changes))


def test_the_default_set_is_the_answers() -> None:
    frozen = evaluation_set(EvaluationConfig(), "validation")
    assert frozen.inputs.shape == frozen.truth.shape == (100_000, 3, 3)
    assert frozen.inputs.dtype == np.float32
    assert frozen.truth.dtype == np.float64
    assert np.sqrt(np.mean(frozen.truth**2)) == pytest.approx(2.438, abs=0.05)
    assert np.median(np.abs(frozen.truth)) == pytest.approx(0.546, abs=0.01)
    assert np.abs(np.linalg.det(frozen.inputs.astype(np.float64))).min() > 0.1


@pytest.mark.parametrize("rule", ["above", "relative", "rescaled", "none"])
@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_the_truth_is_that_of_the_float32_inputs(size: int, rule: str) -> None:
    frozen = evaluation_set(config(matrix_size=size, determinant=Determinant(rule, 0.01)), "test")
    exact = frozen.inputs.astype(np.float64)
    assert frozen.truth.shape == (2000, size, size)
    error = np.linalg.norm(exact @ frozen.truth - np.eye(size), axis=(1, 2))
    assert (error / np.linalg.norm(exact, axis=(1, 2)) / np.linalg.norm(frozen.truth, axis=(1, 2))).max() < 1e-14


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_determinants_are_those_of_the_same_inputs(size: int) -> None:
    inverses, determinants = (evaluation_set(config(matrix_size=size, target=target), "test") for target in Target)
    np.testing.assert_array_equal(determinants.inputs, inverses.inputs)
    assert determinants.truth.shape == (2000, 1)
    assert determinants.truth.dtype == np.float64
    np.testing.assert_allclose(determinants.truth[:, 0], np.linalg.det(inverses.inputs.astype(np.float64)), rtol=1e-9)
    assert determinants.digest != inverses.digest


def test_the_set_is_frozen() -> None:
    first = evaluation_set(config(), "validation")
    others = [*(config(seed=seed) for seed in range(3)), config(determinant=Determinant("none", 0.1))]
    digests = {evaluation_set(other, "validation").digest for other in others}
    again = evaluation_set(config(), "validation")
    np.testing.assert_array_equal(first.inputs, again.inputs)
    assert first.digest == again.digest
    assert len(digests | {first.digest}) == 5
    with pytest.raises(ValueError, match="read-only"):
        again.inputs[0, 0, 0] = 0


def test_the_digest_is_the_same_on_every_machine() -> None:
    """Recipe and float32 inputs: if this fails, earlier results were judged on other matrices."""
    assert evaluation_set(EvaluationConfig(), "validation").digest == "65a3a15a0d4bf0df"
    assert evaluation_set(EvaluationConfig(), "test").digest == "f59155ef4df9fffb"


def test_splits_and_training_share_no_matrix_even_with_equal_seeds() -> None:
    seed = 2024
    rows = [evaluation_set(config(seed=seed), split).inputs.reshape(-1, 9) for split in ("validation", "test")]
    matrices, _ = next(stream(DataConfig(), seed, 2000).as_numpy_iterator())
    entries = np.concatenate([*(part[:, 0] for part in rows), matrices[:, 0, 0]])
    assert len(np.unique(entries)) > 0.998 * len(entries)


def test_a_split_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="split: got train, allowed is one of validation, test"):
        evaluation_set(config(), "train")  # type: ignore[arg-type]
