import math
import shlex
import subprocess
import sys
from pathlib import Path

import hydra
import numpy as np
import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

import conf.schema
from sweep.engine.errors import UserError
from sweep.engine.recomposed import Configuration
from sweep.engine.storage import open_storage
from sweep.results.candidates import Candidate
from sweep.results.confirmed import conclude
from sweep.results.expectation import digest
from sweep.results.export import command, describe, export, renew
from sweep.results.exported import NOT_EXPORTED, exported_values
from sweep.tracking.params import run_params

OVERRIDES = [
    *("model=residual", "schedule=cosine", "model.depth=5", "data.entry_range=[-4,4]", "optimizer.learning_rate=3e-5"),
    *("train.loss=huber", "train.threads=2", "seed=123"),
]


@pytest.fixture
def compose_all(tmp_path, monkeypatch):
    """Composes this project's configuration, with `hydra`, also from experiments in `tmp_path`."""
    monkeypatch.setenv("SWEEP_ROOT", str(tmp_path))
    (tmp_path / "conf").mkdir()

    def compose(*overrides):
        with hydra.initialize_config_module("conf", version_base="1.3"):
            places = [f"hydra.searchpath=[file://{tmp_path}/conf]", "study.name=test"]
            return hydra.compose("config", [*places, *overrides], return_hydra_config=True)

    return compose


@pytest.fixture
def run(study, compose_all, tmp_path):
    """Adds a complete trial with these overrides, and what Hydra leaves in its output directory."""
    study.set_user_attr("objective", "val/log10_rel_error")

    def add(value, *overrides, **attributes):
        config = compose_all(*overrides)
        folder = tmp_path / "trials" / str(len(study.get_trials(deepcopy=False)))
        (folder / ".hydra").mkdir(parents=True)
        task = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
        OmegaConf.save(task, folder / ".hydra" / "config.yaml")
        with_hydra = OmegaConf.masked_copy(config, "hydra")
        OmegaConf.save(with_hydra, folder / ".hydra" / "hydra.yaml")
        known = {"output_dir": str(folder), "overrides": list(overrides), "seed": 123, "threads": 2, **attributes}
        searched = {"params": {"model.depth": 5}, "distributions": {"model.depth": IntDistribution(1, 8)}}
        study.add_trial(create_trial(state=TrialState.COMPLETE, values=[value], user_attrs=known, **searched))

    return add


def task_part(config):
    return OmegaConf.to_container(
        OmegaConf.masked_copy(config, [k for k in config if k not in NOT_EXPORTED]), resolve=True, enum_to_str=True
    )


def test_an_exported_trial_composes_to_the_same_configuration(study, run, compose_all, tmp_path):
    run(-0.7, *OVERRIDES, metrics={"val/rmse": 1.5, "best/rmse": 1.25})
    path = export(study, tmp_path / "conf")
    assert path == tmp_path / "conf" / "experiment" / "planted.yaml"
    again, first = compose_all("+experiment=planted"), compose_all(*OVERRIDES)
    assert task_part(again) == task_part(first)
    assert again.hydra.runtime.choices["model"] == "residual"
    assert compose_all("+experiment=planted", "model.depth=2").model.depth == 2


def test_an_exported_file_says_where_it_is_from_and_reads_like_one_of_ours(study, run, tmp_path):
    made_with = {"commit": "abc with changes", "optuna": "5.0.0"}
    run(-0.7, *OVERRIDES, metrics={"val/rmse": 1.5}, facts={"evaluation_digest": "0123"}, made_with=made_with)
    text = export(study, tmp_path / "conf").read_text()
    lines = text.splitlines()
    assert lines[0] == "# @package _global_"
    for line in (
        "# Study: planted",
        "# Trial: 0, complete",
        "# Objective: val/log10_rel_error = -0.7",
        "#   val/rmse = 1.5",
        "# Seed: 123; threads: 2",
        "  - override /model: residual",
        "  - override /schedule: cosine",
        "  entry_range: [-4.0, 4.0]",
        "  learning_rate: 3.0e-05",
        "seed: 123",
    ):
        assert line in lines
    assert any(line.startswith("# Train it again: sweep run ") for line in lines)
    assert "# Evaluation set: 0123" in lines
    assert "# Trained with: commit abc with changes, optuna 5.0.0" in lines
    for word in ("tracking", "storage", "paths", "hydra", "experiment:", "study:", "mlruns"):
        assert word not in text.split("\n\n", 1)[1]


