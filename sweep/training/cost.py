"""What a network costs: its parameters, the arithmetic of one prediction, and its training."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import keras
import tensorflow as tf


@dataclass(frozen=True)
class NetworkSize:
    """How large a network is.

    Attributes:
        parameters: all of its weights.
        flops_per_sample: floating-point operations of one prediction.
    """

    parameters: int
    flops_per_sample: int

    def metrics(self) -> dict[str, float]:
        """By the names of their metrics."""
        return _metrics(self)

    def __str__(self) -> str:
        return f"{self.parameters:,} parameters, {self.flops_per_sample:,} FLOPs a sample"


@dataclass(frozen=True)
class TrainingCost:
    """What a network's training took.

    Attributes:
        steps: how many there were.
        steps_per_second: over the whole training, validations included.
        samples_per_second: likewise.
        best_step: the step of the best validation.
        seconds_to_best: of training, until then.
    """

    steps: int
    steps_per_second: float
    samples_per_second: float
    best_step: int
    seconds_to_best: float

    def metrics(self) -> dict[str, float]:
        """By the names of their metrics."""
        return _metrics(self)

    def __str__(self) -> str:
        return (
            f"{self.samples_per_second:,.0f} samples, {self.steps_per_second:,.0f} steps a second; "
            f"best after {self.best_step:,} steps, {self.seconds_to_best:.1f} s"
        )


def _metrics(costs: NetworkSize | TrainingCost) -> dict[str, float]:
    return {f"cost/{name}": value for name, value in asdict(costs).items()}


def flops_per_sample(network: keras.Model) -> int:
    """Floating-point operations of one forward pass for one matrix; training takes about three times as many.

    Counted by TensorFlow's profiler over the traced graph, a multiplication and an addition as two. It knows products,
    sums and most elementwise operations; what it does not know (some activations) counts as nothing.
    """
    shape = (1, *network.inputs[0].shape[1:])
    traced = tf.function(lambda matrix: network(matrix, training=False))
    graph = traced.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)
