"""Applications written for hydra-optuna-sweeper, and the example of docs/sweeper.md, run for real."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from omegaconf import OmegaConf

from sweep.engine.settings import Settings

DOCS = (Path(__file__).parents[1] / "docs" / "sweeper.md").read_text()

SPHERE = """
import hydra
from omegaconf import DictConfig

@hydra.main(version_base=None, config_path="conf", config_name="config")
def sphere(cfg: DictConfig) -> float:
    if cfg.get("error", False):
        raise RuntimeError("cfg.error is True")
    return cfg.x**2 + cfg.y**2

if __name__ == "__main__":
    sphere()
"""
SPHERE_CONFIG = """
defaults:
  - override hydra/sweeper: optuna
  - override hydra/sweeper/sampler: tpe

hydra:
  sweeper:
    sampler:
      seed: 123
    direction: minimize
    study_name: sphere
    storage: null
    n_trials: 20
    n_jobs: 1
    max_failure_rate: 0.0
    params:
      x: range(-5.5, 5.5, step=0.5)
      y: choice(-5 ,0 ,5)

x: 1
y: 1
z: 1

# if true, simulate a failure by raising an exception
error: false
"""

TWO = """
from typing import Tuple
import hydra
from omegaconf import DictConfig

@hydra.main(version_base=None, config_path="conf", config_name="config")
def binh_and_korn(cfg: DictConfig) -> Tuple[float, float]:
    x: float = cfg.x
    y: float = cfg.y
    return 4 * x**2 + 4 * y**2, (x - 5) ** 2 + (y - 5) ** 2

if __name__ == "__main__":
    binh_and_korn()
"""
TWO_CONFIG = """
defaults:
  - override hydra/sweeper: optuna
  - override hydra/sweeper/sampler: {sampler}

hydra:
  sweeper:
    sampler:
      seed: 123
    direction: [minimize, minimize]
    study_name: multi-objective
    storage: null
    n_trials: 12
    n_jobs: 1
    params:
      x: range(0, 5, step=0.5)
      y: range(0, 3, step=0.5)

x: 1
y: 1
"""

CUSTOM = """
import hydra
from omegaconf import DictConfig
from optuna.trial import Trial

@hydra.main(version_base=None, config_path="conf", config_name="config")
def multi_dimensional_sphere(cfg: DictConfig) -> float:
    return cfg.w**2 + cfg.x**2 + cfg.y**2 + cfg.z**2

def configure(cfg: DictConfig, trial: Trial) -> None:
    x_value = trial.params["x"]
    trial.suggest_float("z", x_value - cfg.max_z_difference_from_x, x_value + cfg.max_z_difference_from_x)
    trial.suggest_float("+w", 0.0, 1.0)  # note +w here, not w as w is a new parameter

if __name__ == "__main__":
    multi_dimensional_sphere()
"""
CUSTOM_CONFIG = """
defaults:
  - override hydra/sweeper: optuna

hydra:
  sweeper:
    sampler:
      seed: 123
    direction: minimize
    study_name: custom-search-space
    storage: null
    n_trials: 8
    n_jobs: 1
    params:
      x: range(-5.5, 5.5, 0.5)
      y: choice(-5, 0, 5)
    custom_search_space: application.configure

x: 1
y: 1
z: 100
max_z_difference_from_x: 0.5
"""

CONDITIONAL = """
import hydra
from omegaconf import DictConfig
from optuna.trial import Trial

@hydra.main(version_base=None, config_path="conf", config_name="config")
def task(cfg: DictConfig) -> float:
    assert (cfg.momentum is None) == (cfg.optimizer == "adam")
    return cfg.lr + (cfg.momentum or 0)

def configure(cfg: DictConfig, trial: Trial) -> None:
    if trial.params["optimizer"] == "sgd":
        trial.suggest_float("momentum", 0.0, 1.0)

if __name__ == "__main__":
    task()
"""
CONDITIONAL_CONFIG = """
defaults:
  - override hydra/sweeper: optuna
  - override hydra/sweeper/sampler: random

optimizer: sgd
lr: 0.1
momentum: null

hydra:
  sweeper:
    sampler:
      seed: 1
    n_trials: 8
    n_jobs: 2
    study_name: conditional
    params:
      optimizer: choice(adam, sgd)
      lr: tag(log, interval(0.0001, 0.1))
    custom_search_space: application.configure
"""

OLD_SPACE_CONFIG = """
defaults:
  - override hydra/sweeper: optuna

