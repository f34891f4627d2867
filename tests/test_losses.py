from typing import Any

import keras
import numpy as np
import pytest

from conf.schema import DataConfig, Loss
from data.evaluation import freeze
from data.matrices import Determinant, draw, inverse
from data.stream import stream
from data.targets import Compression, Target, truth
from data.targets import trained_units as as_trained
from sweep.training.losses import TrainedNetwork, formula, loss_on

MATRICES = draw(np.random.default_rng(0), 50, 3, (-2.0, 2.0), DataConfig().determinant)
INVERSES = inverse(MATRICES.astype(np.float64))
PREDICTED = INVERSES + np.random.default_rng(1).normal(0, 0.5, INVERSES.shape)
NORMS = np.sqrt(np.mean(np.square(MATRICES), axis=(1, 2), dtype=np.float64))[:, None, None]


def trained_units(inverses: np.ndarray, data: DataConfig) -> np.ndarray:
    values = inverses * (NORMS if data.input_norm else 1.0) / data.target_scale
    values = np.arcsinh(values) if data.compression is Compression.asinh else values
    return values.reshape(len(values), -1).astype(np.float32)


def loss(kind: Loss, data: DataConfig) -> float:
    return float(formula(kind, data)(MATRICES, trained_units(INVERSES, data), trained_units(PREDICTED, data)))


@pytest.mark.parametrize(
    ("kind", "by_hand"),
    [
        (Loss.mse, lambda off: np.mean(off**2)),
        (Loss.mae, lambda off: np.mean(np.abs(off))),
        (Loss.huber, lambda off: np.mean(np.where(np.abs(off) < 1, off**2 / 2, np.abs(off) - 0.5))),
        (Loss.log_cosh, lambda off: np.mean(np.log(np.cosh(off)))),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"compression": Compression.asinh}, {"target_scale": 0.1}])
def test_entrywise_losses_are_of_trained_units(kind: Loss, by_hand: Any, changes: dict[str, Any]) -> None:
    data = DataConfig(**changes)
    off = trained_units(PREDICTED, data).astype(np.float64) - trained_units(INVERSES, data)
    assert loss(kind, data) == pytest.approx(by_hand(off), rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [{}, {"target_scale": 50.0}, {"compression": Compression.asinh}, {"input_norm": True}],
    ids=str,
)
def test_relative_and_residual_are_of_original_units_whatever_is_trained_on(changes: dict[str, Any]) -> None:
    data = DataConfig(**changes)
    relative = np.linalg.norm(PREDICTED - INVERSES, axis=(1, 2)) / np.linalg.norm(INVERSES, axis=(1, 2))
    residual = np.linalg.norm(MATRICES @ PREDICTED - np.eye(3), axis=(1, 2))
    assert loss(Loss.relative, data) == pytest.approx(relative.mean(), rel=1e-4)
    assert loss(Loss.residual, data) == pytest.approx(residual.mean(), rel=1e-4)


def test_relative_of_determinants() -> None:
    data = DataConfig(target=Target.determinant)
    truth, predicted = np.array([[2.0], [-4.0]], np.float32), np.array([[1.0], [-5.0]], np.float32)
    assert float(formula(Loss.relative, data)(MATRICES[:2], truth, predicted)) == pytest.approx((0.5 + 0.25) / 2)


@pytest.mark.parametrize("kind", [Loss.relative, Loss.residual])
def test_a_perfect_prediction_has_a_finite_slope(kind: Loss) -> None:
    import tensorflow as tf

    data = DataConfig(target_scale=1.0)
    matrices = np.stack([np.eye(3, dtype=np.float32)] * 2)
    perfect = tf.Variable(matrices.reshape(2, 9))
    with tf.GradientTape() as tape:
        value = formula(kind, data)(matrices, matrices.reshape(2, 9), perfect)
    assert float(value) == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(tape.gradient(value, perfect).numpy()).all()


def test_penalties_of_layers_are_added_and_the_mean_is_over_samples() -> None:
    inputs = keras.Input((3, 3))
    layer = keras.layers.Dense(9, activity_regularizer=keras.regularizers.L2(1.0))
    network = TrainedNetwork(
        keras.Model(inputs, layer(keras.layers.Flatten()(inputs))), formula(Loss.mse, DataConfig(target_scale=1.0))
    )
    network.compile(keras.optimizers.SGD(0.0))
    targets = trained_units(INVERSES, DataConfig(target_scale=1.0))
    fitted = network.fit(MATRICES, targets, batch_size=50, verbose=0).history["loss"][0]
    predictions = network(MATRICES).numpy()
    plain = np.mean((predictions - targets) ** 2)
    assert fitted == pytest.approx(plain + np.sum(predictions**2) / 50, rel=1e-4)


@pytest.mark.parametrize("target", list(Target), ids=lambda target: target.name)
@pytest.mark.parametrize(
    "changes", [{}, {"input_norm": True}, {"compression": Compression.asinh}, {"target_scale": 0.5}], ids=str
)
def test_trained_units_are_those_of_the_stream(target: Target, changes: dict[str, Any]) -> None:
    data = DataConfig(target=target, **changes)
    matrices, targets = next(stream(data, 0, 200, steps=1).as_numpy_iterator())
    by_hand = as_trained(truth(matrices.astype(np.float64), target), matrices, data)
    assert by_hand.dtype == np.float32
    np.testing.assert_allclose(by_hand, targets, rtol=1e-5)


@pytest.mark.parametrize("kind", list(Loss), ids=lambda kind: kind.name)
def test_the_loss_on_an_evaluation_set_is_what_training_would_say_of_it(kind: Loss) -> None:
    data = DataConfig(target_scale=3.0, compression=Compression.asinh, input_norm=True)
    frozen = freeze(MATRICES.copy(), Target.inverse, {})
    assert loss_on(frozen, kind, data)(PREDICTED) == pytest.approx(loss(kind, data), rel=1e-4)
    assert np.isnan(loss_on(frozen, kind, data)(np.full_like(PREDICTED, np.nan)))


@pytest.mark.parametrize("kind", list(Loss), ids=lambda kind: kind.name)
def test_the_loss_on_an_evaluation_set_does_not_hang_on_the_matrices_that_are_trained_on(kind: Loss) -> None:
    """Which is why a study may sweep them and compare val/loss: nothing of them may become a scale."""
    frozen = freeze(MATRICES.copy(), Target.inverse, {})
    trained_on = [
        DataConfig(),
        DataConfig(entry_range=(-0.5, 0.5)),
        DataConfig(determinant=Determinant("relative", 0.1)),
        DataConfig(num_samples=1000, validation_split=0.2),
    ]
    assert len({loss_on(frozen, kind, data)(PREDICTED) for data in trained_on}) == 1
