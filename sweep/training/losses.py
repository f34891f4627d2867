"""The losses that training can minimise, the model that minimises them, and what they are on an evaluation set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from conf.schema import DataConfig, Loss
from data.evaluation import EvaluationSet
from data.targets import Compression, trained_units
from models.input_norm import root_mean_square
from sweep.metrics import Floats

Tensor = Any
Formula = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From matrices `[batch, n, n]`, targets and predictions `[batch, outputs]` in trained units, float32, to a number."""

_SMALLEST = 1e-30
"""Squared norms below this count as this: the slope of a square root has no end at 0."""

_ENTRYWISE = {
    Loss.mse: keras.losses.MeanSquaredError,
    Loss.mae: keras.losses.MeanAbsoluteError,
    Loss.huber: keras.losses.Huber,
    Loss.log_cosh: keras.losses.LogCosh,
}


class TrainedNetwork(keras.Model):  # type: ignore[misc]
    """A network whose loss may look at the matrices, too: `compile` it without a loss.

    Args:
        network: from matrices `[batch, n, n]` to predictions `[batch, outputs]` in trained units.
        formula: the loss.
    """

    def __init__(self, network: keras.Model, formula: Formula) -> None:
        super().__init__(network.inputs[0], network.outputs[0], name=network.name)
        self.formula = formula

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,  # noqa: ARG002 - Keras's signature
        training: bool = True,  # noqa: ARG002
    ) -> Tensor:
        """The loss of a batch, and whatever penalties the network's layers add."""
        return sum(self.losses, start=self.formula(x, y, y_pred))


def formula(loss: Loss, data: DataConfig) -> Formula:
    """The formula of a loss.

    `relative` is the mean over matrices of ‖X̂ - X‖ / ‖X‖, `residual` that of ‖A·X̂ - I‖, in the Frobenius norm and in
    original units; the others are Keras's, of trained units.
    """
    if loss in _ENTRYWISE:
        entrywise = _ENTRYWISE[loss]()
        return lambda _matrices, targets, predictions: entrywise(targets, predictions)
    expand = ops.sinh if data.compression is Compression.asinh else (lambda values: values)
    if loss is Loss.relative:  # scales of a matrix's own cancel

        def relative(_matrices: Tensor, targets: Tensor, predictions: Tensor) -> Tensor:
            truth = expand(targets)
            return ops.mean(_norm(expand(predictions) - truth) / _norm(truth))

        return relative
    size = data.matrix_size

    def residual(matrices: Tensor, _targets: Tensor, predictions: Tensor) -> Tensor:
        inverses = ops.reshape(expand(predictions), (-1, size, size)) * data.target_scale
        if data.input_norm:
            inverses = inverses / root_mean_square(matrices)
        off = ops.matmul(matrices, inverses) - ops.eye(size)
        return ops.mean(_norm(ops.reshape(off, (-1, size * size))))

    return residual


def loss_on(frozen: EvaluationSet, loss: Loss, data: DataConfig) -> Callable[[Floats], float]:
    """The loss on an evaluation set, from predictions in original units: they are put back into trained units."""
    wanted, matrices = formula(loss, data), frozen.inputs
    targets = trained_units(frozen.truth, matrices, data)
    return lambda predictions: float(wanted(matrices, targets, trained_units(predictions, matrices, data)))


def _norm(vectors: Tensor) -> Tensor:
    return ops.sqrt(ops.maximum(ops.sum(ops.square(vectors), axis=1), _SMALLEST))