hydra:
  sweeper:
    direction: minimize
    study_name: sphere
    storage: null
    n_trials: 6
    n_jobs: 2
    search_space:
      x:
        type: float
        low: -5.5
        high: 5.5
        step: 0.5
      y:
        type: categorical
        choices: [-5, 0, 5]

x: 1
y: 1
"""

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs an application with a configuration in `tmp_path`, sweeping into out/; returns its results file."""

    def ran(program: str, config: str, *arguments: str, status: int = 0) -> dict[str, Any]:
        (tmp_path / "conf").mkdir(exist_ok=True)
        (tmp_path / "application.py").write_text(program)
        (tmp_path / "conf" / "config.yaml").write_text(config)
        command = [sys.executable, "application.py", "--multirun", "hydra.sweep.dir=out", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        results = tmp_path / "out" / "optimization_results.yaml"
        found: Any = OmegaConf.to_container(OmegaConf.load(results)) if results.exists() else {}
        return {**found, "said": done.stdout + done.stderr}

    return ran


def test_the_sphere_runs_unchanged(run: Run, tmp_path: Path) -> None:
    results = run(SPHERE, SPHERE_CONFIG, "hydra.sweeper.n_jobs=2", "~z")
    assert results["name"] == "optuna"
    assert set(results["best_params"]) == {"x", "y"}
    assert results["best_value"] == results["best_params"]["x"] ** 2 + results["best_params"]["y"] ** 2
    folder = Path(results["output_dir"])
    assert folder == tmp_path / "out" / str(results["trial"])
    assert results["mlflow_run_id"] is None
    written = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert "z" not in written
    assert {key: written[key] for key in "xy"} == results["best_params"]
    folders = {int(path.name) for path in (tmp_path / "out").iterdir() if path.name.isdigit()}
    assert folders <= set(range(20))  # without those whose params had been tried
    assert "20 complete" in results["said"]


def test_the_command_line_wins_and_a_study_goes_on_in_its_database(run: Run, tmp_path: Path) -> None:
    storage = "hydra.sweeper.storage=sqlite:///x.db"
    arguments = (storage, "hydra.sweeper.study_name=mine", "hydra/sweeper/sampler=random", "x=interval(-1,1)", "y=0")
    run(SPHERE, SPHERE_CONFIG, *arguments, "hydra.sweeper.n_trials=3")
    results = run(SPHERE, SPHERE_CONFIG, *arguments, "hydra.sweeper.n_trials=5")
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path}/x.db")
    assert len(study.trials) == 5  # the total: hydra-optuna-sweeper would add five to three
    assert results["best_params"] == study.best_params
    assert set(study.best_params) == {"x"}
    assert results["best_value"] == study.best_value


def test_one_seed_gives_one_study(run: Run) -> None:
    arguments = ("hydra/sweeper/sampler=tpe", "hydra.sweeper.sampler.seed=7", "hydra.sweeper.n_trials=5")
    bests = []
    for index in range(2):
        results = run(SPHERE, SPHERE_CONFIG, *arguments, f"hydra.sweep.dir=out{index}", "x=interval(-5,5)")
        bests.append(re.findall(r"x=\S+", results["said"]))
    assert bests[0] == bests[1] != []


def test_a_hopeless_study_says_why(run: Run) -> None:
    few = ("hydra.sweeper.n_trials=12", "hydra/sweeper/sampler=random", "error=true")
    results = run(SPHERE, SPHERE_CONFIG, *few, "hydra.sweeper.max_failure_rate=0.5", status=1)
    assert "hydra.sweeper.max_failure_rate" in results["said"]
    assert "RuntimeError: cfg.error is True" in results["said"]


@pytest.mark.parametrize("sampler", ["random", "nsgaii", "motpe"])
def test_two_objectives_have_a_front(run: Run, sampler: str) -> None:
    results = run(TWO, TWO_CONFIG.format(sampler=sampler))
    assert results["name"] == "optuna"
    values = [solution["values"] for solution in results["solutions"]]
    assert values == sorted(values)
    for one in values:
        assert not any(all(a <= b for a, b in zip(other, one, strict=True)) and other != one for other in values)
    for solution in results["solutions"]:
        x, y = solution["params"]["x"], solution["params"]["y"]
        assert solution["values"] == [4 * x**2 + 4 * y**2, (x - 5) ** 2 + (y - 5) ** 2]
        assert Path(solution["output_dir"]).name == str(solution["trial"])
    assert "Pareto front" in results["said"]


