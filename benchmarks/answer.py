"""Trains the answer's system with this project's parts and prints its figures beside those of the original program.

    python -m benchmarks.answer 0 1        # seeds; a million samples take minutes on two cores
    python -m benchmarks.answer 0 train.jit_compile=false

Both are judged on the original's own evaluation set after the same number of kept samples. The RMSE is given as its
ratio to that of the best constant prediction (1 is no skill).
"""

import sys
import time
from typing import Any, cast

import hydra
import keras
import numpy as np
from omegaconf import OmegaConf

import conf.schema
from data.matrices import det, inverse
from models.original_units import original_units
from sweep.metrics import Floats, measures, zero_skill
from sweep.train import compiled_network, training_batches

ROWS = (945, 1889, 2833)
"""Steps of 1,024 after which the original had drawn 1, 2 and 3 million matrices and kept 96.68% of them."""

ORIGINAL = {  # means of three seeds
    945: (0.2369, 0.98917, 0.9043, 0.8473),
    1889: (0.2314, 0.98573, 0.8703, 0.8107),
    2833: (0.2302, 0.98347, 0.8480, 0.7887),
}
HEADINGS = ("training loss", "RMSE / zero skill", "median rel. error", "geo. mean rel. error")


def evaluation() -> tuple[Floats, Floats]:
    """The original's evaluation set: matrices and inverses `[50000, 3, 3]`, float64."""
    matrices = np.random.default_rng(99).random((60_000, 3, 3)) * 4 - 2
    matrices = matrices[np.abs(det(matrices)) > 0.1][:50_000]
    return matrices, inverse(matrices)


class Rows(keras.callbacks.Callback):  # type: ignore[misc]
    """Collects a row of the table at each of `ROWS`."""

    def __init__(self, judge: keras.Model) -> None:
        super().__init__()
        self.judge = judge
        self.matrices, self.inverses = evaluation()
        self.constant = zero_skill(self.matrices, self.inverses)["rmse"]
        self.rows: list[tuple[float, ...]] = []
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Judges the network if this was the step for it."""
        if batch + 1 not in ROWS or logs is None:
            return
        predictions = self.judge.predict(self.matrices.astype(np.float32), batch_size=4096, verbose=0)
        now = measures(self.matrices, self.inverses, predictions)
        row = (float(logs["loss"]), now["rmse"] / self.constant, now["rel_error_median"], now["rel_error_gm"])
        self.rows.append(row)
        figures = "  ".join(f"{value:.4f}" for value in row)
        print(f"  {batch + 1:5d} steps  {figures}  {time.perf_counter() - self.began:.0f} s", flush=True)
        self.model.reset_metrics()


def run(seed: int, overrides: list[str]) -> list[tuple[float, ...]]:
    """Trains with one seed; returns a row of figures, as in `HEADINGS`, for each of `ROWS`."""
    fixed = ["+experiment=answer", f"seed={seed}", f"train.max_steps={ROWS[-1]}", "train.steps_per_execution=1"]
    with hydra.initialize_config_module("conf", version_base="1.3"):
        cfg = hydra.compose("config", overrides=[*fixed, "study.name=benchmark", *overrides])
    settings = cast(conf.schema.Config, OmegaConf.to_object(cfg))
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    network = compiled_network(cfg, settings)
    rows = Rows(original_units(network, settings.data.target_scale))
    network.fit(training_batches(settings), shuffle=False, verbose=0, callbacks=[rows])
    return rows.rows


def main() -> None:
    """Trains with every seed on the command line and compares the means."""
    seeds = [int(word) for word in sys.argv[1:] if word.isdigit()] or [0, 1]
    overrides = [word for word in sys.argv[1:] if not word.isdigit()]
    results = []
    for seed in seeds:
        print(f"seed {seed}: " + ", ".join(HEADINGS))
        results.append(run(seed, overrides))
    for steps, ours in zip(ROWS, np.mean(results, axis=0), strict=True):
        print(f"\nafter {steps} steps, {steps * 1024:,} samples:    ours   original   difference")
        for heading, mine, theirs in zip(HEADINGS, ours, ORIGINAL[steps], strict=True):
            print(f"  {heading:34s} {mine:9.4f} {theirs:9.4f} {mine - theirs:+9.4f} ({mine / theirs - 1:+.1%})")


if __name__ == "__main__":
    main()
