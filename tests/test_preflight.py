"""Bad input to `sweep run`: one message, status 2, nothing created."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweep import preflight
from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.storage import open_storage


def sweep(root: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "sweep", *arguments],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "SWEEP_ROOT": str(root), "COLUMNS": "200", **environment},
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model.dpeth=3"], ["model.dpeth", "did you mean model.depth?"]),
        (["+model.dpeth=3"], ["model.dpeth", "did you mean model.depth?"]),
        (["sede=3"], ["sede", "did you mean seed?"]),
        (["modle=dense"], ["modle", "did you mean model?"]),
        (["model=dens"], ["model", "'dens'", "dense, gated, residual", "did you mean dense?"]),
        (["+experiment=anwser"], ["experiment", "did you mean answer?"]),
        (["model.width=wide"], ["model.width", "'wide'", "an integer"]),
        (["optimizer.learning_rate=fast"], ["optimizer.learning_rate", "'fast'", "a number"]),
        (["train.loss=mes"], ["train.loss", "'mes'", "mse, mae, huber, log_cosh, relative, residual"]),
        (["model.width=0"], ["model.width", "got 0", "at least 1"]),
        (["-m", "model.width=choice(null,1)"], ["model.width: got choice(null,1)", "key=null,1"]),
        (["model.depth=-1"], ["model.depth", "got -1"]),
        (["model.activation=rleu"], ["model.activation", "rleu", "relu"]),
        (["data.entry_range=[2,-2]"], ["data.entry_range", "[2.0, -2.0]", "low < high"]),
        (["data.entry_range=[1,2,3]"], ["data.entry_range", "a pair"]),
        (["data.entry_range=[-inf,2]"], ["data.entry_range", "finite"]),
        (["data.determinant.value=1000"], ["data.determinant.value", "1000.0", "at least 0.1%"]),
        (["evaluation.determinant.value=1000"], ["evaluation.determinant.value", "at least 0.1%"]),
        (["data.target_scale=0"], ["data.target_scale", "above 0"]),
        (["data.matrix_size=2"], ["evaluation.matrix_size", "got 3", "which is 2"]),
        (["data.determinant.rule=abvoe"], ["data.determinant.rule", "'abvoe'", "above, none, relative, rescaled"]),
        (["data.determinant={rule:rescaled,value:0}"], ["data.determinant.value", "got 0.0", "other than 0"]),
        (["data.target=determinant"], ["evaluation.target", "got inverse", "which is determinant"]),
        (["data.determinant=above"], ["data.determinant", "one of its keys: data.determinant.rule"]),
        (["data.matrix_size=60", "evaluation.matrix_size=60"], ["data.entry_range", "size 60", "float32"]),
        (["data.num_samples=100000000000"], ["data.num_samples", "kept in memory"]),
        (["data.num_samples=0"], ["data.num_samples", "got 0", "endless"]),
        (["data.validation_split=0.3"], ["data.validation_split", "endless"]),
        (["data.num_samples=2", "data.validation_split=0.9"], ["data.validation_split", "to train on"]),
        (["train.epochs=3"], ["train.epochs", "train.max_steps=null (it is 2000)"]),
        (["train.max_steps=null"], ["train.max_steps", "train.epochs is null"]),
        (["train.max_steps=null", "train.epochs=3"], ["train.epochs", "endless"]),
        (["train.patience=0"], ["train.patience", "no early stop"]),
        (["train.checkpoint_every=0"], ["train.checkpoint_every", "got 0"]),
        (["train.resume=nowhere"], ["train.resume", "nowhere", "checkpoint.npz"]),
        (["train.precision=float16"], ["train.precision", "float32, mixed_bfloat16"]),
        (["schedule=exponential", "schedule.final=0"], ["schedule.final", "above 0"]),
        (["optimizer=rmsporp"], ["optimizer", "did you mean rmsprop?"]),
        (["optimizer.global_clipnorm=-1"], ["optimizer.global_clipnorm", "no clipping"]),
        (["optimizer.ema_momentum=1"], ["optimizer.ema_momentum", "below 1"]),
        (["model.norm=bach"], ["model.norm", "bach", "none, layer, batch"]),
        (["evaluation.refine=-1"], ["evaluation.refine", "got -1"]),
        (["+experiment=question_determinant", "train.loss=residual"], ["train.loss", "determinant"]),
        (["+experiment=question_determinant", "evaluation.refine=2"], ["evaluation.refine", "only inverses"]),
        (["+experiment=question_determinant", "objective.metric=val/residual_p90"], ["objective.metric", "val/rmse"]),
        (["objective.metric=val/refined_rmse"], ["objective.metric", "did you mean"]),
        (["-m", "study=quickstart", "train.resume=x"], ["train.resume", "by themselves"]),
        (["objective.metric=val/rsme"], ["objective.metric", "did you mean val/rmse?"]),
        (["objective.metric=val/r2"], ["objective.direction", "maximize"]),
        (["tracking.log_model=bets"], ["tracking.log_model", "'bets'", "best, all, none"]),
        (["tracking.uri=http://127.0.0.1:1"], ["tracking.uri", "127.0.0.1:1 (Connection refused)", "that answers"]),
        (["-m", "study=quickstart", "tracking.uri=http://127.0.0.1:1"], ["(Connection refused)", "that answers"]),
        (["tracking.uri=somewhere"], ["tracking.uri", "somewhere", "sqlite:///"]),
        (["model.width=64,128"], ["model.width", "-m"]),
        (["model.width=[1"], ["[1"]),
        (["--config-dir", "nowhere"], ["--config-dir", "nowhere"]),
        (["-m"], ["the search space", "study=quickstart"]),
        (["-m", "model.dpeth=range(1,4)"], ["model.dpeth", "did you mean model.depth?"]),
        (["-m", "model.width=range(9,3)"], ["model.width", "range(9,3)", "start must come before stop"]),
        (["-m", "model.width=range(0,65,16)"], ["model.width", "got 0", "at least 1"]),
        (["-m", "data.entry_range=choice([-1,1],[3,2])"], ["data.entry_range", "[3.0, 2.0]"]),
        (["-m", "study=quickstart", "study.name=a/b"], ["study.name", "'a/b'"]),
        (["-m", "study=quickstart", "study.name=a.yaml"], ["study.name", "'a.yaml'", "no .yaml at the end"]),
        (["-m", "study=quickstart", "study.name=a.confirm"], ["study.name", "a name without .confirm at the end"]),
        (["+experiment=2026"], ["the configuration: got ", "is quoted", "+experiment='2026'"]),
        (["-m", "study=quickstart", "hydra.sweeper.study_name=b"], ["hydra.sweeper.study_name", "study.name"]),
        (["-m", "study=quickstart", "hydra.sweeper.direction=maximize"], ["hydra.sweeper.direction", "'minimize'"]),
        (["-m", "study=quickstart", "storage.url=postgresql://me:secret@127.0.0.1:1/x"], ["storage.url", "//me@127"]),
        (["-m", "study=quickstart", "hydra.sweeper.tracking.log_model=al"], ["tracking.log_model", "best, all, none"]),
        (["-m", "study=quickstart", "storage.url=nowhere"], ["storage.url", "no URL", "a database that answers"]),
        (["-m", "study=quickstart", "storage=postgresq"], ["storage", "did you mean postgresql?"]),
        (["-m", "study=quickstart", "seed=-1"], ["seed", "got -1"]),
        (["-m", "seed=1,2,3"], ["seed", "a study sets it"]),
        (["-m", "evaluation.entry_range=choice([-1,1],[-4,4])"], ["evaluation", "one for all"]),
        (["-m", "study=quikstart"], ["study", "did you mean quickstart?"]),
        (["-m", "study=quickstart", "hydra.sweeper.n_trails=3"], ["n_trails", "did you mean hydra.sweeper.n_trials?"]),
        (["-m", "study=quickstart", "hydra.sweeper.n_trials=few"], ["hydra.sweeper.n_trials", "'few'", "an integer"]),
    ],
)
def test_bad_input_is_one_message_with_status_2_and_creates_nothing(
    tmp_path: Path, arguments: list[str], said: list[str]
) -> None:
    result = sweep(tmp_path, "run", *arguments)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "word" not in result.stderr
    for text in said:
        assert text in result.stderr
    assert "secret" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("experiment", ["answer", "question"])
def test_a_baseline_is_judged_as_the_study_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experiment: str) -> None:
    monkeypatch.setenv("SWEEP_ROOT", str(tmp_path))
    baseline = f"+hydra.sweeper.baselines.{experiment}=['+experiment={experiment}']"
    preflight.check(["-m", "study=quickstart", "evaluation.entry_range=[-3,3]", baseline], None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_stores_should_be(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("mine")
    for arguments in (["run"], ["run", "-m", "study=quickstart"]):
        result = sweep(tmp_path, *arguments)
        assert result.returncode == 2
        assert "paths.mlruns" in result.stderr
        assert "is a file" in result.stderr
    assert (tmp_path / "mlruns").read_text() == "mine"


def test_a_study_that_was_killed_before_it_was_made_does_not_hide_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "mlruns/studies/torn"
    folder.mkdir(parents=True)
    (folder / "study.journal").touch()
    assert sweep(tmp_path, "status").returncode == 0
    result = sweep(tmp_path, "status", "torn")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_an_experiment_file_with_a_wrong_key_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "mine.yaml").write_text("# @package _global_\nmodel:\n  widht: 3\n")
    result = sweep(tmp_path, "run", "--config-dir", ".", "+experiment=mine")
    assert result.returncode == 2
    assert "model.widht" in result.stderr
    assert "did you mean model.width?" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "nothing"], "'nothing'"),
        (["export", "nothing"], "study=quickstart"),
        (["export"], "STUDY"),
        (["export", "nothing", "--rank", "0"], "--rank"),
        (["stop", "nothing"], "'nothing'"),
        (["status", "nothing", "--storage", "nowhere"], "the storage: got a text that is no URL"),
        (["status", "--storage", "mysql+nodriver://me@nowhere/x"], "the storage: got mysql"),
        (["delete", "nothing"], "'nothing'"),
        (["delete", "..", "--yes"], "'..'"),
        (["ui"], "no runs"),
        (["ui", "--port", "99999"], "--port"),
        (["trian"], "trian"),
    ],
)
def test_the_other_commands_say_what_is_wrong_too(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = sweep(tmp_path, *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_only_tells_creates_nothing(tmp_path: Path) -> None:
    for arguments in (["--help"], ["run", "--help"], ["run", "--cfg", "job"], ["run", "--info"], ["status"]):
        result = sweep(tmp_path, *arguments)
        assert result.returncode == 0, result.stderr
        assert result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["status", "here"], ["stop", "here"]])
def test_what_should_answer_at_once_loads_nothing_slow(tmp_path: Path, arguments: list[str]) -> None:
    storage = open_storage(None, tmp_path / "mlruns/studies/here")
    create_or_resume(storage, "here", Identity({}, {}, {}, ["minimize"]), 0)
    result = sweep(tmp_path, *arguments, PYTHONPROFILEIMPORTTIME="1")
    assert result.returncode == 0, result.stderr
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "click" in loaded
    assert not loaded & {"mlflow", "tensorflow", "keras"}
