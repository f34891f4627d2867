"""How long slots lie idle between trials, and how soon a hanging trial's slot is busy again.

`python -m benchmarks.slots [SEED]`: a study of 40 trials of very different length on two slots, and one with a trial
that hangs. A task that only sleeps shows the engine's own share; nothing of TensorFlow is loaded.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.storage import open_storage

APPLICATION = """
import time
from dataclasses import dataclass
import hydra
from hydra.core.config_store import ConfigStore
from sweep import current_trial

@dataclass
class Config:
    seconds: float = 0.0

ConfigStore.instance().store(name="config", node=Config)

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg):
    time.sleep(cfg.seconds if cfg.seconds < 100 else 1e6)
    return cfg.seconds

if __name__ == "__main__":
    main()
"""

LIMIT = 5.0
"""Seconds that a trial of the second study may take."""


def study(folder: Path, *arguments: str) -> list[FrozenTrial]:
    """Runs a study of the application; returns its trials."""
    (folder / "application.py").write_text(APPLICATION)
    fixed = [
        "hydra/sweeper=optuna",
        "hydra.sweep.dir=out",
        "hydra.sweeper.study_name=s",
        "hydra/sweeper/sampler=random",
    ]
    command = [sys.executable, "application.py", "-m", *fixed, "hydra.sweeper.study_name=s", *arguments]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return optuna.load_study(study_name="s", storage=open_storage(None, folder / "out")).trials


def gaps(trials: list[FrozenTrial]) -> list[float]:
    """Seconds between the trials of each slot."""
    found = []
    for slot in sorted({trial.user_attrs["slot"] for trial in trials}):
        mine = sorted((t for t in trials if t.user_attrs["slot"] == slot), key=begun)
        found += [begun(after) - ended(before) for before, after in pairwise(mine)]
    return found


def begun(trial: FrozenTrial) -> float:
    """When a trial was claimed."""
    assert trial.datetime_start is not None
    return trial.datetime_start.timestamp()


def ended(trial: FrozenTrial) -> float:
    """When its outcome was written."""
    assert trial.datetime_complete is not None
    return trial.datetime_complete.timestamp()


def asked(trial: FrozenTrial) -> float:
    """Seconds that its task slept."""
    return float(trial.params["seconds"])


def main() -> None:
    """Prints the figures."""
    seed = sys.argv[1] if len(sys.argv) > 1 else "0"
    with tempfile.TemporaryDirectory() as made:
        trials = study(
            Path(made), "seconds=tag(log,interval(0.1,20))", "hydra.sweeper.n_trials=40", f"hydra.sweeper.seed={seed}"
        )
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    slots = {trial.user_attrs["slot"] for trial in trials}
    first = {min((t for t in trials if t.user_attrs["slot"] == slot), key=begun).number for slot in slots}
    between = gaps(trials)
    # A trial's time beyond its sleep is the engine's too; the first of a slot also waits for its process to start.
    overhead = sum(ended(t) - begun(t) - asked(t) for t in trials if t.number not in first)
    busy = sum(ended(t) - begun(t) for t in trials)
    lengths = sorted(map(asked, trials))
    print(f"40 trials on {len(slots)} slots, {lengths[0]:.2f} to {lengths[-1]:.1f} s long, {busy:.0f} s of slot time")
    print(f"idle between trials: {sum(between) / (busy + sum(between)):.2%}, longest {max(between):.3f} s")
    print(f"idle and overhead of trials after the first: {(sum(between) + overhead) / (busy + sum(between)):.2%}")

    with tempfile.TemporaryDirectory() as made:
        limit = f"hydra.sweeper.trial_timeout={LIMIT}"
        trials = study(
            Path(made), "seconds=choice(0.5,200)", "hydra/sweeper/sampler=grid", limit, "hydra.sweeper.n_trials=2",
            "hydra.sweeper.n_jobs=1", "hydra.sweeper.enqueue=[{seconds:200}]",
        )  # fmt: skip
    hung = next(trial for trial in trials if trial.state == TrialState.FAIL)
    after = next(trial for trial in trials if trial.state == TrialState.COMPLETE)
    print(f"a trial that hangs is ended {ended(hung) - begun(hung) - LIMIT:.2f} s after its limit")
    print(f"its slot has the next trial {begun(after) - ended(hung):.2f} s later, which is complete")
    print(f"{ended(after) - begun(after) - asked(after):.2f} s later than it slept: a new process was started for it")


if __name__ == "__main__":
    main()
