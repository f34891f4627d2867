"""What the pages of a study and of its trials show in MLflow, read back from a real study of another application."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from application import PROGRAM, Application

from sweep.engine.storage import open_storage

TASK = """
    import logging
    logging.getLogger("fit").warning("begins with x=%s", cfg.x)
    current_trial().use_dataset("numbers", f"digest-{cfg.n}", "training", samples="endless", seed=7)
"""
FIT = PROGRAM.replace("def main(cfg):\n", f"def main(cfg):\n{TASK}")
ME = ("-c", "user.name=me", "-c", "user.email=me@example.org")
STUDY = ("hydra.sweeper.n_trials=6", "x=tag(log,interval(0.1,10))", "n=choice(1,2)", "fault=raise")
TRACKED = "hydra.sweeper.tracking.uri=sqlite:///mlruns/mlflow.db"


def client(folder: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")


def runs(folder: Path) -> tuple[Any, dict[int, Any]]:
    """The run of the study, and those of its trials by number."""
    api = client(folder)
    found = api.search_runs([experiment.experiment_id for experiment in api.search_experiments()])
    (parent,) = (run for run in found if run.data.tags["sweep.kind"] == "study")
    trials = {int(r.data.tags["sweep.trial"]): r for r in found if r.data.tags["sweep.kind"] == "trial"}
    assert {trial.data.tags["mlflow.parentRunId"] for trial in trials.values()} == {parent.info.run_id}
    return parent, trials


def read(folder: Path, run: Any, path: str) -> str:
    return Path(client(folder).download_artifacts(run.info.run_id, path)).read_text()


def files(folder: Path, run: Any, inside: str) -> set[str]:
    return {file.path for file in client(folder).list_artifacts(run.info.run_id, inside)}


def command(run: Any) -> str:
    """The first command that a run's description has."""
    note = run.data.tags["mlflow.note.content"]
    return str(re.search(r"```\n(.*?)\n```", note, re.DOTALL)[1])  # type: ignore[index]


def typed(folder: Path, text: str) -> str:
    """Runs a command as it would be typed in a shell, in the environment that this runs in."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = ["sh", "-c", text]
    done = subprocess.run(
        shell, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@dataclass
class Study:
    folder: Path
    study: optuna.Study
    parent: Any
    trials: dict[int, Any]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that has ended, of a program whose checkout has changed since its last commit."""
    folder = tmp_path_factory.mktemp("done")
    program = Application(folder, FIT)
    for words in (["init"], ["add", "application.py"], ["commit", "-m", "first"]):
        subprocess.run(["git", *ME, *words], cwd=folder, check=True, capture_output=True)
    with (folder / "application.py").open("a") as file:
        file.write("# changed since\n")
    (folder / "notes.txt").write_text("not tracked")
    program.run(*STUDY, TRACKED)
    return Study(folder, program.study, *runs(folder))


def test_a_trials_page_has_params_inputs_logs_what_it_took_and_how_to_do_it_again(done: Study) -> None:
    assert len(done.trials) == 6
    for number, run in done.trials.items():
        trial = done.study.trials[number]
        assert float(run.data.params["log10_x"]) == pytest.approx(math.log10(trial.params["x"]), abs=1e-6)
        (used,) = run.inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("numbers", f"digest-{trial.params['n']}")
        assert json.loads(used.dataset.profile) == {"samples": "endless", "seed": 7}
        assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} < set(run.data.metrics)
        assert {"system/trial_memory_usage_megabytes", "cost/seconds", "cost/cpu_seconds"} < set(run.data.metrics)
        assert run.data.metrics["cost/seconds"] < 60
        assert files(done.folder, run, "logs") >= {"logs/application.log"}
        assert f"begins with x={trial.params['x']}" in read(done.folder, run, "logs/application.log")
        assert files(done.folder, run, "config") == {f"config/{name}.yaml" for name in ("config", "hydra", "overrides")}
        note = run.data.tags["mlflow.note.content"]
        assert f"**Trial {number} of study s**" in note
        assert f"| x | {trial.params['x']:.6g} |" in note
        assert run.data.tags["mlflow.source.git.commit"] == done.parent.data.tags["mlflow.source.git.commit"]


