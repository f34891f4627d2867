"""The learning rate over the steps of a training run."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from conf.schema import Decay, ScheduleConfig


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Rises linearly from 0 to the peak over `warmup` steps, then follows `after` from its beginning."""

    def __init__(self, peak: float, warmup: int, after: keras.optimizers.schedules.LearningRateSchedule | None) -> None:
        self.peak = peak
        self.warmup = warmup
        self.after = after

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        later = self.peak if self.after is None else self.after(ops.maximum(step - self.warmup, 0))
        return ops.where(step < self.warmup, self.peak * step / max(self.warmup, 1), later)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"peak": self.peak, "warmup": self.warmup, "after": self.after}


def learning_rate(
    peak: float, schedule: ScheduleConfig, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate over `steps` steps: a linear warm-up from 0 to `peak`, then constant, or Keras's own decay."""
    warmup = round(schedule.warmup * steps)
    left, final = max(steps - warmup, 1), schedule.final
    schedules = keras.optimizers.schedules
    match schedule.decay:
        case Decay.cosine:
            after = schedules.CosineDecay(peak, left, alpha=final)
        case Decay.linear:
            after = schedules.PolynomialDecay(peak, left, end_learning_rate=peak * final)
        case Decay.exponential:
            after = schedules.ExponentialDecay(peak, left, decay_rate=final)
        case Decay.constant:
            return WarmUp(peak, warmup, None) if warmup else peak
    return WarmUp(peak, warmup, after) if warmup else after
