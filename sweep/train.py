"""The task of a trial: configuration in, objective out. The only module that knows both data and models."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path
from typing import Any, cast

import keras
import tensorflow as tf
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from conf.schema import Config, Decay, Loss, ScheduleConfig
from data.evaluation import evaluation_set
from data.stream import stream
from models.original_units import original_units
from sweep.callbacks import StopOnDivergence, Validation
from sweep.engine.trial import current_trial
from sweep.scatter import save_scatter
from sweep.verdict import print_verdict

# A warm process builds a new graph for each trial, which TensorFlow takes for a mistake and warns about.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

_LOSSES = {
    Loss.mse: keras.losses.MeanSquaredError,
    Loss.mae: keras.losses.MeanAbsoluteError,
    Loss.huber: keras.losses.Huber,
}


def train(cfg: DictConfig, output_dir: str | Path | None = None) -> float:
    """Trains one network and judges it on the frozen validation set.

    The same configuration (with its seed) and number of threads give the same objective, bit for bit. Leaves
    `model.keras` (the best weights, in original units) and `scatter.png` in the output folder, and prints the measures
    beside what a constant and a linear map reach.

    Args:
        cfg: a composed configuration.
        output_dir: where files go; None is the folder of Hydra's job, and outside of one, nothing is written.

    Returns:
        `objective.metric` at its best validation; nan if the loss became non-finite or no validation was finite.

    Raises:
        TrialPruned: if the study gives the trial up.
        ValueError: if a value is wrong.
        RuntimeError: if TensorFlow already runs in this process with another number than `train.threads`.
    """
    settings = cast(Config, OmegaConf.to_object(cfg))
    use_threads(settings.train.threads)
    keras.utils.set_random_seed(settings.seed % 2**32)
    try:
        return _train(cfg, settings, output_folder(output_dir))
    finally:
        keras.backend.clear_session()  # a process that runs hundreds of trials has to let their graphs go


def _train(cfg: DictConfig, settings: Config, folder: Path | None) -> float:
    began = time.perf_counter()
    how = settings.train
    network = compiled_network(cfg, settings)
    judge = original_units(network, settings.data.target_scale)
    judged_on = evaluation_set(settings.evaluation, "validation")
    validation = Validation(
        judge, judged_on, settings.objective.metric, how.validate_every, how.max_steps, how.batch_size
    )
    divergence = StopOnDivergence()
    network.fit(training_batches(settings), shuffle=False, verbose=0, callbacks=[divergence, validation])

    trial = current_trial()
    trial.describe(
        parameters=network.count_params(),
        evaluation_digest=judged_on.digest,
        best_step=validation.best_step,
        seconds=round(time.perf_counter() - began, 3),
    )
    if divergence.diverged_at is not None or validation.best is None or validation.best_predictions is None:
        trial.describe(diverged_at=divergence.diverged_at or how.max_steps)
        return math.nan
    print_verdict(validation.best, validation.best_predictions, judged_on, Console())
    if folder is not None:
        validation.restore_best()
        judge.save(folder / "model.keras")
        words = f"{network.name}, {network.count_params():,} parameters, after {validation.best_step:,} steps"
        save_scatter(judged_on.inverses, validation.best_predictions, folder / "scatter.png", words)
        trial.attach(folder / "scatter.png", "plots")
    return validation.objective


def use_threads(threads: int | None) -> None:
    """Limits TensorFlow to `threads`; None leaves it as it is. It can be set once in the life of a process.

    Raises:
        RuntimeError: if TensorFlow already runs with another number.
    """
    if threads is None:
        return
    threading = tf.config.threading
    try:
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        running = threading.get_intra_op_parallelism_threads() or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0))
        if running != threads:
            raise RuntimeError(
                f"train.threads: got {threads}, allowed is {running or 'null'}, "
                "with which TensorFlow already runs in this process"
            ) from error


def compiled_network(cfg: DictConfig, settings: Config) -> keras.Model:
    """Builds the configured network, from Keras's global seed, ready to be fitted to scaled targets."""
    network = instantiate(_plain(cfg.model), size=settings.data.matrix_size)
    how = settings.train
    rate = learning_rate(cfg.optimizer.learning_rate, settings.schedule, how.max_steps)
    network.compile(
        optimizer=instantiate(_plain(cfg.optimizer), learning_rate=rate),
        loss=_LOSSES[how.loss](),
        jit_compile=how.jit_compile,
        # Callbacks are called after each execution, so a validation must be the end of one.
        steps_per_execution=largest_divisor(how.validate_every, how.steps_per_execution),
    )
    return network


def training_batches(settings: Config) -> tf.data.Dataset:
    """The first `train.max_steps` batches of the stream that `seed` names."""
    data, how = settings.data, settings.train
    low, high = data.entry_range
    return stream(
        settings.seed,
        how.batch_size,
        data.matrix_size,
        (low, high),
        data.determinant,
        data.target_scale,
        steps=how.max_steps,
    )


def learning_rate(
    peak: float, schedule: ScheduleConfig, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate over `steps` steps: a linear warm-up from 0, then constant or half a cosine down."""
    schedules = keras.optimizers.schedules
    warmup = round(schedule.warmup * steps)
    if schedule.decay is Decay.cosine:
        first, target = (0.0, peak) if warmup else (peak, None)
        return schedules.CosineDecay(
            first, max(steps - warmup, 1), schedule.final, warmup_target=target, warmup_steps=warmup
        )
    return schedules.PolynomialDecay(0.0, warmup, end_learning_rate=peak) if warmup else peak


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is not above `limit`."""
    return next(divisor for divisor in range(min(number, limit), 0, -1) if number % divisor == 0)


def output_folder(given: str | Path | None) -> Path | None:
    """The folder that was given, else that of Hydra's job, else None."""
    if given is not None:
        return Path(given)
    return Path(HydraConfig.get().runtime.output_dir) if HydraConfig.initialized() else None


def _plain(node: DictConfig) -> dict[str, Any]:
    """Without the types of its schema, which would refuse a schedule in a number's place."""
    return cast("dict[str, Any]", OmegaConf.to_container(node, resolve=True))
