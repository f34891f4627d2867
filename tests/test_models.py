"""What holds for every network of conf/model/, whoever added it, and then what is particular to each."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import keras
import numpy as np
import pytest
import tensorflow as tf
from hydra.utils import get_method
from omegaconf import OmegaConf

import conf.schema  # noqa: F401 - makes the schemas known to Hydra
from models.activations import ACTIVATIONS
from models.dense import dense
from models.gated import gated
from models.input_norm import normalized_input
from models.norms import NORMS
from models.original_units import original_units
from models.residual import residual

NETWORKS = sorted(path.stem for path in (Path(__file__).parents[1] / "conf/model").glob("*.yaml"))
SMALL = {"depth": 2, "width": 8}

every_network = pytest.mark.parametrize("name", NETWORKS)


@cache
def configured(name: str) -> dict[str, Any]:
    with hydra.initialize_config_module("conf", version_base="1.3"):
        model = hydra.compose("config", overrides=["study.name=test", f"model={name}"]).model
    return {str(key): value for key, value in OmegaConf.to_container(model).items()}  # type: ignore[union-attr]


def function(name: str) -> Callable[..., keras.Model]:
    return get_method(configured(name)["_target_"])


def arguments(name: str, **changed: Any) -> dict[str, Any]:
    """What the YAML gives the function, small, and with changes."""
    return {key: value for key, value in (configured(name) | SMALL | changed).items() if key != "_target_"}


def build(name: str, size: int = 3, outputs: int = 9, **changed: Any) -> keras.Model:
    return function(name)(size=size, outputs=outputs, **arguments(name, **changed))


def options(name: str) -> list[dict[str, Any]]:
    """Each option of this network alone at other values than its YAML has."""
    found: list[dict[str, Any]] = []
    for key, value in arguments(name).items():
        if key == "norm":
            found += [{key: norm} for norm in NORMS if norm != value]
        elif isinstance(value, bool):
            found.append({key: not value})
        elif isinstance(value, int) and key not in SMALL:
            found.append({key: 1 if value > 1 else 2})
    return found


def batch(size: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, (count, size, size)).astype(np.float32)


def stir(network: keras.Model) -> None:
    """Moves all weights, so that nothing is where it started, such as at zero."""
    rng = np.random.default_rng(1)
    network.set_weights([weight + rng.uniform(-0.1, 0.1, weight.shape) for weight in network.get_weights()])


@pytest.fixture
def mixed_bfloat16() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def test_every_network_file_is_configured() -> None:
    targets = {configured(name)["_target_"] for name in NETWORKS}
    assert targets >= {"models.dense.dense", "models.gated.gated", "models.residual.residual"}


@every_network
@pytest.mark.parametrize("size", [2, 3, 4])
def test_from_matrices_to_trained_units(name: str, size: int) -> None:
    for outputs in (size * size, 1):
        for depth in (0, 2):
            network = build(name, size, outputs, depth=depth)
            assert network.name == function(name).__name__
            assert network.inputs[0].name == "matrix"
            predictions = network(batch(size))
            assert predictions.shape == (5, outputs)
            assert np.isfinite(predictions).all()


@every_network
def test_it_has_as_many_parameters_as_its_docstring_says(name: str) -> None:
    documented = re.search(r"^Parameters: (.+)\nwith (.+)\.$", inspect.getdoc(function(name)) or "", re.MULTILINE)
    assert documented, f"{name}: its docstring needs the lines `Parameters: (m + 1)*k` and `with m = size**2, k = …`."
    formula, names = documented.groups()
    sizes = [{"depth": depth, "width": width} for depth in (0, 1, 3) for width in (5, 8)]
    for changed in (*sizes, *options(name), *({**option, "depth": 0} for option in options(name))):
        size, outputs = (2, 1) if changed.get("width") == 5 else (3, 9)
        values = {"size": size, "outputs": outputs, **arguments(name, **changed)}
        expected = eval(formula, values | eval(f"dict({names})", dict(values)))
        assert build(name, size, outputs, **changed).count_params() == expected, changed


@every_network
def test_the_seed_decides_the_initial_weights(name: str) -> None:
    def first_weights(seed: int) -> np.ndarray:
        keras.utils.set_random_seed(seed)
        return build(name).get_weights()[0]

    np.testing.assert_array_equal(first_weights(1), first_weights(1))
    assert not np.array_equal(first_weights(1), first_weights(2))


@every_network
def test_an_unknown_activation_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"model\.activation: got rely, allowed is one of elu, .*relu"):
        build(name, activation="rely")


@every_network
def test_layers_compute_in_bfloat16_and_the_output_in_float32(name: str, mixed_bfloat16: None) -> None:
    for changed in ({}, {"depth": 0}, *options(name)):
        network = build(name, **changed)
        assert {str(weight.dtype) for weight in network.weights} == {"float32"}
        computed = {layer.name: layer.compute_dtype for layer in network.layers if layer.weights}
        assert computed.pop("scaled") == "float32"
        assert set(computed.values()) <= {"bfloat16"}
        assert network(batch(3)).dtype == tf.float32
    for target, outputs in (("inverse", 9), ("determinant", 1)):
        trained = normalized_input(build(name, outputs=outputs))
        judged = original_units(trained, 5.0, target, "asinh", input_norm=True)
        assert {layer.compute_dtype for layer in judged.layers if layer.name in (target, "original_units")} == {
            "float32"
        }
        assert judged(batch(3)).dtype == trained(batch(3)).dtype == tf.float32


@every_network
def test_a_gradient_reaches_every_weight_after_a_few_steps(name: str) -> None:
    matrices = batch(3, 64)
    for changed in ({}, {"depth": 3}, *options(name)):
        keras.utils.set_random_seed(0)
        network = build(name, **changed)
        optimizer = keras.optimizers.SGD(0.1)
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((network(matrices, training=True) - np.reshape(matrices, (64, 9))) ** 2)
            gradients = tape.gradient(loss, network.trainable_variables)
            optimizer.apply(gradients, network.trainable_variables)
        for weight, gradient in zip(network.trainable_variables, gradients, strict=True):
            assert np.isfinite(gradient).all(), (changed, weight.path)
            assert np.any(gradient), (changed, weight.path)


JUDGES = {
    "plain": {"size": 2, "target": "inverse", "compression": "none", "input_norm": False, "policy": "float32"},
    "compressed": {"size": 3, "target": "inverse", "compression": "asinh", "input_norm": False, "policy": "float32"},
    "normalized": {"size": 4, "target": "inverse", "compression": "none", "input_norm": True, "policy": "float32"},
    "mixed": {"size": 3, "target": "inverse", "compression": "asinh", "input_norm": True, "policy": "mixed_bfloat16"},
    "number": {"size": 2, "target": "determinant", "compression": "none", "input_norm": False, "policy": "float32"},
    "all": {"size": 3, "target": "determinant", "compression": "asinh", "input_norm": True, "policy": "float32"},
}
SCALE = 5.0


def judge(name: str, case: dict[str, Any]) -> tuple[keras.Model, keras.Model]:
    """A network that was stirred, as it is trained, and in original units."""
    size = case["size"]
    keras.config.set_dtype_policy(case["policy"])
    try:
        network = build(name, size, size * size if case["target"] == "inverse" else 1)
        stir(network)
        trained = normalized_input(network) if case["input_norm"] else network
        return trained, original_units(trained, SCALE, case["target"], case["compression"], case["input_norm"])
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def reloaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predictions of the networks tested, in every way of original units: here, and loaded by a process of its own."""
    folder = tmp_path_factory.mktemp("saved")
    tested = [item for item in request.session.items if "reloaded" in getattr(item, "fixturenames", ())]
    here = {}
    for name in sorted({item.callspec.params["name"] for item in tested}):
        for way, case in JUDGES.items():
            _, model = judge(name, case)
            model.save(folder / f"{name}-{way}.keras")
            np.save(folder / f"{name}-{way}.npy", batch(case["size"]))
            here[f"{name}-{way}"] = model(batch(case["size"])).numpy()
    program = (
        "import json, sys, keras, numpy\n"
        "loaded = lambda name: keras.models.load_model(name + '.keras')(numpy.load(name + '.npy')).numpy().tolist()\n"
        "predictions = {name: loaded(name) for name in sys.argv[1:]}\n"
        "print(json.dumps([predictions, sorted({'models', 'data', 'conf', 'sweep'} & set(sys.modules))]))"
    )
    command = [sys.executable, "-c", program, *here]
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    there, of_this_project = json.loads(output)
    assert of_this_project == []
    return {name: (predictions, np.array(there[name])) for name, predictions in here.items()}


