"""How fast the training stream is, beside a plain NumPy generator and beside TensorFlow's own inversion.

    python -m benchmarks.stream [batch_size] [matrix_size]

All three make full batches of kept float32 matrices and their scaled inverses, one after another in turns, so that a
busy machine slows all alike. Prints matrices per second and, per turn, the ratio of ours to each: median, lowest and
highest.
"""

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from data.matrices import Determinant
from data.stream import stream

TURNS = 7
SECONDS = 1.0
LOW, HIGH, SCALE = -2.0, 2.0, 5.0
ABOVE = Determinant()


def plain_numpy(batch_size: int, size: int) -> Iterator[object]:
    """What one writes first: draw some more than needed, keep, invert with LAPACK."""
    rng = np.random.default_rng(0)
    while True:
        drawn = rng.uniform(LOW, HIGH, (batch_size * 11 // 10 + 20, size, size)).astype(np.float32)
        kept = drawn[ABOVE.keeps(np.linalg.det(drawn))][:batch_size]
        yield kept, np.linalg.inv(kept).reshape(len(kept), -1) / np.float32(SCALE)


def tensorflow_inverse(batch_size: int, size: int) -> Iterator[object]:
    """The same stream but for `tf.linalg.det` and `tf.linalg.inv` in float32, a batch at a time."""

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = [batch_size * 11 // 10 + 20, size, size]
        drawn = tf.random.stateless_uniform(shape, [0, step], LOW, HIGH, alg="philox")
        kept = tf.boolean_mask(drawn, ABOVE.keeps(tf.linalg.det(drawn)))[:batch_size]
        return kept, tf.reshape(tf.linalg.inv(kept), [-1, size * size]) / SCALE

    return iter(tf.data.Dataset.range(2**62).map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(16))


def ours(batch_size: int, size: int) -> Iterator[object]:
    """The training stream."""
    return iter(stream(0, batch_size, size, (LOW, HIGH), ABOVE, SCALE))


def speed(batches: Iterator[object], batch_size: int) -> float:
    """Matrices per second, over about `SECONDS`."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        next(batches)
        count += 1
    return count * batch_size / (time.perf_counter() - began)


def main() -> None:
    """Measures in turns and prints the ratios."""
    given = [int(word) for word in sys.argv[1:]]
    batch_size, size = given + [1024, 3][len(given) :]
    makers: tuple[Callable[[int, int], Iterator[object]], ...] = (ours, plain_numpy, tensorflow_inverse)
    sources = [make(batch_size, size) for make in makers]
    for source in sources:
        next(source)  # tracing is not what is measured
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
