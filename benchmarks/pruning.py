"""What asynchronous successive halving (ASHA) saves, and what it costs, on networks that are really trained.

`python -m benchmarks.pruning [SEED]`: two studies of the same 40 configurations, drawn at random, one with
`hydra/sweeper/pruner=successive_halving` and one without a pruner. A trial that ASHA lets through to its end is the
same trial in both: same params, same seed, same value. Prints the share of the training steps that were made, and how
far the best value is from the best of all. ASHA is Li et al., 2020, https://arxiv.org/abs/1810.05934.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.storage import open_storage

STEPS = 12_000
FIRST = 800
"""Steps after which a trial is first judged; the second and last time is after four times as many."""

SPACE = (
    "model.depth=range(1,6)",
    "model.width=tag(log,range(16,129))",
    "model.activation=choice(relu,silu,tanh)",
    "optimizer.learning_rate=tag(log,interval(1e-4,1e-1))",
    "data.target_scale=tag(log,interval(1,20))",
)

ASHA = (
    "hydra/sweeper/pruner=successive_halving",
    f"hydra.sweeper.pruner.min_resource={FIRST}",
    "hydra.sweeper.pruner.reduction_factor=4",
)


def study(folder: Path, name: str, seed: int, *arguments: str) -> tuple[list[FrozenTrial], float]:
    """Runs a study of this project's own application; returns its trials and the seconds that it took."""
    fixed = [
        f"study.name={name}", f"seed={seed}", "tracking=none", "hydra.sweeper.export=null", "hydra.sweeper.n_trials=40",
        "hydra/sweeper/sampler=random", "train.loss=mae", "train.batch_size=256", f"train.max_steps={STEPS}",
        f"train.validate_every={FIRST}", "evaluation.size=10000",
    ]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "sweep", "run", "-m", *fixed, *SPACE, *arguments],
        env={**os.environ, "SWEEP_ROOT": str(folder)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - began
    storage = open_storage(None, folder / "mlruns" / "studies" / name)
    return optuna.load_study(study_name=name, storage=storage).trials, seconds


def steps(trial: FrozenTrial) -> int:
    """Training steps that a trial has made."""
    return max(trial.intermediate_values, default=0)


def values(trials: list[FrozenTrial]) -> list[float]:
    """The values of the trials that were trained to their end, the best first."""
    return sorted(trial.value for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None)


def main() -> None:
    """Runs both studies and prints the figures."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with tempfile.TemporaryDirectory() as made:
        asha, asha_seconds = study(Path(made), "asha", seed, *ASHA)
        full, full_seconds = study(Path(made), "full", seed, "hydra/sweeper/pruner=none")
    pairs = list(zip(asha, full, strict=True))
    assert all(one.params == other.params for one, other in pairs), "both studies try the same configurations"
    twins = [(one.value, other.value) for one, other in pairs if one.state == other.state == TrialState.COMPLETE]
    used, whole = sum(map(steps, asha)), sum(map(steps, full))
    best, ranks = values(asha)[0], values(full)
    print(f"without a pruner: best {ranks[0]:.4f}, {len(ranks)} to the end, {whole:,} steps, {full_seconds:.0f} s")
    print(f"ASHA: best {best:.4f}, {len(values(asha))} to the end, {used:,} steps, {asha_seconds:.0f} s")
    print(
        f"{sum(one == other for one, other in twins)} of the {len(twins)} that both trained to the end have one value"
    )
    print(f"ASHA's best is number {sum(value < best for value in ranks) + 1} of all configurations")
    print(f"share of the training steps: {used / whole:.1%} (bar: at most 40%)")
    print(f"difference of the best value: {best - ranks[0]:+.4f} (bar: within 0.02)")


if __name__ == "__main__":
    main()
