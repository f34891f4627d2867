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

import numpy as np
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
    assert "All of it in MLflow: sweep ui pytest-main-job\n" in job.output
    assert "Traceback" not in job.output


def test_it_ends_with_a_report_which_can_be_made_again_from_anywhere(job: Job, runs: list[Any]) -> None:
    from mlflow import MlflowClient

    page = job.root / "mlruns/studies/pytest-main-job/report/report.html"
    assert f"The report: {page}" in " ".join(job.output.split())
    html = page.read_text()
    assert "The best of " in html
    assert "zero skill has" in html, "the trials have told what takes no network"
    page.unlink()
    again = sweep(job.root, "report", "pytest-main-job")
    assert again.splitlines()[0] == str(page)
    assert "on the study's page in MLflow: sweep ui pytest-main-job\n" in again
    assert page.exists()
    client = MlflowClient(f"sqlite:///{job.root}/mlruns/mlflow.db")
    (parent,) = [run for run in runs if run.data.tags["sweep.kind"] == "study"]
    attached = {
        file.path
        for folder in ("report", "report/tables")
        for file in client.list_artifacts(parent.info.run_id, folder)
    }
    assert {"report/report.html", "report/figures", "report/tables/leaderboard.csv"} <= attached


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
    assert re.search(r"^The same value as trial \d of study pytest-main-job had, to the last digit\.$", output, re.M)
    models = [model for model in logged(job.root) if model.tags["sweep.kind"] == "run"]
    assert [model.name for model in models] == ["model"]
    again_but = sweep(job.root, "run", "+experiment=pytest-main-job", "seed=1", "tracking=none")
    assert "Not the same value: trial " in again_but
    assert "Not as it was: the configuration (seed=1)" in again_but


def test_the_exported_file_says_which_run_what_code_and_which_evaluation_set_it_is_of(
    job: Job, runs: list[Any]
) -> None:
    text = job.exported.read_text()
    trial = re.search(r"^# Trial: (\d+), complete$", text, re.MULTILINE)
    run_id = re.search(r"^# MLflow run: (\w+)$", text, re.MULTILINE)
    assert trial is not None
    assert run_id is not None
    (run,) = [run for run in runs if run.info.run_id == run_id[1]]
    assert run.data.tags["sweep.trial"] == trial[1]
    assert f"# Evaluation set: {run.data.tags['facts/evaluation_digest']}" in text
    assert re.search(r"^# Trained with: (commit \w{40}.*, )?python 3.*, tensorflow 2", text, re.MULTILINE)


def logged(root: Path) -> list[Any]:
    """The models in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "sweep"]
    return list(client.search_logged_models([experiment.experiment_id]))


def test_mlflow_has_the_model_of_the_best_trial_alone(job: Job, runs: list[Any]) -> None:
    best = json.loads(sweep(job.root, "status", "pytest-main-job", "--json"))["best"]
    (model,) = [model for model in logged(job.root) if model.tags.get("sweep.study") == "pytest-main-job"]
    (run,) = [run for run in runs if run.data.tags.get("sweep.trial") == str(best["trial"])]
    assert model.source_run_id == run.info.run_id
    assert model.tags["sweep.trial"] == str(best["trial"])
    assert run.info.status == "FINISHED"
    assert run.info.end_time <= model.creation_timestamp
    folder = job.root / "mlruns/studies/pytest-main-job/trials" / str(best["trial"])
    examples = json.loads((folder / "model.example.json").read_text())
    measured = {m.key: m.value for m in model.metrics}
    assert measured["val/log10_rel_error"] == pytest.approx(best["value"])
    assert {m.step for m in model.metrics} == {examples["step"]}


LOADED = """
import json, sys
from pathlib import Path
own = {Path(path).resolve() for path in sys.path if Path(path, "sweep", "__init__.py").exists()}
sys.path[:] = [path for path in sys.path if Path(path).resolve() not in own]
import importlib.util
assert not any(map(importlib.util.find_spec, ("sweep", "models", "data", "conf")))
import keras, mlflow, numpy as np
uri, path, matrices = sys.argv[1], sys.argv[2], np.asarray(json.load(sys.stdin)["inputs"], "float32")
model = mlflow.pyfunc.load_model(uri)
refused = []
for wrong in (matrices[:, :2], matrices[0], matrices[..., None]):
    try:
        model.predict(wrong)
    except mlflow.exceptions.MlflowException as error:
        refused.append("does not match expected shape (-1, 3, 3)" in str(error))
here = model.predict(matrices)
kept = keras.models.load_model(path).predict(matrices, verbose=0)
print(json.dumps([refused, here.tolist(), kept.tolist()]))
"""


def test_the_registered_model_predicts_in_a_new_process_as_well_as_the_trial_did(job: Job, tmp_path: Path) -> None:
    from conf.schema import EvaluationConfig
    from data.evaluation import evaluation_set
    from sweep.metrics import measures

    said = sweep(job.root, "export", "pytest-main-job", "--register", "--register-as", "inverse")
    assert "Registered: inverse version 1, alias candidate" in said
    assert "as it was already" in sweep(job.root, "export", "pytest-main-job", "--register-as", "inverse")
    command = re.search(r"^Use it: (MLFLOW_TRACKING_URI=\S+) (mlflow .*)$", said, re.MULTILINE)
    assert command is not None
    frozen = evaluation_set(EvaluationConfig(size=2000), "validation")
    (tmp_path / "INPUTS.json").write_text(json.dumps({"inputs": frozen.inputs.tolist()}))
    (tmp_path / "example.json").write_text(said.partition("with INPUTS.json such as ")[2])
    assert np.shape(json.loads((tmp_path / "example.json").read_text())["inputs"]) == (1, 3, 3)

    variable, _, uri = command[1].partition("=")
    outside = {**os.environ, variable: uri}
    subprocess.run(
        [sys.executable, "-m", *command[2].split()], cwd=tmp_path, env=outside, check=True, capture_output=True
    )
    predictions = np.asarray(json.loads((tmp_path / "OUTPUTS.json").read_text())["predictions"])
    best = json.loads(sweep(job.root, "status", "pytest-main-job", "--json"))["best"]
    again = measures(frozen.inputs, frozen.truth, predictions)["log10_rel_error"]
    assert again == pytest.approx(best["value"], abs=1e-5), "the network's own error"

    path = job.root / "mlruns/studies/pytest-main-job/trials" / str(best["trial"]) / "model.keras"
    result = subprocess.run(
        [sys.executable, "-c", LOADED, "models:/inverse@candidate", str(path)],
        input=(tmp_path / "INPUTS.json").read_text(),
        cwd=tmp_path,
        env={key: value for key, value in outside.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    refused, here, kept = json.loads(result.stdout.splitlines()[-1])
    assert refused == [True, True, True]
    assert predictions == pytest.approx(np.asarray(here), rel=1e-5, abs=1e-6)
    assert predictions == pytest.approx(np.asarray(kept), rel=1e-5, abs=1e-6)


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
    sweep(job.root, "export", "pytest-main-job", "--pareto", "--register", status=2)
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
