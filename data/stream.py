"""The endless training stream: matrices and targets in trained units, every sample made from (seed, index) alone."""

import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from data.matrices import Determinant, sufficient_acceptance
from data.targets import Compression, Target, Units, outputs


class Source(Units, Protocol):
    """What is streamed: keys of the configuration group `data`."""

    @property
    def matrix_size(self) -> int:
        """n, at least 2."""

    @property
    def entry_range(self) -> Sequence[float]:
        """(low, high) of the uniform entries."""

    @property
    def determinant(self) -> Determinant:
        """Which matrices are kept."""


_STREAM = 0x57EA
"""Keeps the training stream's seeds apart from those of the evaluation sets, whatever the two seeds are."""
_BLOCK = 8192
"""Samples are made this many at a time, which shares the cost of each operation, and then cut into batches."""
_MAX_CANDIDATES = 1 << 18
_MAX_ATTEMPTS = 300
"""A block takes up to about 32, at the least acceptance that is allowed."""
_PREFETCH = 16


def stream(source: Source, seed: int, batch_size: int, start: int = 0, steps: int | None = None) -> tf.data.Dataset:
    """Batches of kept matrices and their targets, in the units in which a network is trained.

    Sample i depends on (`seed`, i) alone, and batch `step` holds the samples from `step * batch_size` on: another batch
    size cuts the same samples elsewhere, and to resume, start at the step that comes next. Every batch is full. Where
    the rule rejects matrices, the next accepted ones take their places; nothing is masked.

    Candidates are drawn by a counter-based generator (Philox; Salmon et al., 2011, "Parallel random numbers: as easy as
    1, 2, 3"). Determinant and rule are computed in float32 as they are drawn, or in float64 by a rule that rescales.
    The targets of the float32 matrices that result are computed in float64 and then rounded, so that their relative
    error is float32's own, however near the threshold they lie.

    In trained units, with s = 1, or with `input_norm` s = the root mean square of the matrix's entries, an inverse X is
    X·s / `target_scale` and a determinant d is d / sⁿ / `target_scale`: what belongs to the matrix divided by s. The
    compression comes last. The matrices themselves are never changed: the network divides by s.

    Args:
        source: what is streamed.
        seed: at least 0, of any size.
        batch_size: matrices in every batch.
        start: the first step.
        steps: how many batches; None is endless.

    Returns:
        A dataset of (matrices float32 `[batch_size, n, n]`, targets float32 `[batch_size, outputs]`): n·n outputs, row
        by row, for inverses, one for determinants.

    Raises:
        ValueError: if there is no such rule, or if it keeps too few matrices.
        tf.errors.InvalidArgumentError: from the dataset, if a rule keeps less in TensorFlow than in NumPy.
    """
    size, determinant = source.matrix_size, source.determinant
    low, high = (float(bound) for bound in source.entry_range)
    share = sufficient_acceptance(size, (low, high), determinant)
    # Five standard deviations above the mean: a second draw is rare.
    candidates = min(int((_BLOCK + 5 * (_BLOCK * (1 - share)) ** 0.5) / share) + 8, _MAX_CANDIDATES)
    key = stateless_key(seed, _STREAM)
    first, surplus = divmod(start * batch_size, _BLOCK)

    def draw(block: tf.Tensor, attempt: tf.Tensor) -> tf.Tensor:
        """Kept matrices, fewer or more than a block of them: float32 `[kept, n * n]`."""
        # Matrix by matrix, so that the first ones do not change with the number of candidates.
        drawn = tf.random.stateless_uniform(
            [candidates, size * size], [key, block * 2**20 + attempt], low, high, tf.float32, alg="philox"
        )
        planes = tf.transpose(drawn)
        if determinant.rescales:
            return tf.transpose(_rescaled(planes, size, (low, high), determinant))
        keeps = determinant.keeps(_determinants(planes, size), size, (low, high))
        return tf.gather(drawn, tf.where(keeps)[:, 0])

    def fill(block: tf.Tensor, attempt: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        wrong = (
            f"determinant.rule: got {determinant.rule}, which keeps almost nothing in TensorFlow, "
            "allowed is a rule that keeps there what it keeps in NumPy"
        )
        with tf.control_dependencies([tf.debugging.assert_less(attempt, tf.constant(_MAX_ATTEMPTS, tf.int64), wrong)]):
            return attempt + 1, tf.concat([kept, draw(block, attempt)], axis=0)

    def make(block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        _, kept = tf.while_loop(
            lambda _, kept: tf.shape(kept)[0] < _BLOCK,
            lambda attempt, kept: fill(block, attempt, kept),
            (tf.constant(1, tf.int64), draw(block, tf.constant(0, tf.int64))),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, size * size])),
        )
        matrices = kept[:_BLOCK]
        targets = _targets(tf.transpose(tf.cast(matrices, tf.float64)), source)
        used = tf.where(block == first, surplus, 0)  # by the batches before the first
        return (
            tf.reshape(matrices, [_BLOCK, size, size])[used:],
            tf.reshape(tf.cast(targets, tf.float32), [_BLOCK, outputs(source.target, size)])[used:],
        )

    end = np.iinfo(np.int64).max if steps is None else -(-(start + steps) * batch_size // _BLOCK)
    plain = tf.autograph.experimental.do_not_convert  # graph operations already: saves the trace some time
    # Blocks are made side by side, not each by many threads.
    blocks = tf.data.Dataset.range(first, end).map(plain(make), num_parallel_calls=_threads(), deterministic=True)
    batches = blocks.rebatch(batch_size, drop_remainder=True)
    if steps is not None:
        batches = batches.take(steps).apply(tf.data.experimental.assert_cardinality(steps))
    return batches.prefetch(_PREFETCH).with_options(pipeline_options())


def stateless_key(seed: int, purpose: int) -> int:
    """The first of the two numbers that a stateless generator takes, for a seed of any size."""
    return int(np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64).astype(np.int64)[0])


