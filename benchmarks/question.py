"""The question's program beside our preset: what both reach, and how fast both train.

    python -m benchmarks.question 0 1 2             # seeds of the whole preset; a minute or less each on two cores
    python -m benchmarks.question --speed-only

First both train in turns for `EPOCHS` epochs, so that a busy machine slows both alike: the original as anyone would
write it (NumPy arrays, `fit` with a validation split), ours as `sweep run +experiment=question` trains, with its
validations. Prints the ratio of their times. Then the preset is trained with every seed, and its validation error on
the held-out part of the pool is printed beside the original's, over all entries and for each.
"""

import sys
import time
from typing import cast

import hydra
import keras
import numpy as np
from omegaconf import DictConfig, OmegaConf

import conf.schema
from data.pool import held_out
from sweep.callbacks import Validation
from sweep.metrics import Floats, rmse_by_entry, zero_skill
from sweep.train import compiled_network, network_judge, training_batches, training_steps

TURNS = 5
EPOCHS = 40
ORIGINAL = (416, 432, 491)
"""Validation RMSE of three runs of the original program."""


def original_data(count: int, seed: int) -> tuple[Floats, Floats]:
    """The original's data: matrices `[count, 9]` with entries in (0, 100) and det = 1, and their inverses."""
    matrices = np.random.default_rng(seed).uniform(0, 100, (count, 3, 3))
    matrices[:, 0] /= np.linalg.det(matrices)[:, None]
    return matrices.reshape(count, 9), np.linalg.inv(matrices).reshape(count, 9)


def original(seed: int, epochs: int) -> float:
    """Trains the original's network with Keras's plain `fit`; returns the seconds of the fit."""
    keras.utils.set_random_seed(seed)
    inputs, targets = original_data(10_000, seed)
    network = keras.Sequential(
        [
            keras.Input((9,)),
            keras.layers.Dense(9, "relu"),
            keras.layers.Dense(9, "relu"),
            keras.layers.Dense(9),
        ]
    )
    network.compile("adam", "mse", metrics=[keras.metrics.RootMeanSquaredError()])
    began = time.perf_counter()
    network.fit(inputs, targets, batch_size=100, epochs=epochs, validation_split=0.33, verbose=0)
    return time.perf_counter() - began


def preset(seed: int, *overrides: str) -> DictConfig:
    """The configuration `+experiment=question`."""
    with hydra.initialize_config_module("conf", version_base="1.3"):
        return hydra.compose(
            "config", overrides=["+experiment=question", f"seed={seed}", "study.name=benchmark", *overrides]
        )


def ours(cfg: DictConfig) -> tuple[float, Floats, float]:
    """Trains the preset; returns the seconds of the fit, and the error of each entry held out, and of no skill."""
    settings = cast(conf.schema.Config, OmegaConf.to_object(cfg))
    keras.utils.set_random_seed(settings.seed)
    network = compiled_network(cfg, settings)
    judge = network_judge(network, settings)
    how = settings.train
    steps = training_steps(settings)
    validation = Validation(judge, settings.objective.metric, how.validate_every, steps, how.batch_size)
    batches = training_batches(settings)
    began = time.perf_counter()
    network.fit(batches, shuffle=False, verbose=0, callbacks=[validation])
    seconds = time.perf_counter() - began
    part = held_out(settings.data, settings.seed)
    constant = zero_skill(part.inputs, part.truth)["rmse"]
    return seconds, rmse_by_entry(part.truth, judge.predict(part.inputs)), constant


def speed() -> None:
    """Trains both in turns and prints the ratio of their times."""
    ratios = []
    for turn in range(TURNS + 1):
        theirs = original(turn, EPOCHS)
        mine, _, _ = ours(preset(turn, f"train.epochs={EPOCHS}"))
        keras.backend.clear_session()
        if turn:  # the first of each pays for what is loaded once
            ratios.append(theirs / mine)
            print(f"  {EPOCHS} epochs: original {theirs:.2f} s, ours {mine:.2f} s", flush=True)
    print(f"ours is {np.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> None:
    """Measures the speed, then trains with every seed on the command line."""
    speed()
    if "--speed-only" in sys.argv:
        return
    seeds = [int(word) for word in sys.argv[1:] if word.isdigit()] or [0, 1, 2]
    reached = []
    for seed in seeds:
        seconds, by_entry, constant = ours(preset(seed))
        reached.append(float(np.sqrt(np.mean(np.square(by_entry)))))
        print(f"seed {seed}: validation RMSE {reached[-1]:.1f} (no skill {constant:.0f}) in {seconds:.1f} s; by entry")
        for row in by_entry:
            print("  " + " ".join(f"{error:10.4g}" for error in row), flush=True)
    print(f"mean {np.mean(reached):.1f}; the original's {', '.join(map(str, ORIGINAL))}, mean {np.mean(ORIGINAL):.1f}")


if __name__ == "__main__":
    main()
