"""A finite pool of samples: trained on in epochs, the last of them held out for validation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import tensorflow as tf

from data.evaluation import EvaluationSet, freeze
from data.matrices import Determinant, Floats
from data.stream import Source as StreamSource
from data.stream import pipeline_options, stateless_key, stream
from data.targets import Compression, Target

_SHUFFLE = 0x5F1E
"""Keeps the order of a pool's samples apart from what draws them."""
_PREFETCH = 16


class Source(StreamSource, Protocol):
    """What a pool holds: keys of the configuration group `data`."""

    @property
    def num_samples(self) -> int | None:
        """How many samples there are, with those that are held out."""

    @property
    def validation_split(self) -> float:
        """The share of them that is held out, from 0 to below 1."""


def pool(source: Source, seed: int, batch_size: int, start: int = 0, steps: int | None = None) -> tf.data.Dataset:
    """Batches of a pool's training part, in epochs without end.

    The pool is the first `num_samples` samples of the stream of the same seed, so it does not depend on the batch size.
    Every epoch visits each of its training samples once, in an order that depends on (`seed`, epoch) alone. The last
    batch of an epoch is smaller if the batch size does not divide them, as in Keras. To resume, start at the step that
    comes next.

    Args:
        source: what the pool holds.
        seed: at least 0, of any size.
        batch_size: matrices in every batch but an epoch's last.
        start: the first step, counted over all epochs.
        steps: how many batches; None is endless.

    Returns:
        A dataset of (matrices float32 `[batch, n, n]`, targets float32 `[batch, outputs]`), as `stream` gives them.

    Raises:
        ValueError: if `num_samples` or `validation_split` leave nothing to train on, if there is no such rule for the
            determinant, or if it keeps too few matrices.
    """
    train = trained_on(source)
    per_epoch = steps_per_epoch(source, batch_size)
    first, done = divmod(start, per_epoch)
    key = stateless_key(seed, _SHUFFLE)
    with tf.device("CPU"):  # where batches are made, also if there is a GPU
        matrices, targets = (tf.constant(array[:train]) for array in _samples(_Drawn.of(source), seed))

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(train), [key, number], alg="philox")
        order = order[tf.where(number == first, done * batch_size, 0) :]
        samples = tf.data.Dataset.from_tensors((tf.gather(matrices, order), tf.gather(targets, order)))
        # Slices of an epoch that is shuffled already: half the time of gathering each batch. Where no batch is partial,
        # to drop the remainder only says so, and makes the shapes static.
        return samples.rebatch(batch_size, drop_remainder=train % batch_size == 0)

    batches = tf.data.Dataset.range(first, tf.int64.max).flat_map(tf.autograph.experimental.do_not_convert(epoch))
    if steps is not None:
        batches = batches.take(steps).apply(tf.data.experimental.assert_cardinality(steps))
    return batches.prefetch(_PREFETCH).with_options(pipeline_options())


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """How many batches visit each training sample once, with the last one, which may be partial.

    Raises:
        ValueError: if `num_samples` or `validation_split` leave nothing to train on.
    """
    return -(-trained_on(source) // batch_size)


def held_out(source: Source, seed: int) -> EvaluationSet:
    """The pool's last samples, which are never trained on, with their truth in original units.

    Raises:
        ValueError: if `validation_split` holds none out, and for what `pool` raises it.
    """
    train = trained_on(source)
    matrices = _samples(_Drawn.of(source), seed)[0][train:]
    if not len(matrices):
        raise ValueError(
            f"validation_split: got {source.validation_split}, allowed is a share that holds out at least one of "
            f"{source.num_samples} samples"
        )
    low, high = source.entry_range
    recipe = {
        "split": "held out",
        "num_samples": source.num_samples,
        "validation_split": source.validation_split,
        "matrix_size": source.matrix_size,
        "entry_range": [float(low), float(high)],
        "determinant": [source.determinant.rule, source.determinant.value],
        "seed": seed,
    }
    return freeze(matrices.copy(), source.target, recipe)


def trained_on(source: Source) -> int:
    """How many samples are trained on: the first ones.

    Raises:
        ValueError: if `num_samples` or `validation_split` leave nothing to train on.
    """
    count, split = source.num_samples, source.validation_split
    if count is None or count < 1:
        raise ValueError(f"num_samples: got {count}, allowed is an integer of at least 1")
    train = count - round(count * split)
    if not 0 < train <= count:
        raise ValueError(
            f"validation_split: got {split}, allowed is a share from 0 to below 1 that leaves at least one of "
            f"{count} samples to train on"
        )
    return train


@dataclass(frozen=True)
class _Drawn:
    """What the samples of a pool depend on, besides its seed."""

    num_samples: int
    matrix_size: int
    entry_range: tuple[float, float]
    rule: str
    value: float
    target: Target
    target_scale: float
    compression: Compression
    input_norm: bool

    @classmethod
    def of(cls, source: Source) -> _Drawn:
        low, high = source.entry_range
        assert source.num_samples is not None
        return cls(
            source.num_samples,
            source.matrix_size,
            (float(low), float(high)),
            source.determinant.rule,
            source.determinant.value,
            source.target,
            source.target_scale,
            source.compression,
            source.input_norm,
        )

    @property
    def determinant(self) -> Determinant:
        return Determinant(self.rule, self.value)


@lru_cache(maxsize=1)  # the next trial of the same process often has the same pool
def _samples(drawn: _Drawn, seed: int) -> tuple[Floats, Floats]:
    """The pool's matrices `[num_samples, n, n]` and targets `[num_samples, outputs]`, float32, read-only."""
    matrices, targets = next(stream(drawn, seed, drawn.num_samples, steps=1).as_numpy_iterator())
    matrices.flags.writeable = targets.flags.writeable = False
    return matrices, targets
