"""What happens during a fit: validate and keep the best, report and be pruned, log, checkpoint, stop on divergence."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from sweep.engine.trial import TrialPruned, current_trial
from sweep.metrics import TRAIN_LOSS, better, improves
from sweep.training.checkpoint import Checkpoint
from sweep.training.judge import Judge


@dataclass
class Progress:
    """What the validations of a run have come to so far.

    Attributes:
        objective: the metric's value at the best validation; nan before there was one.
        best: the measures at the best validation, by their bare names.
        best_step: the step at which it was; 0 before there was one.
        best_seconds: the seconds of training and validating until then.
        seconds: those until the last validation.
        waited: validations since the best one.
        history: for each validation its step, what was logged, and what was reported.
    """

    objective: float = math.nan
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    best_seconds: float = 0.0
    seconds: float = 0.0
    waited: int = 0
    history: list[tuple[int, dict[str, float], float]] = field(default_factory=list)


class Validation(keras.callbacks.Callback):  # type: ignore[misc]
    """Judges the network every `every` steps and after the last one, and keeps the best weights.

    At each validation it logs every measure as val/…, those on the part that a pool holds out as held_out/…, the mean
    loss since the validation before as train/loss, and samples_per_second and steps_per_second over the training since
    then; and it reports the objective of this validation, which may raise `TrialPruned` out of `fit`. If the optimizer
    averages weights, the averages are judged and kept.

    Attributes:
        progress: what has been seen so far.
    """

    def __init__(
        self, judge: Judge, metric: str, every: int, last_step: int, samples: float, patience: int | None = None
    ) -> None:
        """Prepares the validations.

        Args:
            judge: of the network that is trained.
            metric: what the objective is: a measure such as "val/rmse", "val/loss" or "train/loss".
            every: steps from one validation to the next.
            last_step: the number of steps of the whole fit.
            samples: how many there are in a step, on average.
            patience: validations without a new best after which the fit is ended; None never ends it.

        Raises:
            ValueError: if there is no such metric.
        """
        super().__init__()
        better(metric)  # an unknown metric fails here, not after the first steps
        self.progress = Progress()
        self.start = 0
        self._best_weights: list[Any] = []
        self._judge = judge
        self._metric = metric
        self._every = every
        self._last_step = last_step
        self._samples = samples
        self._patience = patience
        self._since = (0, 0.0)  # step and clock at which training last went on

    @property
    def done(self) -> bool:
        """Whether there is nothing left to train: the last step is made, or patience is at its end."""
        return self.start >= self._last_step or self._out_of_patience

    @property
    def _out_of_patience(self) -> bool:
        return self._patience is not None and self.progress.waited >= self._patience

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts the clock."""
        self._since = (self.start, time.perf_counter())

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Validates if this was a step for it. `batch` is the index of the last step that this fit executed.

        Raises:
            TrialPruned: if the study gives the trial up.
        """
        if self.model.stop_training:
            return
        step = min(self.start + batch + 1, self._last_step)
        if step % self._every == 0 or step == self._last_step:
            self._validate(step, float((logs or {}).get("loss", math.nan)))

    def restore_best(self) -> None:
        """Gives the network the weights of its best validation."""
        if self._best_weights:
            self._judge.model.set_weights(self._best_weights)

    def state(self) -> tuple[dict[str, Any], list[Any]]:
        """What a checkpoint keeps of this: the progress as JSON has it, and the best weights."""
        return asdict(self.progress), self._best_weights

    def go_on(self, step: int, progress: Mapping[str, Any], best_weights: list[Any]) -> None:
        """Takes up at a checkpoint, and tells the trial again what was seen until then."""
        self.start = step
        self.progress = Progress(**progress)
        self._best_weights = best_weights
        trial = current_trial()
        for past, logged, value in self.progress.history:
            trial.log(logged, past)
            with contextlib.suppress(TrialPruned):  # it was not pruned then
                trial.report(value, past)

    def _validate(self, step: int, loss: float) -> None:
        started, clock = self._since
        trained = max(time.perf_counter() - clock, 1e-9)
        speed = (step - started) / trained
        with averaged(self.model):
            values = self._judge.measures()
            held_out = self._judge.held_out_measures()
            weights = self._judge.model.get_weights()
        value = loss if self._metric == TRAIN_LOSS else values[self._metric.rpartition("/")[2]]
        logged = {"train/loss": loss, "steps_per_second": speed, "samples_per_second": speed * self._samples}
        logged |= {f"val/{name}": number for name, number in values.items()}
        logged |= {f"held_out/{name}": number for name, number in held_out.items()}
        now = self.progress
        now.seconds += time.perf_counter() - clock
        now.waited += 1
        if improves(self._metric, value, now.objective if now.best else None):
            now.objective, now.best, now.best_step, now.best_seconds, now.waited = value, values, step, now.seconds, 0
            self._best_weights = weights
        now.history.append((step, logged, value))
        trial = current_trial()
        trial.log(logged, step)
        trial.report(value, step)
        self.model.reset_metrics()  # so that the next mean loss is of the steps to come alone
        self.model.stop_training = self._out_of_patience
        self._since = (step, time.perf_counter())


class StopOnDivergence(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the fit at the first look at the loss that is not finite. Goes before `Validation`, which then stands still.

    Attributes:
        diverged_at: the step of that look, or None if there was none.
        start: the steps that were made before this fit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.diverged_at: int | None = None
        self.start = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the mean loss, which stays non-finite once any step's loss was."""
        if not math.isfinite(float((logs or {}).get("loss", math.nan))):
            self.diverged_at = self.start + batch + 1
            self.model.stop_training = True
            current_trial().log({"train/loss": math.nan}, self.diverged_at)


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves everything that a fit needs to go on, every `every` steps. Goes after `Validation`."""

    def __init__(
        self, folder: Path, every: int, last_step: int, validation: Validation, config: Mapping[str, Any]
    ) -> None:
        """Prepares the checkpoints.

        Args:
            folder: where the file goes; each checkpoint replaces the one before.
            every: steps from one to the next.
            last_step: the number of steps of the whole training.
            validation: whose state belongs to the run's.
            config: kept with it: see `sweep.training.checkpoint.deciding`.
        """
        super().__init__()
        self._folder = folder
        self._every = every
        self._last_step = last_step
        self._validation = validation
        self._config = config

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Saves if this was a step for it."""
        step = min(self._validation.start + batch + 1, self._last_step)
        if step % self._every or self.model.stop_training:
            return
        progress, best_weights = self._validation.state()
        arrays = {name: [v.numpy() for v in variables] for name, variables in _variables(self.model).items()}
        Checkpoint(step, {**arrays, "best": best_weights}, progress, self._config).save(self._folder)


class GoOn(keras.callbacks.Callback):  # type: ignore[misc]
    """Gives a fit the variables of a checkpoint. Goes first."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self._arrays = checkpoint.arrays

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Keras has just set the mean loss to zero, for the only epoch that there is."""
        for name, variables in _variables(self.model).items():
            for variable, value in zip(variables, self._arrays.get(name, []), strict=True):
                variable.assign(value)


@contextlib.contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Gives a model the averages of its weights for the length of a block, if its optimizer keeps any."""
    if not model.optimizer.use_ema:
        yield
        return
    current = [weight.numpy() for weight in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, current, strict=True):
            weight.assign(value)


def _variables(model: keras.Model) -> dict[str, list[Any]]:
    """All that a fit changes, by what it belongs to: weights and seeds, the optimizer's own, the mean loss."""
    return {
        "network": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
