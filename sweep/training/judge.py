"""Measures a network in original units on matrices whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from data.evaluation import EvaluationSet
from sweep.metrics import REFINED, Floats, measures
from sweep.training.refine import refined

_CHUNK = 12_500
"""Matrices judged at once: bounds the memory of wide networks."""


class Judge:
    """Judges a network as it stands: its weights may change between two judgements.

    Args:
        model: from matrices `[batch, n, n]` to predictions in original units.
        judged_on: the frozen set.
        refine: Newton-Schulz steps after which inverses are judged a second time; 0 judges them once.
        held_out: the part of a finite pool that is not trained on, if there is one.
        loss: from predictions for the frozen set to the loss on it, if it is wanted.
    """

    def __init__(
        self,
        model: keras.Model,
        judged_on: EvaluationSet,
        refine: int = 0,
        held_out: EvaluationSet | None = None,
        loss: Callable[[Floats], float] | None = None,
    ) -> None:
        self.model = model
        self.judged_on = judged_on
        self.held_out = held_out
        self.refine = refine
        self._loss = loss
        spec = tf.TensorSpec([None, *judged_on.inputs.shape[1:]], tf.float32)
        self._call = tf.function(lambda matrices: model(matrices, training=False), input_signature=[spec])

    def measures(self) -> dict[str, float]:
        """Every measure on the frozen set by its bare name, those of refined predictions as refined_…, the loss."""
        frozen, predictions = self.judged_on, self.predict(self.judged_on.inputs)
        values = measures(frozen.inputs, frozen.truth, predictions)
        if self.refine:
            better = measures(frozen.inputs, frozen.truth, refined(frozen.inputs, predictions, self.refine))
            values |= {f"{REFINED}{name}": value for name, value in better.items()}
        if self._loss is not None:
            values["loss"] = self._loss(predictions)
        return values

    def held_out_measures(self) -> dict[str, float]:
        """Every measure on what the pool holds out, by its bare name; none without such a part."""
        held_out = self.held_out
        return {} if held_out is None else measures(held_out.inputs, held_out.truth, self.predict(held_out.inputs))

    def predict(self, inputs: Floats) -> Floats:
        """Predictions for matrices `[count, n, n]`, in original units."""
        chunks = (inputs[first : first + _CHUNK] for first in range(0, len(inputs), _CHUNK))
        return np.concatenate([self._call(chunk).numpy() for chunk in chunks])
