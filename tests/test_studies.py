"""The studies that are shipped: they begin, and are what they say they are."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import optuna
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

import conf.schema
from sweep import preflight
from sweep.cli import task
from sweep.engine.storage import open_storage
from sweep.engine.study import load_study

STUDIES = Path(conf.schema.__file__).parent / "study"
FIVE = {"model.depth", "model.width", "optimizer.learning_rate", "data.entry_range", "data.target_scale"}


def composed(name: str) -> DictConfig:
    with hydra.initialize_config_module("conf", version_base="1.3"):
        overrides = [f"study={name}", "paths.root=/nowhere"]
        return hydra.compose("config", overrides=overrides, return_hydra_config=True)


@pytest.mark.parametrize("name", ["quickstart", "impact", "best"])
def test_every_study_begins(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_ROOT", str(tmp_path))
    assert preflight.check(["-m", f"study={name}"], task) is None
    assert composed(name).study.name == name
    assert list(tmp_path.iterdir()) == []


def test_no_study_is_forgotten_here() -> None:
    assert {path.stem for path in STUDIES.glob("*.yaml")} == {"default", "quickstart", "impact", "best"}


def test_impact_is_a_fair_sample_and_everything_in_it_has_a_role() -> None:
    sweeper = composed("impact").hydra.sweeper
    assert sweeper.sampler._target_ == "optuna.samplers.QMCSampler"
    assert sweeper.sampler.scramble
    assert sweeper.pruner._target_ == "optuna.pruners.NopPruner"
    assert set(sweeper.params) > FIVE
    assert set(sweeper.params) == {*sweeper.roles.scientific, *sweeper.roles.nuisance}


@pytest.mark.parametrize("name", ["impact", "best"])
def test_baselines_are_the_originals_on_the_matrices_of_the_study(name: str) -> None:
    config = composed(name)
    with hydra.initialize_config_module("conf", version_base="1.3"):
        networks = {}
        for baseline, lines in config.hydra.sweeper.baselines.items():
            own = hydra.compose("config", overrides=["paths.root=/nowhere", *map(str, lines)])
            for key in ("matrix_size", "entry_range", "determinant", "target"):
                assert own.data[key] == config.evaluation[key], "trained on what it is judged on"
            networks[baseline] = own
    assert (networks["question"].model.depth, networks["question"].model.width) == (2, 9)
    assert (networks["question"].train.epochs, networks["question"].data.num_samples) == (400, 10_000)
    assert networks["answer"].model._target_ == "models.residual.residual"
    assert networks["answer"].optimizer.learning_rate == 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["impact", "best"])
def test_a_short_form_of_it_runs(name: str, tmp_path: Path) -> None:
    content: Any = yaml.safe_load((STUDIES / f"{name}.yaml").read_text())
    short = {"question": ["train.epochs=1"], "answer": ["train.max_steps=2", "train.validate_every=1"]}
    baselines = {key: [*lines, *short[key]] for key, lines in content["hydra"]["sweeper"]["baselines"].items()}
    (tmp_path / "study").mkdir()
    content["hydra"]["sweeper"]["baselines"] = baselines
    (tmp_path / "study/short.yaml").write_text(f"# @package _global_\n{yaml.safe_dump(content, sort_keys=False)}")
    arguments = [
        *("--config-dir", str(tmp_path), "-m", "study=short", "tracking=none", "hydra.sweeper.export=null"),
        *("hydra.sweeper.n_trials=4", "train.max_steps=20", "train.validate_every=10", "evaluation.size=500"),
    ]
    command = [sys.executable, "-m", "sweep", "--root", str(tmp_path), "run", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    storage = open_storage(None, tmp_path / "mlruns/studies" / name)
    for study, count in ((name, 4), (f"{name}.baselines", 2)):
        trials = load_study(storage, study).trials
        states = {trial.state for trial in trials}
        assert len(trials) == count
        assert states <= {optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED}
    widths = [trial.params["model.width"] for trial in load_study(storage, name).trials]
    assert len(set(widths)) > 2
    saved = OmegaConf.load(tmp_path / "mlruns/studies" / name / "optimization_results.yaml")
    done = [trial.value for trial in load_study(storage, name).trials if trial.value is not None]
    assert saved.best_value == min(done)
