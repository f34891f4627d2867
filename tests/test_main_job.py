"""The main job, end to end and for real, only shorter: a study that trains, is tracked, and gives its best back."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sweep.paths import checkout
from sweep.tracking.source import source

SHORT = ("train.max_steps=60", "train.validate_every=20", "train.batch_size=64", "evaluation.size=2000")
STUDY = ("-m", "study=quickstart", "study.name=pytest-main-job", "hydra.sweeper.n_trials=4", *SHORT)
FIVE = {"model.depth", "model.width", "optimizer.learning_rate", "data.entry_range", "data.target_scale"}


def sweep(root: Path, *arguments: str, status: int = 0) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "sweep", *arguments],
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "SWEEP_ROOT": str(root), "COLUMNS": "160"},
        check=False,
        timeout=250,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout


def commit() -> str | None:
    """That of the checkout, if it is git's."""
    found = source(checkout() or "/")
    return found.commit if found else None


@dataclass
class Job:
    root: Path
    output: str
    exported: Path


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    root = tmp_path_factory.mktemp("root")
    folder = checkout()
    assert folder is not None
    exported = folder / "conf/experiment/pytest-main-job.yaml"
    exported.unlink(missing_ok=True)
    try:
        yield Job(root, sweep(root, "run", *STUDY), exported)
    finally:
        exported.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def runs(job: Job) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{job.root}/mlruns/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "sweep"]
    return list(client.search_runs([experiment.experiment_id]))


def test_it_ends_with_a_leaderboard_the_best_configuration_and_the_way_to_the_ui(job: Job) -> None:
    assert "4/4" in job.output
    assert "best by val/log10_rel_error" in job.output
    assert "sweep run +experiment=pytest-main-job" in job.output
    assert "sweep ui" in job.output
    assert "Traceback" not in job.output


def test_status_tells_the_same_to_people_and_programs(job: Job) -> None:
    seen = json.loads(sweep(job.root, "status", "pytest-main-job", "--json"))
    assert seen["done"] == seen["n_trials"] == 4
    assert set(seen["best"]["params"]) == FIVE
    assert "pytest-main-job" in sweep(job.root, "status")
    assert "4/4" in sweep(job.root, "status", "pytest-main-job")


def test_all_five_parameters_vary_and_every_trial_has_its_own_folder(job: Job) -> None:
    folders = sorted((job.root / "mlruns/studies/pytest-main-job/trials").iterdir())
    assert [folder.name for folder in folders] == ["0", "1", "2", "3"]
    overrides = [(folder / ".hydra/overrides.yaml").read_text() for folder in folders]
    for key in FIVE:
        assert len({re.search(rf"{re.escape(key)}=(.*)", text)[1] for text in overrides}) > 1, key  # type: ignore[index]


def test_two_slots_were_busy_at_once(job: Job) -> None:
    from sweep.engine.storage import open_storage
    from sweep.engine.study import load_study

    study = load_study(open_storage(None, job.root / "mlruns/studies/pytest-main-job"), "pytest-main-job")
    first, second = study.trials[:2]
    assert {first.user_attrs["slot"], second.user_attrs["slot"]} == {0, 1}
    assert second.datetime_start is not None
    assert first.datetime_complete is not None
    assert second.datetime_start < first.datetime_complete


def test_mlflow_has_one_parent_and_a_child_for_every_trial(job: Job, runs: list[Any]) -> None:
    parents = [run for run in runs if run.data.tags["sweep.kind"] == "study"]
    children = [run for run in runs if run.data.tags["sweep.kind"] == "trial"]
    assert len(parents) == 1
    assert len(children) == 4
    assert parents[0].info.status == "FINISHED"
    assert parents[0].data.params["space/model.depth"] == "range(1,6)"
    for child in children:
        assert child.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert child.data.tags["sweep.study"] == "pytest-main-job"
        logarithms = {"log10_learning_rate", "log10_width", "log10_target_scale"}
        assert set(child.data.params) >= FIVE | logarithms | {"seed", "train.threads"}
        assert child.info.status in ("FINISHED", "KILLED")