def test_what_was_confirmed_of_a_trial_is_in_its_file(study, run, tmp_path):
    for value in (-0.7, -0.6):
        run(value, *OVERRIDES)
    path = export(study, tmp_path / "conf")
    assert "Confirmed" not in path.read_text()
    none = OmegaConf.create()
    candidates = [
        Candidate(Configuration("trial 0", (), none, "0"), 0, {}, -0.7),
        Candidate(Configuration("answer", (), none, "1"), None, {}, None),
    ]
    scores = np.array([[-0.68, -0.66, -0.7, math.nan], [0.0, 0.1, 0.2, 0.3]])
    objective = "test/log10_rel_error"
    found = conclude(objective, True, candidates[:1], [1, 2, 3, 4], scores[:1], {}, None)
    study.set_user_attr("confirmed", found.plain())
    assert renew(study, {1}, tmp_path / "conf") is None
    assert "Confirmed" not in path.read_text(), "it is of another trial"
    assert renew(study, {0, 1}, tmp_path / "conf") == path
    said = "# Confirmed: test/log10_rel_error = -0.68, 95% interval -0.729683 to -0.630317, on the test set with 3"
    assert f"{said} new seeds" in path.read_text().splitlines()
    found = conclude(objective, True, candidates, [1, 2, 3], scores[:, :3], {}, None)
    study.set_user_attr("confirmed", found.plain())
    assert renew(study, {0}, tmp_path / "conf") == path
    assert "with 3 new seeds; the champion\n" in path.read_text()
    assert "Confirmed" not in export(study, tmp_path / "conf", rank=2).read_text()
    assert renew(study, {0}, tmp_path / "conf", name="nothing") is None


@pytest.mark.parametrize("name", ["2026", "true", "1e5", "a=b", "v1.0", "null", "mine"])
def test_the_command_of_a_file_finds_it_whatever_it_is_called(study, run, compose_all, tmp_path, name):
    run(-0.7, *OVERRIDES)
    *_, experiment = shlex.split(command(export(study, tmp_path / "conf", name=name)))
    assert compose_all(experiment).model.depth == 5


def test_a_name_that_hydra_would_not_find_is_refused(study, run, tmp_path):
    run(-0.7, *OVERRIDES)
    with pytest.raises(UserError, match=r"--name: got 'mine\.yaml', allowed is letters, .* and no \.yaml at the end"):
        export(study, tmp_path / "conf", name="mine.yaml")


def test_what_a_run_is_to_be_compared_with_is_checked_by_the_schema(study, run, compose_all, tmp_path):
    run(-0.7, *OVERRIDES, facts={"evaluation_digest": "0123"}, made_with={"numpy": "2"})
    export(study, tmp_path / "conf")
    again = compose_all("+experiment=planted")
    plain = OmegaConf.to_container(again, resolve=False, enum_to_str=True)
    assert OmegaConf.get_type(again.expects) is conf.schema.ExpectsConfig
    assert plain["expects"] == {
        "of": "trial 0 of study planted",
        "metric": "val/log10_rel_error",
        "value": -0.7,
        "configuration": digest(exported_values(plain)),
        "evaluation": "0123",
        "made_with": {"numpy": "2"},
    }
    other = compose_all("+experiment=planted", "model.depth=4")
    other_values = exported_values(OmegaConf.to_container(other, resolve=False, enum_to_str=True))
    assert digest(other_values) != again.expects.configuration
    # It is no part of what a run is, and is not exported again.
    assert not [key for key in run_params(again) if key.startswith("expects")]
    assert "expects" in again.hydra.sweeper.identity_excludes
    run(-0.8, "+experiment=planted")
    assert "trial 1 of study planted" in export(study, tmp_path / "conf").read_text()


def test_a_trial_without_a_value_is_compared_with_nothing(study, run, compose_all, tmp_path):
    run(-0.7)
    pruned = create_trial(state=TrialState.PRUNED, user_attrs=study.trials[0].user_attrs)
    study.add_trial(pruned)
    export(study, tmp_path / "conf", trial=1)
    assert compose_all("+experiment=planted").expects is None


def test_the_content_of_an_experiment_is_among_the_values(study, run, compose_all, tmp_path):
    run(-0.7, "+experiment=answer", "model.depth=2")
    export(study, tmp_path / "conf", name="mine")
    again = compose_all("+experiment=mine")
    assert task_part(again) == task_part(compose_all("+experiment=answer", "model.depth=2"))
    assert again.optimizer.learning_rate == 1e-5


def test_a_deleted_key_is_in_the_command_because_a_file_cannot_delete(study, run, tmp_path):
    run(-0.7, overrides=["model.depth=2", "~extra.key"])
    path = export(study, tmp_path / "conf")
    assert f"{command(path)} '~extra.key'" in path.read_text()