@every_network
@pytest.mark.parametrize("way", JUDGES)
def test_a_saved_model_loads_without_this_project(
    name: str, way: str, reloaded: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    here, there = reloaded[f"{name}-{way}"]
    size = JUDGES[way]["size"]
    assert there.shape == ((5, size, size) if JUDGES[way]["target"] == "inverse" else (5, 1))
    np.testing.assert_allclose(there, here, rtol=1e-2 if way == "mixed" else 1e-5, atol=1e-6)


@every_network
@pytest.mark.parametrize("way", JUDGES)
def test_original_units_undo_what_was_done_to_the_targets(name: str, way: str) -> None:
    """What was done to them is done here in NumPy to the predictions in original units: it gives trained units."""
    case = JUDGES[way]
    trained, model = judge(name, case)
    matrices = batch(case["size"])
    predictions = model(matrices).numpy().astype(np.float64).reshape(5, -1)
    norms = np.sqrt(np.mean(matrices.astype(np.float64) ** 2, axis=(1, 2)))[:, None] if case["input_norm"] else 1.0
    of_normalized = predictions * norms if case["target"] == "inverse" else predictions / norms ** case["size"]
    scaled = of_normalized / SCALE
    expected = np.arcsinh(scaled) if case["compression"] == "asinh" else scaled
    np.testing.assert_allclose(trained(matrices), expected, rtol=1e-4, atol=1e-5)


def test_original_units_of_predictions_that_are_known() -> None:
    """A network that predicts the matrix itself: [[1, 2], [3, 4]], whose root mean square is √7.5."""
    matrix = keras.Input((2, 2), name="matrix")
    network = keras.Model(matrix, keras.layers.Flatten()(matrix))
    number = keras.Model(matrix, keras.layers.Flatten()(matrix)[:, :1])
    given = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
    np.testing.assert_allclose(original_units(network, 5.0)(given), 5 * given)
    np.testing.assert_allclose(original_units(network, 5.0, compression="asinh")(given), 5 * np.sinh(given), rtol=1e-6)
    np.testing.assert_allclose(original_units(network, 5.0, input_norm=True)(given), 5 * given / 7.5**0.5, rtol=1e-6)
    np.testing.assert_allclose(original_units(number, 5.0, "determinant", input_norm=True)(given), [[37.5]], rtol=1e-6)
    compressed = original_units(number, 5.0, "determinant", "asinh", input_norm=True)
    np.testing.assert_allclose(compressed(given), [[37.5 * np.sinh(1)]], rtol=1e-6)


def test_original_units_refuse_what_they_do_not_know() -> None:
    network = dense(3, 9, 1, 4)
    with pytest.raises(ValueError, match=r"data\.target: got trace, allowed is one of inverse, determinant"):
        original_units(network, 5.0, "trace")
    with pytest.raises(ValueError, match=r"data\.compression: got log, allowed is one of none, asinh"):
        original_units(network, 5.0, compression="log")


@every_network
def test_a_normalized_input_is_the_same_network_whatever_the_size_of_the_entries(name: str) -> None:
    network = build(name)
    stir(network)
    normalized = normalized_input(network)
    assert normalized.name == network.name
    assert [id(w) for w in normalized.trainable_variables] == [id(w) for w in network.trainable_variables]
    matrices = batch(3)
    unit = matrices / np.sqrt(np.mean(matrices**2, axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(normalized(matrices), network(unit), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(normalized(100 * matrices), normalized(matrices), rtol=1e-4, atol=1e-5)


def test_every_activation_is_one_of_keras() -> None:
    assert list(ACTIVATIONS) == sorted(ACTIVATIONS)
    for name in ACTIVATIONS:
        assert keras.activations.get(name).__name__ == name


def affine(layer: keras.layers.Dense, x: np.ndarray) -> np.ndarray:
    """What a linear layer makes of x, by hand."""
    return x @ np.asarray(layer.kernel) + (np.asarray(layer.bias) if layer.use_bias else 0)


def normalised(x: np.ndarray) -> np.ndarray:
    """Over the units of each sample, with Keras's epsilon."""
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3)


def as_it_is(x: np.ndarray) -> np.ndarray:
    return x


def denses(network: keras.Model) -> list[keras.layers.Dense]:
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]


def test_a_dense_layer_that_skips_adds_its_input_to_its_output() -> None:
    plain, skipping = dense(3, 9, 3, 8, "tanh"), dense(3, 9, 3, 8, "tanh", skip=True)
    stir(plain)
    skipping.set_weights(plain.get_weights())
    first, second, third, last = denses(skipping)
    x = np.tanh(affine(first, batch(3).reshape(5, 9)))
    x = x + np.tanh(affine(second, x))
    x = x + np.tanh(affine(third, x))
    np.testing.assert_allclose(skipping(batch(3)), affine(last, x), rtol=1e-4, atol=1e-5)
    assert not np.allclose(skipping(batch(3)), plain(batch(3)), rtol=1e-2)
    assert skipping.count_params() == plain.count_params()


def test_a_first_dense_layer_has_nothing_to_skip() -> None:
    plain, skipping = dense(3, 9, 1, 9, "tanh"), dense(3, 9, 1, 9, "tanh", skip=True)
    skipping.set_weights(plain.get_weights())
    np.testing.assert_array_equal(skipping(batch(3)), plain(batch(3)))


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_a_dense_layer_is_normalised_before_it_is_activated(norm: str) -> None:
    network = dense(3, 9, 1, 8, "relu", norm=norm)
    first, last = denses(network)
    x = affine(first, batch(3).reshape(5, 9))
    x = normalised(x) if norm == "layer" else normalised(x.T).T
    expected = affine(last, np.maximum(x, 0))
    np.testing.assert_allclose(network(batch(3), training=True), expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.norm: got bach, allowed is one of none, layer, batch"):
        dense(3, 9, 1, 8, norm="bach")


def test_residual_with_its_defaults_is_the_answers_network() -> None:
    assert residual(3, 9).count_params() == 4_712_713


def test_a_residual_block_starts_as_the_identity() -> None:
    """All blocks add zero at first: whatever their number, the stem's output reaches the last layer unchanged."""
    network = residual(3, 9, 2, 8, "relu", stem_width=4, layers_per_block=2)
    stem = keras.Model(network.input, network.get_layer("stem").output)(batch(3))
    np.testing.assert_allclose(network(batch(3)), network.get_layer("scaled")(stem), rtol=1e-6)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_gated_block_starts_as_the_identity(layer_norm: bool) -> None:
    network = gated(3, 9, 2, 8, layer_norm=layer_norm)
    norm = normalised if layer_norm else as_it_is
    x = affine(network.get_layer("stem"), batch(3).reshape(5, 9))
    np.testing.assert_allclose(network(batch(3)), affine(network.get_layer("scaled"), norm(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_gated_block_multiplies_its_gate_with_another_linear_map(layer_norm: bool) -> None:
    network = gated(3, 9, 1, 8, "sigmoid", expansion=3, layer_norm=layer_norm)
    norm = normalised if layer_norm else as_it_is
    for layer in denses(network):  # so that nothing is at zero
        layer.kernel.assign(np.random.default_rng(layer.units).uniform(-1, 1, layer.kernel.shape))
    stem, gate, up, down, last = denses(network)
    assert gate.units == up.units == 24
    x = affine(stem, batch(3).reshape(5, 9))
    x = x + affine(down, affine(up, norm(x)) / (1 + np.exp(-affine(gate, norm(x)))))
    np.testing.assert_allclose(network(batch(3)), affine(last, norm(x)), rtol=1e-4, atol=1e-4)


def test_a_linear_gate_makes_a_block_bilinear() -> None:
    """Along a straight line a bilinear block is a parabola: its third differences vanish, its second do not."""

    def differences(activation: str, order: int) -> float:
        keras.utils.set_random_seed(0)
        network = gated(3, 9, 1, 8, activation, layer_norm=False)
        stir(network)
        start, direction = batch(3, 2)
        line = np.stack([start + t * direction for t in (0, 1, 2, 3)])
        return float(np.abs(np.diff(network(line), order, axis=0)).max())

    assert differences("linear", 2) > 0.1
    assert differences("linear", 3) < 1e-3 * differences("linear", 2)
    assert differences("silu", 3) > 1e-2 * differences("silu", 2)
