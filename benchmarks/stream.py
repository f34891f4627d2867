"""How fast the training stream is, beside a plain NumPy generator and beside TensorFlow's own inversion.

    python -m benchmarks.stream [batch_size] [matrix_size]

All three make full batches of kept float32 matrices and their scaled inverses, one after another in turns, so that a
busy machine slows all alike; TensorFlow's are taken inside a graph, as Keras takes them. Prints matrices per second
and, over the turns, the ratio of ours to each: median, lowest and highest.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tensorflow as tf

from conf.schema import DataConfig
from data.stream import stream

TURNS = 7
SECONDS = 1.0
STEPS = 50
"""Batches between two looks at the clock, like `train.steps_per_execution`."""
ANSWER = DataConfig()
(LOW, HIGH), SCALE = ANSWER.entry_range, ANSWER.target_scale

Source = Callable[[], object]
"""Makes the next `STEPS` batches."""


def ours(batch_size: int, size: int) -> Source:
    """The training stream."""
    return in_graph(stream(replace(ANSWER, matrix_size=size), 0, batch_size))


def plain_numpy(batch_size: int, size: int) -> Source:
    """What one writes first: draw some more than needed, keep, invert with LAPACK."""
    rng = np.random.default_rng(0)

    def batch() -> object:
        drawn = rng.uniform(LOW, HIGH, (batch_size * 11 // 10 + 20, size, size)).astype(np.float32)
        kept = drawn[ANSWER.determinant.keeps(np.linalg.det(drawn), size, (LOW, HIGH))][:batch_size]
        return kept, np.linalg.inv(kept).reshape(len(kept), -1) / np.float32(SCALE)

    return lambda: [batch() for _ in range(STEPS)]


def tensorflow_inverse(batch_size: int, size: int) -> Source:
    """The same stream but for `tf.linalg.det` and `tf.linalg.inv` in float32, a batch at a time."""

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = [batch_size * 11 // 10 + 20, size, size]
        drawn = tf.random.stateless_uniform(shape, [0, step], LOW, HIGH, alg="philox")
        kept = tf.boolean_mask(drawn, ANSWER.determinant.keeps(tf.linalg.det(drawn), size, (LOW, HIGH)))[:batch_size]
        return kept, tf.reshape(tf.linalg.inv(kept), [-1, size * size]) / SCALE

    return in_graph(tf.data.Dataset.range(2**62).map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(16))


def in_graph(dataset: tf.data.Dataset) -> Source:
    """Takes batches in a graph's loop; sums a bit of each so that none is optimised away."""
    batches = iter(dataset)

    def take() -> tf.Tensor:
        total = tf.constant(0.0)
        for _ in tf.range(STEPS):
            _, targets = next(batches)
            total += targets[0, 0]
        return total

    graph = tf.function(take)
    return lambda: graph().numpy()


def speed(source: Source, batch_size: int) -> float:
    """Matrices per second, over about `SECONDS`."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        source()
        count += STEPS
    return count * batch_size / (time.perf_counter() - began)


def main() -> None:
    """Measures in turns and prints the ratios."""
    given = [int(word) for word in sys.argv[1:]]
    batch_size, size = given + [1024, 3][len(given) :]
    makers = (ours, plain_numpy, tensorflow_inverse)
    sources = [make(batch_size, size) for make in makers]
    for source in sources:
        source()  # tracing is not what is measured
    speeds = np.array([[speed(source, batch_size) for source in sources] for _ in range(TURNS)])
    print(f"{size}×{size} matrices, batches of {batch_size}, {TURNS} turns of {SECONDS:.0f} s each")
    for make, column in zip(makers, speeds.T, strict=True):
        ratios = speeds[:, 0] / column
        print(
            f"  {make.__name__:20s} {np.median(column) / 1e6:6.2f} M/s   ours is {np.median(ratios):5.2f} times as fast"
            f" ({ratios.min():.2f} to {ratios.max():.2f})"
        )


if __name__ == "__main__":
    main()