def test_rank_trial_and_metric_choose(study, run, tmp_path):
    for value, rmse in ((-0.5, 1.0), (-0.7, 3.0), (-0.6, 2.0)):
        run(value, metrics={"val/rmse": rmse})

    def trial_of(**choice):
        text = export(study, tmp_path / "conf", **choice).read_text()
        return int(text.split("# Trial: ")[1].split(",")[0])

    assert [trial_of(), trial_of(rank=2), trial_of(trial=0), trial_of(metric="val/rmse")] == [1, 2, 0, 0]
    for choice, message in (
        ({"rank": 4}, "--rank: got 4, allowed is 1 to 3"),
        ({"rank": 0}, "--rank: got 0, allowed is 1 to 3"),
        ({"trial": 7}, "--trial: got 7, allowed is a number from 0 to 2"),
        ({"metric": "rmse"}, "--metric: got rmse, allowed is one of val/log10_rel_error, val/rmse"),
    ):
        with pytest.raises(UserError) as error:
            trial_of(**choice)
        assert str(error.value) == message


def test_a_study_without_a_complete_trial_exports_nothing(study, tmp_path):
    study.add_trial(create_trial(state=TrialState.WAITING))
    with pytest.raises(UserError, match="no feasible trial is complete"):
        export(study, tmp_path / "conf")
    with pytest.raises(UserError, match="which has not begun"):
        export(study, tmp_path / "conf", trial=0)
    assert not (tmp_path / "conf").exists()


def test_output_that_is_gone_is_said(study, run, tmp_path):
    run(-0.7)
    (tmp_path / "trials" / "0" / ".hydra" / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"--trial: got 0, whose .*config.yaml cannot be read"):
        export(study, tmp_path / "conf")


def test_only_a_file_of_the_same_study_is_overwritten(study, run, tmp_path):
    run(-0.7)
    path = export(study, tmp_path / "conf")
    assert export(study, tmp_path / "conf") == path
    path.write_text("# @package _global_\n# my own\n")
    with pytest.raises(UserError, match=r"whose file \S+ no study wrote"):
        export(study, tmp_path / "conf")
    assert path.read_text() == "# @package _global_\n# my own\n"
    path.write_text("# @package _global_\n# Study: another\n")
    with pytest.raises(UserError, match="is of study another"):
        export(study, tmp_path / "conf")
    assert [file.name for file in path.parent.iterdir()] == ["planted.yaml"]


@pytest.mark.parametrize("name", ["a/b", "..", "", "-x", "a b", "a\nb", "a'b"])
def test_a_name_that_cannot_be_one_is_refused(study, run, tmp_path, name):
    run(-0.7)
    with pytest.raises(UserError, match="--name"):
        export(study, tmp_path / "conf", name=name)


def test_what_to_type_depends_on_where_the_file_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(tmp_path / "experiment" / "best.yaml") == "sweep run --config-dir . +experiment=best"
    assert describe(tmp_path / "experiment" / "best.yaml").startswith("experiment/best.yaml\n")
    ours = Path(conf.schema.__file__).parent / "experiment" / "best.yaml"
    assert command(ours) == "sweep run +experiment=best"
    assert (
        command(tmp_path / "a b" / "experiment" / "x.yaml") == f"sweep run --config-dir '{tmp_path}/a b' +experiment=x"
    )


TASK = """
import hydra
import conf.schema

@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")
def task(config):
    return float(config.model.depth)

if __name__ == "__main__":
    task()
"""


def test_the_best_trial_of_a_real_study_composes_again(tmp_path, compose_all):
    (tmp_path / "task.py").write_text(TASK)
    arguments = [
        *("-m", "study.name=real", "tracking=none", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2"),
        *("model=residual", "model.depth=choice(2,3,4)", "data.entry_range=choice([-1,1],[-2,2])"),
    ]
    command = [sys.executable, str(tmp_path / "task.py"), *arguments, "hydra.sweeper.export=null"]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    folder = tmp_path / "mlruns" / "studies" / "real"
    study = optuna.load_study(study_name="real", storage=open_storage(None, folder))
    path = export(study, tmp_path / "conf")
    again = compose_all("+experiment=real")
    saved = OmegaConf.load(Path(study.best_trial.user_attrs["output_dir"]) / ".hydra" / "config.yaml")
    assert task_part(again) == task_part(saved)
    assert f"# Objective: val/log10_rel_error = {study.best_value!r}" in path.read_text()