def test_a_trial_that_failed_says_why_wherever_one_looks(done: Study) -> None:
    failed = next(run for run in done.trials.values() if run.info.status == "FAILED")
    assert "failed: exception: ValueError: no such width" in failed.data.tags["mlflow.note.content"]
    for file in ("traceback.txt", "logs/console.log"):
        assert read(done.folder, failed, file).endswith("ValueError: no such width\n")


def test_the_command_on_a_trials_page_runs_it_again(done: Study) -> None:
    complete = next(run for run in done.trials.values() if run.info.status == "FINISHED")
    trial = done.study.trials[int(complete.data.tags["sweep.trial"])]
    assert f"objective = **{trial.value:.6g}**" in complete.data.tags["mlflow.note.content"]
    output = typed(done.folder, command(complete))
    assert f"begins with x={trial.params['x']}" in output
    assert "printed by the task" in output


def test_the_studys_page_has_its_search_environment_and_source(done: Study) -> None:
    parent, params = done.parent, done.parent.data.params
    assert params["space/x"] == "tag(log,interval(0.1,10))"
    assert (params["direction"], params["sampler"], params["sampler/n_startup_trials"]) == (
        "minimize",
        "TPESampler",
        "10",
    )
    assert (params["timeout"], params["seed"], params["max_failure_rate"]) == ("null", "1", "0.5")
    told = json.loads(read(done.folder, parent, "environment/environment.json"))
    assert told["packages"]["optuna"] == optuna.__version__
    assert (told["slots"], len(told["threads_per_slot"])) == (2, 2)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=done.folder, capture_output=True, text=True, check=True)
    assert told["git"]["commit"] == parent.data.tags["mlflow.source.git.commit"] == head.stdout.strip()
    assert told["git"]["changed"] is True
    assert "notes.txt" in told["git"]["untracked"]
    assert "+# changed since" in read(done.folder, parent, "environment/changes.patch")
    assert "fault: raise" in read(done.folder, parent, "config/config.yaml")
    assert "- fault=raise" in read(done.folder, parent, "config/overrides.yaml")
    tags = parent.data.tags
    assert (tags["sweep.study"], tags["sweep.state"], tags["sweep.version"]) == ("s", "finished", "0.1.0")


def test_the_studys_page_has_every_trial_in_a_table_and_the_best_in_its_description(done: Study) -> None:
    rows = list(csv.DictReader(read(done.folder, done.parent, "leaderboard.csv").splitlines()))
    assert {int(row["number"]) for row in rows} == set(range(6))
    for row in rows:
        trial, run = done.study.trials[int(row["number"])], done.trials[int(row["number"])]
        assert (row["state"], row["run_id"]) == (trial.state.name, run.info.run_id)
        assert float(row["params.x"]) == trial.params["x"]
        assert row["values.objective"] == ("" if trial.value is None else repr(trial.value))
    note = done.parent.data.tags["mlflow.note.content"]
    best = done.study.best_trial
    assert note.startswith("**6 of 6 trials are done**")
    assert f"Best: **{best.value:.6g}**, trial {best.number}." in note
    assert f"| 1 | {best.number} | {best.value:.4g} |" in note
    assert "| x | tag(log,interval(0.1,10)) |" in note
    assert "seconds: 0.0" in note


def test_the_command_on_a_studys_page_resumes_it_though_its_name_and_folder_are_those_of_a_time(tmp_path: Path) -> None:
    Application(tmp_path)
    words = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=6", "x=interval(0, 1)", "seconds=0.5", TRACKED]
    with subprocess.Popen(
        [sys.executable, "application.py", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        deadline = time.monotonic() + 100
        while not list(tmp_path.glob("multirun/*/*/1/console.log")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    parent, trials = runs(tmp_path)
    assert parent.data.tags["sweep.state"] == "interrupted"
    assert 0 < len(trials) < 6
    assert f"of 6 trials are done** ({len(trials)} complete" in parent.data.tags["mlflow.note.content"]

    typed(tmp_path, command(parent))
    again, all_trials = runs(tmp_path)
    assert again.info.run_id == parent.info.run_id
    assert again.data.tags["sweep.state"] == "finished"
    assert {n: r.info.run_id for n, r in all_trials.items() if n in trials} == {
        n: r.info.run_id for n, r in trials.items()
    }
    assert len(all_trials) == 6
    (home,) = {path.parent for path in tmp_path.glob("multirun/*/*/study.journal")}
    (summary,) = open_storage(None, home).get_all_studies()
    assert summary.study_name == parent.data.tags["sweep.study"]
