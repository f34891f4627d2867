"""What happens during a fit: validate and keep the best, report and be pruned, log, stop when the loss diverges."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from data.evaluation import EvaluationSet
from sweep.engine.trial import current_trial
from sweep.metrics import Floats, better, improves, measures

_CHUNK = 12_500
"""Matrices judged at once: bounds the memory of wide networks."""


class Validation(keras.callbacks.Callback):  # type: ignore[misc]
    """Judges the network in original units, every `every` steps and after the last one, and keeps the best weights.

    At each validation it logs every measure as val/…, the mean loss since the one before as train/loss, and
    samples_per_second over the training since then; every measure at a new best as best/…; and it reports the objective
    of this validation, which may raise `TrialPruned` out of `fit`.

    Attributes:
        best: the measures at the best validation, by their bare names, or None before there was one.
        best_step: the step at which it was.
        best_predictions: the predictions at the best validation, `[size, n, n]`, in original units.
        objective: the metric's value at the best validation; nan before there was one.
    """

    def __init__(
        self, judge: keras.Model, judged_on: EvaluationSet, metric: str, every: int, last_step: int, batch_size: int
    ) -> None:
        """Prepares the validations.

        Args:
            judge: the network in original units, sharing the weights of the one that is trained.
            judged_on: the frozen set.
            metric: the measure that the objective is, such as "val/rmse".
            every: steps from one validation to the next.
            last_step: the number of steps of the whole fit.
            batch_size: samples in a step.

        Raises:
            ValueError: if there is no such metric.
        """
        super().__init__()
        better(metric)  # an unknown metric fails here, not after the first steps
        self.objective = math.nan
        self.best: dict[str, float] | None = None
        self.best_step = 0
        self.best_predictions: Floats | None = None
        self._best_weights: list[Any] = []
        self._judge = judge
        self._set = judged_on
        self._metric = metric
        self._every = every
        self._last_step = last_step
        self._batch_size = batch_size
        self._since = (0, 0.0)  # step and clock at which training last went on
        spec = tf.TensorSpec([None, *judged_on.inputs.shape[1:]], tf.float32)
        self._predict = tf.function(lambda matrices: judge(matrices, training=False), input_signature=[spec])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts the clock."""
        self._since = (0, time.perf_counter())

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Validates if this was a step for it. `batch` is the index of the last step that was executed.

        Raises:
            TrialPruned: if the study gives the trial up.
        """
        if self.model.stop_training:
            return
        step = min(batch + 1, self._last_step)
        if step % self._every == 0 or step == self._last_step:
            self._validate(step, float((logs or {}).get("loss", math.nan)))

    def restore_best(self) -> None:
        """Gives the network the weights of its best validation."""
        if self._best_weights:
            self._judge.set_weights(self._best_weights)

    def _validate(self, step: int, loss: float) -> None:
        started, clock = self._since
        speed = (step - started) * self._batch_size / max(time.perf_counter() - clock, 1e-9)
        predictions = self.predict()
        values = measures(self._set.inputs, self._set.inverses, predictions)
        value = values[self._metric.rpartition("/")[2]]
        logged = {"train/loss": loss, "samples_per_second": speed}
        logged |= {f"val/{name}": number for name, number in values.items()}
        if improves(self._metric, value, None if self.best is None else self.objective):
            self.objective, self.best, self.best_step, self.best_predictions = value, values, step, predictions
            self._best_weights = self._judge.get_weights()
            logged |= {f"best/{name}": number for name, number in values.items()}
        trial = current_trial()
        trial.log(logged, step)
        trial.report(value, step)
        self.model.reset_metrics()  # so that the next mean loss is of the steps to come alone
        self._since = (step, time.perf_counter())

    def predict(self) -> Floats:
        """Predictions for the whole frozen set, `[size, n, n]`, in original units."""
        inputs = self._set.inputs
        chunks = (inputs[first : first + _CHUNK] for first in range(0, len(inputs), _CHUNK))
        return np.concatenate([self._predict(chunk).numpy() for chunk in chunks])


class StopOnDivergence(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the fit at the first look at the loss that is not finite. Goes before `Validation`, which then stands still.

    Attributes:
        diverged_at: the step of that look, or None if there was none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.diverged_at: int | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the mean loss, which stays non-finite once any step's loss was."""
        if not math.isfinite(float((logs or {}).get("loss", math.nan))):
            self.diverged_at = batch + 1
            self.model.stop_training = True
            current_trial().log({"train/loss": math.nan}, self.diverged_at)
