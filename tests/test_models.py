import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models.dense import dense
from models.original_units import original_units
from models.residual import residual


def batch(size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, (5, size, size)).astype(np.float32)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_dense_has_the_layers_it_counts(size: int, depth: int) -> None:
    network = dense(size, depth, 7, "tanh")
    m, w = size * size, 7
    expected = (m + 1) * w + (depth - 1) * (w + 1) * w + (w + 1) * m if depth else (m + 1) * m
    assert network.count_params() == expected
    assert network(batch(size)).shape == (5, m)


def test_residual_with_its_defaults_is_the_answers_network() -> None:
    assert residual(3).count_params() == 4_712_713


@pytest.mark.parametrize(("size", "depth", "layers"), [(2, 0, 2), (3, 2, 1), (3, 1, 3)])
def test_residual_has_the_parameters_of_its_formula(size: int, depth: int, layers: int) -> None:
    network = residual(size, depth, 5, "silu", stem_width=6, layers_per_block=layers)
    m, s, w = size * size, 6, 5
    block = sum((s + k * w + 1) * w for k in range(layers)) + (s + layers * w + 1) * s
    assert network.count_params() == (m + 1) * s + depth * block + (s + 1) * m
    assert network(batch(size)).shape == (5, m)


def test_a_residual_block_starts_as_the_identity() -> None:
    """All blocks add zero at first: whatever their number, the stem's output reaches the last layer unchanged."""
    network = residual(3, 2, 8, "relu", stem_width=4, layers_per_block=2)
    stem = keras.Model(network.input, network.get_layer("stem").output)(batch(3))
    np.testing.assert_allclose(network(batch(3)), network.get_layer("scaled")(stem), rtol=1e-6)


@pytest.mark.parametrize("build", [dense, residual])
def test_the_seed_decides_the_initial_weights(build) -> None:
    def first_weights(seed: int) -> np.ndarray:
        keras.utils.set_random_seed(seed)
        return build(3, 1, 8, "relu").get_weights()[0]

    np.testing.assert_array_equal(first_weights(1), first_weights(1))
    assert not np.array_equal(first_weights(1), first_weights(2))


@pytest.mark.parametrize("build", [dense, residual])
def test_an_unknown_activation_is_refused(build) -> None:
    with pytest.raises(ValueError, match=r"model\.activation: got rely, allowed is one of elu, .*relu"):
        build(3, 1, 8, "rely")


def test_original_units_undo_scale_and_shape() -> None:
    network = dense(3, 1, 8, "relu")
    predictions = original_units(network, 5.0)(batch(3))
    np.testing.assert_allclose(predictions, np.reshape(network(batch(3)), (5, 3, 3)) * 5.0, rtol=1e-6)


def test_a_saved_model_loads_without_this_project(tmp_path: Path) -> None:
    judge = original_units(residual(3, 1, 8, "gelu", 4, 2), 5.0)
    judge.save(tmp_path / "model.keras")
    np.save(tmp_path / "batch.npy", batch(3))
    program = (
        "import keras, numpy, sys; model = keras.models.load_model('model.keras'); "
        "numpy.save('predictions.npy', model(numpy.load('batch.npy'))); "
        "sys.exit(bool({'models', 'data', 'sweep'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False).returncode == 0
    np.testing.assert_allclose(np.load(tmp_path / "predictions.npy"), judge(batch(3)), rtol=1e-5, atol=1e-6)
