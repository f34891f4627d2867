"""How soon a study of thousands of trials is seen: `sweep status`, and its pages in MLflow's UI.

`python -m benchmarks.children [TRIALS]`: a study of 2,000 trials of a task that does nothing, tracked in SQLite, run by
the engine as any other; then `sweep status`, and MLflow's pages in a headless browser, each several times.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

APPLICATION = """
import hydra
from dataclasses import dataclass
from hydra.core.config_store import ConfigStore
from sweep import current_trial

@dataclass
class Config:
    x: float = 0.0
    y: float = 0.0
    z: int = 0

ConfigStore.instance().store(name="config", node=Config)

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg):
    for step in range(3):
        current_trial().log({"val/rmse": cfg.x**2 + 3 - step, "val/r2": cfg.y, "train/loss": cfg.x}, step)
    return cfg.x**2 + cfg.y

if __name__ == "__main__":
    main()
"""

TURNS = 5


def run_study(root: Path, trials: int) -> float:
    """Runs the study; returns how many seconds that took."""
    (root / "application.py").write_text(APPLICATION)
    settings = {
        "hydra/sweeper": "optuna",
        "hydra/sweeper/sampler": "random",
        "hydra/sweeper/pruner": "none",
        "hydra.sweep.dir": f"{root}/mlruns/studies/many",
        "hydra.sweeper.study_name": "many",
        "hydra.sweeper.n_trials": trials,
        "hydra.sweeper.recycle_after": 500,
        "hydra.sweeper.tracking.uri": f"sqlite:///{root}/mlruns/mlflow.db",
        "x": "interval(-2,2)",
        "y": "interval(0,1)",
        "z": "range(0,100)",
    }
    began = time.monotonic()
    command = [sys.executable, "application.py", "-m", *(f"{key}={value}" for key, value in settings.items())]
    subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def seconds(what: Callable[[], object]) -> str:
    """Median and range of the seconds that something takes."""
    taken = []
    for _ in range(TURNS):
        began = time.monotonic()
        what()
        taken.append(time.monotonic() - began)
    return f"{statistics.median(taken):5.2f} s ({min(taken):.2f} to {max(taken):.2f})"


def main() -> None:
    """Runs the study and prints the table."""
    from browser import browser

    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        took = run_study(root, trials)
        print(f"{trials} trials in {took:.0f} s, {1000 * took / trials:.0f} ms each")
        environment = {**os.environ, "SWEEP_ROOT": folder}
        for command in (["status"], ["status", "many"], ["status", "many", "--json"]):
            line = [sys.executable, "-m", "sweep", *command]
            taken = seconds(lambda line=line: subprocess.run(line, env=environment, check=True, capture_output=True))  # type: ignore[misc]
            print(f"sweep {' '.join(command):22} {taken}")
        ui = [sys.executable, "-m", "sweep", "ui", "--port", "5090"]
        with subprocess.Popen(ui, env=environment, stdout=subprocess.PIPE, text=True) as server, browser() as opened:
            assert server.stdout is not None
            page = server.stdout.readline().split()[1]
            experiment = page.partition("/runs/")[0] + "/runs?workflowType=machine_learning"
            opened.open(page, "many")  # the first page takes the server's and the browser's own time to warm up
            print(f"MLflow: the study's run        {seconds(lambda: opened.open(page, f'many {trials - 1}'))}")
            print(f"MLflow: the experiment's runs  {seconds(lambda: opened.open(experiment, 'matching runs'))}")
            server.terminate()


if __name__ == "__main__":
    main()