def pipeline_options() -> tf.data.Options:
    """Threads of the process's own number, one for each operation; nothing that changes while it runs."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = _threads()
    options.threading.max_intra_op_parallelism = 1
    return options


def _threads() -> int:
    """Threads that this process may use: TensorFlow's limit if one was set, else the cores it may run on."""
    limit = tf.config.threading.get_intra_op_parallelism_threads()
    return limit or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or len(os.sched_getaffinity(0))


def _targets(planes: tf.Tensor, source: Source) -> tf.Tensor:
    """Targets in trained units, `[count, n * n]` or `[count]`, of matrices given as float64 planes `[n * n, count]`."""
    size = source.matrix_size
    if source.target is Target.determinant:
        targets = _determinants(planes, size)
        if source.input_norm:
            targets /= _root_mean_square(planes) ** size
    else:
        targets = _inverses(planes, size)
        if source.input_norm:
            targets *= _root_mean_square(planes)[:, None]
    targets /= source.target_scale
    return tf.asinh(targets) if source.compression is Compression.asinh else targets


def _root_mean_square(planes: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(planes), axis=0))


def _rescaled(planes: tf.Tensor, size: int, entry_range: tuple[float, float], determinant: Determinant) -> tf.Tensor:
    """Those of the float32 planes `[n * n, count]` that the rule keeps, with their new first rows."""
    exact = tf.cast(planes, tf.float64)
    determinants = _determinants(exact, size)
    keeps = tf.where(determinant.keeps(determinants, size, entry_range))[:, 0]
    exact, determinants = tf.gather(exact, keeps, axis=1), tf.gather(determinants, keeps)
    factor = determinant.row_factor(determinants)
    rescaled = tf.cast(tf.concat([exact[:size] * factor, exact[size:]], axis=0), tf.float32)
    holds = determinant.holds(_determinants(tf.cast(rescaled, tf.float64), size), determinants * factor)
    return tf.gather(rescaled, tf.where(holds)[:, 0], axis=1)


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