def test_a_search_space_in_python(run: Run) -> None:
    results = run(CUSTOM, CUSTOM_CONFIG, "max_z_difference_from_x=0.3", "hydra/sweeper/sampler=random")
    best = results["best_params"]
    assert abs(best["x"] - best["z"]) <= 0.3
    assert 0 <= best["+w"] <= 1
    assert results["best_value"] == pytest.approx(best["+w"] ** 2 + best["x"] ** 2 + best["y"] ** 2 + best["z"] ** 2)


def test_a_conditional_search_space_in_python(run: Run, tmp_path: Path) -> None:
    run(CONDITIONAL, CONDITIONAL_CONFIG)
    folders = [folder for folder in (tmp_path / "out").iterdir() if folder.name.isdigit()]
    tried = [OmegaConf.load(folder / ".hydra" / "config.yaml") for folder in folders]
    assert {config.optimizer for config in tried} == {"adam", "sgd"}
    assert all((config.momentum is None) == (config.optimizer == "adam") for config in tried)


def test_the_search_space_of_old(run: Run) -> None:
    results = run(SPHERE, OLD_SPACE_CONFIG)
    assert results["best_params"]["x"] % 0.5 == 0
    assert results["best_params"]["y"] in (-5, 0, 5)
    assert "search_space" in results["said"]  # which is deprecated


def test_sampler_keys_of_old_are_taken_with_a_warning(run: Run) -> None:
    old = [f"+hydra.sweeper.sampler.{key}" for key in ("consider_prior=true", "prior_weight=1.0")]
    results = run(SPHERE, SPHERE_CONFIG, *old, "hydra.sweeper.n_trials=3")
    assert results["best_value"] >= 0
    assert "consider_prior" in results["said"]


def test_every_key_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (\S+) \|", DOCS.split("## The keys")[1].split("\n## ")[0], re.MULTILINE)
    documented = {key: default.strip("`") for key, default in rows}
    known = OmegaConf.structured(Settings)
    fields = {field.name for field in dataclasses.fields(Settings)} - {
        "_target_",
        "_recursive_",
        "defaults",
        "tracking",
    }
    assert set(documented) == fields | {f"tracking.{key}" for key in known.tracking}
    chosen = {"sampler": "tpe", "pruner": "median"}
    for key, default in documented.items():
        value = OmegaConf.select(known, key)
        shown = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        expected = chosen.get(key, {None: "null", False: "false"}.get(shown) if shown in (None, False) else str(shown))
        assert default == expected, key


class Example:
    """The example of docs/sweeper.md, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        text = DOCS.split("## An example")[1].split("\n## ")[0]
        files = re.findall(r"`(fit\.\w+)`.*?\n\n```(?:python|yaml)\n(.*?)```", text, re.DOTALL)
        for name, content in files:
            (folder / name).write_text(content)
        assert [name for name, _ in files] == ["fit.py", "fit.yaml"]
        (command,) = re.findall(r"```console\n\$ python (.*?)\n```", text)
        self.command = [sys.executable, *command.split()]

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        try:
            study = optuna.load_study(study_name="fits", storage=f"sqlite:///{self.folder}/fits.db")
        except (KeyError, AssertionError):
            return []
        return study.get_trials(deepcopy=False)


def test_the_documented_example_is_short_and_survives_being_killed(tmp_path: Path) -> None:
    example = Example(tmp_path)
    lines = [line for line in (tmp_path / "fit.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 20
    first = example.start()
    deadline = time.monotonic() + 90
    while sum(trial.state.is_finished() for trial in example.trials()) < 6:
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    children = psutil.Process(first.pid).children(recursive=True)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)
    finished = {trial.number: trial.values for trial in example.trials() if trial.state.is_finished()}

    second = example.start()
    said = second.communicate(timeout=120)[0]
    assert second.returncode == 0, said
    trials = example.trials()
    first_attempts = [trial for trial in trials if "retry_of" not in trial.user_attrs]
    assert len(first_attempts) == 30
    assert {number: trials[number].values for number in finished} == finished
    states = [trial.state.name for trial in trials]
    assert states.count("COMPLETE") + states.count("PRUNED") == 30
    assert states.count("PRUNED") >= 1
    assert {"RUNNING", "WAITING"}.isdisjoint(states)
    spans = [(t.datetime_start, t.datetime_complete) for t in trials]
    assert any(a is not b and a[0] < b[0] < a[1] for a in spans for b in spans), "never two at once"  # type: ignore[operator]
    folders = [trial.user_attrs["output_dir"] for trial in trials if "output_dir" in trial.user_attrs]
    assert len(set(folders)) == len(folders) >= 30
    assert (tmp_path / "fits" / "optimization_results.yaml").exists()
