"""The endless training stream: matrices and their scaled inverses, every batch made from (seed, step) alone."""

import os

import numpy as np
import tensorflow as tf

from data.matrices import Determinant, acceptance

_STREAM = 0x57EA
"""Keeps the training stream's seeds apart from those of the evaluation sets, whatever the two seeds are."""
_BLOCK = 8192
"""Small batches are made several at a time, from about this many draws: that shares the cost of each operation."""
_MAX_CANDIDATES = 1 << 18
_PREFETCH = 16


def stream(
    seed: int,
    batch_size: int,
    size: int,
    entry_range: tuple[float, float],
    determinant: Determinant,
    target_scale: float,
    start: int = 0,
    steps: int | None = None,
) -> tf.data.Dataset:
    """Batches of kept matrices and their inverses divided by `target_scale`.

    Batch `step` depends on (`seed`, `step`) alone: to resume, start at the step that comes next. Every batch is full.
    Where the rule rejects matrices, the next accepted ones of the same step take their places; nothing is masked.

    Candidates are drawn by a counter-based generator (Philox; Salmon et al., 2011, "Parallel random numbers: as easy as
    1, 2, 3"). Determinant and rule are computed in float32 as they are drawn; the labels of the accepted ones in
    float64 and then rounded, so that their relative error is float32's own, however near the threshold they lie.

    Args:
        seed: at least 0, of any size.
        batch_size: matrices in every batch.
        size: n, at least 2.
        entry_range: (low, high) of the uniform entries.
        determinant: which matrices are kept.
        target_scale: what the inverses are divided by.
        start: the first step.
        steps: how many batches; None is endless.

    Returns:
        A dataset of (matrices float32 `[batch_size, n, n]`, targets float32 `[batch_size, n * n]`, row by row).
    """
    low, high = (float(bound) for bound in entry_range)
    share = max(acceptance(size, (low, high), determinant), 1e-6)
    steps_per_block = max(1, round(_BLOCK * share / batch_size))
    block_size = steps_per_block * batch_size
    # Five standard deviations above the mean: a second draw is rare.
    candidates = min(int((block_size + 5 * (block_size * (1 - share)) ** 0.5) / share) + 8, _MAX_CANDIDATES)
    key = int(np.random.SeedSequence([seed, _STREAM]).generate_state(1, np.uint64).astype(np.int64)[0])

    def draw(block: tf.Tensor, attempt: tf.Tensor) -> tf.Tensor:
        """Kept matrices, fewer or more than a block of them: float32 `[kept, n * n]`."""
        planes = tf.random.stateless_uniform(
            [size * size, candidates], [key, block * 2**20 + attempt], low, high, tf.float32, alg="philox"
        )
        return tf.gather(tf.transpose(planes), tf.where(determinant.keeps(_determinants(planes, size)))[:, 0])

    def make(block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        _, kept = tf.while_loop(
            lambda _, kept: tf.shape(kept)[0] < block_size,
            lambda attempt, kept: (attempt + 1, tf.concat([kept, draw(block, attempt)], axis=0)),
            (tf.constant(1, tf.int64), draw(block, tf.constant(0, tf.int64))),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, size * size])),
        )
        matrices = kept[:block_size]
        inverses = _inverses(tf.transpose(tf.cast(matrices, tf.float64)), size) / target_scale
        return (
            tf.reshape(matrices, [steps_per_block, batch_size, size, size]),
            tf.reshape(tf.cast(inverses, tf.float32), [steps_per_block, batch_size, size * size]),
        )

    end = np.iinfo(np.int64).max if steps is None else -(-(start + steps) // steps_per_block)
    blocks = tf.data.Dataset.range(start // steps_per_block, end)
    plain = tf.autograph.experimental.do_not_convert  # graph operations already: saves the trace some time
    threads = _threads()
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1  # blocks are made side by side, not each by many threads
    made = blocks.map(plain(make), num_parallel_calls=threads, deterministic=True)
    batches = made.unbatch().skip(start % steps_per_block)
    if steps is not None:
        batches = batches.take(steps).apply(tf.data.experimental.assert_cardinality(steps))
    return batches.prefetch(_PREFETCH).with_options(options)


def _threads() -> int:
    """Threads that this process may use: TensorFlow's limit if one was set, else the cores it may run on."""
    limit = tf.config.threading.get_intra_op_parallelism_threads()
    return limit or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or len(os.sched_getaffinity(0))


def _determinants(planes: tf.Tensor, size: int) -> tf.Tensor:
    """Determinants `[count]` of matrices given as planes `[n * n, count]`, in their dtype."""
    if size == 2:
        a, b, c, d = tf.unstack(planes)
        return a * d - b * c
    if size == 3:
        a, b, c, d, e, f, g, h, i = tf.unstack(planes)
        return a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)
    return tf.linalg.det(_matrices(planes, size))


def _inverses(planes: tf.Tensor, size: int) -> tf.Tensor:
    """Flat inverses `[count, n * n]` of matrices given as planes `[n * n, count]`, in their dtype.

    The adjugate over the determinant (Cramer's rule) for n = 2 and 3, LU beyond.
    """
    if size == 2:
        a, b, c, d = tf.unstack(planes)
        return tf.transpose(tf.stack([d, -b, -c, a]) / (a * d - b * c))
    if size == 3:
        a, b, c, d, e, f, g, h, i = tf.unstack(planes)
        first, second, third = e * i - f * h, f * g - d * i, d * h - e * g
        adjugate = [
            *(first, c * h - b * i, b * f - c * e),
            *(second, a * i - c * g, c * d - a * f),
            *(third, b * g - a * h, a * e - b * d),
        ]
        return tf.transpose(tf.stack(adjugate) / (a * first + b * second + c * third))
    return tf.reshape(tf.linalg.inv(_matrices(planes, size)), [-1, size * size])


def _matrices(planes: tf.Tensor, size: int) -> tf.Tensor:
    return tf.reshape(tf.transpose(planes), [-1, size, size])