def test_a_finished_trial_has_metrics_by_step_its_configuration_and_the_scatter(job: Job, runs: list[Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{job.root}/mlruns/mlflow.db")
    child = next(r for r in runs if r.data.tags["sweep.kind"] == "trial" and r.info.status == "FINISHED")
    history = client.get_metric_history(child.info.run_id, "val/rmse")
    assert [point.step for point in history] == [20, 40, 60]
    assert set(child.data.metrics) >= {"train/loss", "val/log10_rel_error", "val/within_5pct", "best/rmse"}
    files = {f.path for folder in ("config", "plots") for f in client.list_artifacts(child.info.run_id, folder)}
    assert {"config/config.yaml", "config/overrides.yaml", "plots/scatter.png", "plots/conditioning.png"} <= files
    assert child.info.artifact_uri.startswith(str(job.root / "mlruns/artifacts"))


def test_every_trial_says_what_it_was_judged_and_trained_on_and_what_it_took(job: Job, runs: list[Any]) -> None:
    children = [run for run in runs if run.data.tags["sweep.kind"] == "trial"]
    digests = set()
    for child in children:
        used = {tag.value: one.dataset for one in child.inputs.dataset_inputs for tag in one.tags}
        assert set(used) == {"evaluation", "training"}
        assert used["evaluation"].digest == child.data.tags["facts/evaluation_digest"]
        assert json.loads(used["evaluation"].profile)["size"] == 2000
        assert json.loads(used["training"].profile)["num_samples"] == "endless"
        assert str(json.loads(used["training"].profile)["seed"]) == child.data.params["seed"]
        digests.add(used["training"].digest)
        costs = {"cost/parameters", "cost/flops_per_sample", "cost/steps", "cost/samples_per_second", "cost/seconds"}
        assert costs | {"system/cpu_utilization_percentage"} <= set(child.data.metrics)
        assert 3 * child.data.metrics["cost/seconds"] > 60 / child.data.metrics["cost/steps_per_second"]
    assert len(digests) == len(children), "each has samples of its own"


def test_the_studys_page_describes_it_and_has_what_it_was_made_with(job: Job, runs: list[Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{job.root}/mlruns/mlflow.db")
    (parent,) = (run for run in runs if run.data.tags["sweep.kind"] == "study")
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("depth, width, learning rate, entry range and target scale of a dense network")
    assert "**4 of 4 trials are done**" in note
    assert "| rank | trial | val/log10\\_rel\\_error | depth | width | learning rate | entry range |" in note
    assert "train.loss: mae" in note
    assert parent.data.tags["sweep.state"] == "finished"
    assert parent.data.tags.get("mlflow.source.git.commit") == commit()
    found = {
        f.path for folder in ("", "config", "environment") for f in client.list_artifacts(parent.info.run_id, folder)
    }
    expected = {"config/config.yaml", "config/overrides.yaml", "environment/environment.json", "leaderboard.csv"}
    assert expected <= found
    board = Path(client.download_artifacts(parent.info.run_id, "leaderboard.csv", str(job.root))).read_text()
    assert len(board.splitlines()) == 5


def test_the_database_is_in_wal_mode(job: Job) -> None:
    with sqlite3.connect(job.root / "mlruns/mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_the_exported_configuration_gives_the_objective_again_to_six_digits(job: Job) -> None:
    expected = re.search(r"^# Objective: val/log10_rel_error = (.*)$", job.exported.read_text(), re.MULTILINE)
    assert expected is not None
    output = sweep(job.root, "run", "+experiment=pytest-main-job")
    again = re.search(r"val/log10_rel_error = (\S+), the objective", output)
    assert again is not None
    assert float(again[1]) == pytest.approx(float(expected[1]), abs=5e-7)
    assert "zero skill" in output
    assert "A·X̂" in output


def test_a_training_that_diverges_is_said_to_have_diverged(job: Job) -> None:
    output = sweep(job.root, "run", *SHORT, "optimizer.learning_rate=1e30")
    assert "the objective" not in output
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{job.root}/mlruns/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "sweep"]
    newest = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])[0]
    assert newest.data.tags["sweep.reason"] == "diverged"
    assert newest.info.status == "KILLED"
    assert "was pruned: diverged" in newest.data.tags["mlflow.note.content"]
    assert "optimizer.learning_rate=1e30" in newest.data.tags["mlflow.note.content"]
    assert newest.data.tags.get("mlflow.source.git.commit") == commit()
    files = {file.path for file in client.list_artifacts(newest.info.run_id, "environment")}
    assert "environment/environment.json" in files


def test_any_trial_can_be_exported_by_rank_number_or_metric(job: Job) -> None:
    for option in (["--rank", "1"], ["--trial", "0"], ["--metric", "val/rmse"]):
        output = sweep(job.root, "export", "pytest-main-job", *option, "--name", "pytest-main-job")
        assert "sweep run +experiment=pytest-main-job" in output
    assert "# Study: pytest-main-job" in job.exported.read_text()
    sweep(job.root, "export", "pytest-main-job", "--rank", "99", status=2)
    sweep(job.root, "export", "pytest-main-job", "--name", "answer", status=2)


def test_the_command_on_its_page_which_is_the_same_has_nothing_to_do(job: Job, runs: list[Any]) -> None:
    (parent,) = (run for run in runs if run.data.tags["sweep.kind"] == "study")
    command = re.search(r"```\n(sweep .*?)\n```", parent.data.tags["mlflow.note.content"], re.DOTALL)
    assert command is not None
    variables = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    variables.pop("SWEEP_ROOT", None)
    shell = ["sh", "-c", command[1]]
    again = subprocess.run(shell, cwd="/", env=variables, capture_output=True, text=True, timeout=250, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    output = again.stdout
    assert "0 of them new" in output
    assert "best by val/log10_rel_error" in output
    assert len(list((job.root / "mlruns/studies/pytest-main-job/trials").iterdir())) == 4


def test_what_is_refused_because_the_study_is_another_has_status_2(job: Job) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "sweep", "run", *STUDY, "train.loss=mse"],
        capture_output=True,
        text=True,
        env={**os.environ, "SWEEP_ROOT": str(job.root)},
        check=False,
    )
    assert result.returncode == 2
    assert "train.loss: mae -> mse" in result.stderr
    assert "Traceback" not in result.stderr
