"""What a network costs: its parameters, and the arithmetic of one prediction."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf


@dataclass(frozen=True)
class Cost:
    """What a network and its training cost.

    Attributes:
        parameters: all of its weights.
        flops: floating-point operations of one prediction.
        steps_per_second: over the whole training, validations included.
        samples_per_second: likewise.
        best_step: the step of the best validation.
        seconds_to_best: of training, until then.
    """

    parameters: int
    flops: int
    steps_per_second: float
    samples_per_second: float
    best_step: int
    seconds_to_best: float

    def __str__(self) -> str:
        return (
            f"{self.parameters:,} parameters, {self.flops:,} FLOPs a sample; {self.samples_per_second:,.0f} samples, "
            f"{self.steps_per_second:,.0f} steps a second; best after {self.best_step:,} steps, "
            f"{self.seconds_to_best:.1f} s"
        )


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
