"""The task of a trial: configuration in, objective out. The only module that knows both data and models."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from conf.schema import Config
from data.evaluation import evaluation_set
from data.pool import held_out, pool, steps_per_epoch, trained_on
from data.stream import stream
from data.targets import outputs
from models.input_norm import normalized_input
from models.original_units import original_units
from sweep.callbacks import Checkpoints, GoOn, StopOnDivergence, Validation
from sweep.engine.trial import TrialPruned, current_trial
from sweep.metrics import BASELINES, rmse_by_entry
from sweep.training import checkpoint as checkpoints
from sweep.training.checkpoint import Checkpoint, Unreadable
from sweep.training.conditioning import save_conditioning
from sweep.training.cost import NetworkSize, TrainingCost, flops_per_sample
from sweep.training.datasets import tell_datasets
from sweep.training.judge import Judge
from sweep.training.last_word import last_word
from sweep.training.losses import TrainedNetwork, formula, loss_on
from sweep.training.scatter import save_scatter
from sweep.training.schedule import learning_rate
from sweep.training.verdict import print_held_out, print_verdict

# A warm process builds a new graph for each trial, which TensorFlow takes for a mistake and warns about.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

log = logging.getLogger(__name__)


def train(cfg: DictConfig, output_dir: str | Path | None = None) -> float:
    """Trains one network and judges it on the frozen validation set.

    The same configuration (with its seed) and number of threads give the same objective, bit for bit, whether or not
    the run was killed in between and went on from a checkpoint. Leaves `model.keras` (the best weights, in original
    units), `scatter.png` and `conditioning.png` in the output folder, and prints the measures beside what takes no
    network.

    Args:
        cfg: a composed configuration.
        output_dir: where files go; None is the folder of Hydra's job, and outside of one, nothing is written.

    Returns:
        `objective.metric` at its best validation; nan if the loss became non-finite or no validation was finite. In a
        trial that is the last word on its configuration: that of the same weights on the test set.

    Raises:
        TrialPruned: if the study gives the trial up.
        ValueError: if a value is wrong, or `train.resume` names no checkpoint of this configuration.
        RuntimeError: if TensorFlow already runs in this process with another number than `train.threads`.
    """
    settings = cast(Config, OmegaConf.to_object(cfg))
    use_threads(settings.train.threads)
    keras.utils.set_random_seed(settings.seed % 2**32)
    keras.config.set_dtype_policy(settings.train.precision.value)
    try:
        return _train(cfg, settings, output_folder(output_dir))
    finally:
        keras.config.set_dtype_policy("float32")
        keras.backend.clear_session()  # a process that runs hundreds of trials has to let their graphs go


def _train(cfg: DictConfig, settings: Config, folder: Path | None) -> float:
    how, steps = settings.train, training_steps(settings)
    saved = checkpoint_to_go_on_from(cfg, folder)
    network = compiled_network(cfg, settings, 0 if saved is None else saved.step)
    judge = network_judge(network, settings)
    tell_datasets(settings, judge.judged_on)
    trial = current_trial()
    trial.describe(
        evaluation_digest=judge.judged_on.digest, **({} if saved is None else {"went_on_from_step": saved.step})
    )
    size = NetworkSize(network.count_params(), flops_per_sample(judge.model))
    trial.log(size.metrics(), 0)
    metric, samples = settings.objective.metric, samples_per_step(settings)
    validation = Validation(judge, metric, how.validate_every, steps, samples, patience=how.patience)
    divergence = StopOnDivergence()
    callbacks: list[keras.callbacks.Callback] = [divergence, validation]
    if saved is not None:
        callbacks.insert(0, GoOn(saved))
        validation.go_on(saved.step, saved.progress, list(saved.arrays.get("best", [])))
        divergence.start = saved.step
    if how.checkpoint_every is not None and folder is not None:
        callbacks.append(Checkpoints(folder, how.checkpoint_every, steps, validation, checkpoints.deciding(cfg)))
    try:
        if not validation.done:
            batches = training_batches(settings, validation.start)
            network.fit(batches, shuffle=False, verbose=0, callbacks=callbacks)
    except TrialPruned:
        _log_end(validation, divergence, samples)
        remove_checkpoints(folder)
        raise

    cost, objective = _log_end(validation, divergence, samples), math.nan
    if divergence.diverged_at is not None or not validation.progress.best:
        trial.describe(diverged_at=divergence.diverged_at or steps)
    else:
        _show(validation, judge, size, cost, folder)
        progress = validation.progress
        objective = last_word(judge, settings, progress.best_step) if trial.final else progress.objective
    remove_checkpoints(folder)
    return objective


def _log_end(validation: Validation, divergence: StopOnDivergence, samples: float) -> TrainingCost:
    """Tells the trial how good its training was at its best, and what it has cost; returns the cost.

    Once, since every value of a metric is a row of MLflow's, and the curve is that of val/….
    """
    progress = validation.progress
    last = progress.history[-1][0] if progress.history else 0
    speed = last / progress.seconds if last else 0.0
    cost = TrainingCost(
        steps=max(last, divergence.diverged_at or 0),
        steps_per_second=speed,
        samples_per_second=speed * samples,
        best_step=progress.best_step,
        seconds_to_best=progress.best_seconds,
    )
    trial = current_trial()
    if progress.best:
        trial.log({f"best/{name}": value for name, value in progress.best.items()}, progress.best_step)
    trial.log(cost.metrics(), cost.steps)
    return cost


def _show(validation: Validation, judge: Judge, size: NetworkSize, cost: TrainingCost, folder: Path | None) -> None:
    """Prints and draws how good the best weights are, and saves the network with them."""
    validation.restore_best()
    progress, frozen, held, console = validation.progress, judge.judged_on, judge.held_out, Console()
    predictions = judge.predict(frozen.inputs)
    beside = {name: measured(frozen.inputs, frozen.truth) for name, measured in BASELINES.items()}
    print_verdict(progress.best, beside, predictions, frozen, judge.refine, console)
    if held is not None:
        last = progress.history[-1][1]["held_out/rmse"]
        print_held_out(held, judge.predict(held.inputs), last, console)
    console.print(f"{size}; {cost}", highlight=False)
    errors = rmse_by_entry(frozen.truth, predictions)
    by_entry = {"_".join(map(str, where)): float(errors[where]) for where in np.ndindex(errors.shape)}
    trial = current_trial()
    for name, values in beside.items():
        trial.describe(**{f"baseline/{name.replace(' ', '_')}/{measure}": value for measure, value in values.items()})
    trial.log({f"output/rmse_{where}": error for where, error in by_entry.items()}, progress.best_step)
    if folder is not None:
        judge.model.save(folder / "model.keras")
        trial.offer_model(folder / "model.keras", frozen.inputs[:3], cost.best_step)
        words = f"{judge.model.name}, {size.parameters:,} parameters, after {cost.best_step:,} steps"
        save_scatter(frozen.truth, predictions, folder / "scatter.png", words)
        save_conditioning(frozen.inputs, frozen.truth, predictions, folder / "conditioning.png", words)
        for picture in ("scatter.png", "conditioning.png"):
            trial.attach(folder / picture, "plots")


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


def compiled_network(cfg: DictConfig, settings: Config, start: int = 0) -> TrainedNetwork:
    """Builds the configured network, from Keras's global seed, ready to be fitted to targets in trained units.

    Args:
        cfg: the composed configuration.
        settings: the same, as objects.
        start: the step at which the fit begins.
    """
    data, how = settings.data, settings.train
    network = instantiate(_plain(cfg.model), size=data.matrix_size, outputs=outputs(data.target, data.matrix_size))
    if data.input_norm:
        network = normalized_input(network)
    trained = TrainedNetwork(network, formula(how.loss, data))
    rate = learning_rate(cfg.optimizer.learning_rate, settings.schedule, training_steps(settings))
    # Callbacks are called after each execution, so a validation and a checkpoint must be the end of one.
    together = math.gcd(how.validate_every, how.checkpoint_every or 0, start)
    trained.compile(
        optimizer=instantiate(_plain(cfg.optimizer), learning_rate=rate),
        jit_compile=how.jit_compile,
        steps_per_execution=largest_divisor(together, how.steps_per_execution),
    )
    trained.optimizer.build(trained.trainable_variables)  # a checkpoint has to find its variables
    return trained


def network_judge(network: keras.Model, settings: Config) -> Judge:
    """What judges a network that is trained with these settings."""
    data, evaluation = settings.data, settings.evaluation
    model = original_units(
        network, data.target_scale, data.target.value, data.compression.value, input_norm=data.input_norm
    )
    part = held_out(data, settings.seed) if data.validation_split else None
    frozen = evaluation_set(evaluation, "validation")
    return Judge(model, frozen, evaluation.refine, part, loss_on(frozen, settings.train.loss, data))


def training_steps(settings: Config) -> int:
    """The steps of the whole training: `train.max_steps`, or those of `train.epochs` passes over the pool."""
    how = settings.train
    if how.max_steps is not None:
        return how.max_steps
    assert how.epochs is not None  # the schema sees to it
    return how.epochs * steps_per_epoch(settings.data, how.batch_size)


def samples_per_step(settings: Config) -> float:
    """Samples in a step, on average: the last batch of an epoch over a pool may be smaller."""
    data, batch_size = settings.data, settings.train.batch_size
    return batch_size if data.num_samples is None else trained_on(data) / steps_per_epoch(data, batch_size)


def training_batches(settings: Config, start: int = 0) -> tf.data.Dataset:
    """The batches of the training from step `start` on, of the stream or the pool that `seed` names."""
    data, batch_size = settings.data, settings.train.batch_size
    made = stream if data.num_samples is None else pool
    return made(data, settings.seed, batch_size, start, training_steps(settings) - start)


def checkpoint_to_go_on_from(cfg: DictConfig, folder: Path | None) -> Checkpoint | None:
    """The checkpoint that `train.resume` names; else that of this folder, or of an earlier attempt at the same trial.

    Raises:
        ValueError: if `train.resume` names a folder without one, or one of another configuration.
    """
    if cfg.train.resume is not None:
        return checkpoints.named(cfg)
    for earlier in (folder, *map(Path, current_trial().earlier)):
        if earlier is None or not (earlier / checkpoints.FILE).exists():
            continue
        try:
            found = Checkpoint.load(earlier)
        except Unreadable as error:
            log.warning("The checkpoint in %s cannot be read (%s)", earlier, error)
            continue
        if not checkpoints.differing(found, cfg):
            return found
        log.warning("The checkpoint in %s is of another configuration", earlier)
    return None


def remove_checkpoints(folder: Path | None) -> None:
    """Removes the checkpoints of a trial that has come to its end, those of its earlier attempts, too."""
    for attempt in (folder, *map(Path, current_trial().earlier)):
        checkpoints.remove(attempt)


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
