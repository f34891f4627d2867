"""`sweep confirm` and `sweep ablate`, for real, only shorter: trained, killed in the middle, and gone on with."""

import collections
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import optuna
import psutil
import pytest
from omegaconf import OmegaConf

from sweep.cli import commands
from sweep.engine.errors import UserError
from sweep.engine.storage import open_storage
from sweep.engine.study import CONFIGURATION, RETRY_OF

SHORT = ("train.max_steps=40", "train.validate_every=20", "train.batch_size=64", "evaluation.size=1000")
OWN = ",".join(f"'{override}'" for override in ("model.depth=1", "model.width=4", "train.loss=mae", *SHORT[:3]))
STUDY = (
    "-m", "study.name=c", *SHORT, "model.depth=1", "model.width=choice(2,8)", "hydra/sweeper/sampler=grid",
    "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1", "hydra.sweeper.export=null",
    f"+hydra.sweeper.baselines.plain=[{OWN}]",
)  # fmt: skip
CONFIRM = ("confirm", "c", "--top", "2", "--seeds")
ABLATE = ("ablate", "c", "--from", "plain", "--seeds", "2")

pytestmark = pytest.mark.timeout(900)  # of a fixture that trains on a machine which does other things, too


@dataclass
class Job:
    """A study under a root of its own, and what the commands about it have printed."""

    root: Path
    output: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SWEEP_ROOT": str(self.root), "COLUMNS": "120"}

    def sweep(self, *arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "sweep", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, cwd="/", env=self.environment, check=False)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr

    def study(self, name: str) -> optuna.Study:
        return optuna.load_study(study_name=name, storage=open_storage(None, self.root / "mlruns/studies/c"))

    def states(self, name: str) -> dict[str, int]:
        try:
            return collections.Counter(trial.state.name for trial in self.study(name).trials)
        except KeyError:  # it is just being made
            return {}

    def killed_in_the_middle(self, name: str, *arguments: str) -> set[int]:
        """Runs a command, and kills every process of it while a trial runs after some are done; returns the latter."""
        process = subprocess.Popen(
            [sys.executable, "-m", "sweep", *arguments],
            cwd="/",
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 600
        while not ((seen := self.states(name)).get("COMPLETE", 0) >= 2 and seen.get("RUNNING")):
            assert process.poll() is None, "it has ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for each in everyone:
            each.send_signal(signal.SIGKILL)
        process.wait()
        psutil.wait_procs(everyone, timeout=10)
        return {trial.number for trial in self.study(name).trials if trial.state.name == "COMPLETE"}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    job = Job(tmp_path_factory.mktemp("root"))
    job.output = job.sweep("run", *STUDY)
    return job


def trainings(study: optuna.Study) -> dict[tuple[str, int], list[int]]:
    """The complete trials of every configuration and seed."""
    found: dict[tuple[str, int], list[int]] = {}
    for trial in study.trials:
        if trial.state.name == "COMPLETE":
            first = study.trials[trial.user_attrs.get(RETRY_OF, trial.number)]
            asked = first.user_attrs[CONFIGURATION]
            found.setdefault((asked["identity"], asked["seed"]), []).append(trial.number)
    return found


def metrics(study: optuna.Study) -> list[dict[str, float]]:
    return [trial.user_attrs["metrics"] for trial in study.trials if trial.state.name == "COMPLETE"]


@pytest.fixture(scope="module")
def confirmed(job: Job) -> str:
    """The output of `sweep confirm`, after it was killed in the middle and is asked for one seed more."""
    done = job.killed_in_the_middle("c.confirm", *CONFIRM, "2")
    output = job.sweep(*CONFIRM, "3")
    study = job.study("c.confirm")
    assert set(job.states("c.confirm")) <= {"COMPLETE", "FAIL"}
    assert done <= {trial.number for trial in study.trials if trial.state.name == "COMPLETE"}
    # A trial that had ended, but was not told yet, when everything was killed, is none of them.
    assert {t.user_attrs["reason"] for t in study.trials if t.state.name == "FAIL"} <= {"orphan: its agent is gone"}
    found = trainings(study)
    assert len(found) == 3 * 3, "two configurations and a baseline, three seeds each"
    assert all(len(numbers) == 1 for numbers in found.values()), "nothing that was done is run again"
    return output


def test_it_says_what_there_is_to_do_and_ends_with_means_and_a_verdict(confirmed: str) -> None:
    assert "3 configurations with 3 seeds each: 9 trainings, of which " in confirmed
    assert "c: test/log10_rel_error of 3 trainings each, on the test set" in confirmed
    assert "hampion: " in confirmed
    assert "Without a network: zero skill" in confirmed
    assert "Traceback" not in confirmed


def test_seeds_are_new_and_the_same_for_all(job: Job, confirmed: str) -> None:
    by_configuration = collections.defaultdict(set)
    for identity, seed in trainings(job.study("c.confirm")):
        by_configuration[identity].add(seed)
    (seeds,) = {frozenset(seeds) for seeds in by_configuration.values()}
    used = {trial.user_attrs["seed"] for name in ("c", "c.baselines") for trial in job.study(name).trials}
    assert not seeds & used


def test_the_test_set_is_for_confirm_alone(job: Job, confirmed: str) -> None:
    for name in ("c", "c.baselines"):
        assert not [key for each in metrics(job.study(name)) for key in each if key.startswith("test/")]
    for trial in job.study("c.confirm").trials:
        if trial.state.name == "COMPLETE":
            assert trial.value == trial.user_attrs["metrics"]["test/log10_rel_error"]
            assert trial.value != trial.user_attrs["metrics"]["best/log10_rel_error"]
            assert trial.user_attrs["facts"]["test_digest"] != trial.user_attrs["facts"]["evaluation_digest"]


def test_a_value_is_that_of_the_saved_network_on_the_test_set(job: Job, confirmed: str) -> None:
    import keras

    from conf.schema import EvaluationConfig
    from data.evaluation import evaluation_set
    from sweep.metrics import measures

    trial = next(t for t in job.study("c.confirm").trials if t.state.name == "COMPLETE")
    model = keras.models.load_model(Path(trial.user_attrs["output_dir"], "model.keras"))
    frozen = evaluation_set(EvaluationConfig(size=1000), "test")
    found = measures(frozen.inputs, frozen.truth, model.predict(frozen.inputs, verbose=0))
    assert found["log10_rel_error"] == pytest.approx(trial.value, abs=1e-5)


def test_the_result_is_with_the_study_in_its_folder_and_on_its_page(job: Job, confirmed: str) -> None:
    from mlflow import MlflowClient

    known = job.study("c").user_attrs["confirmed"]
    assert known.pop("when")
    assert known["looks"] == [3], "the first one was killed before it had looked at anything"
    folder = job.root / "mlruns/studies/c/confirm"
    assert json.loads((folder / "confirm.json").read_text()) == known
    assert {row["name"] for row in known["candidates"]} == {"trial 0", "trial 1", "plain"}
    assert all(row["low"] < row["mean"] < row["high"] and row["score"] for row in known["candidates"])
    client = MlflowClient(f"sqlite:///{job.root}/mlruns/mlflow.db")
    (experiment,) = [each for each in client.search_experiments() if each.name == "sweep"]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.data.tags["sweep.kind"] == "study"]
    assert parent.info.status == "FINISHED"
    assert "## Confirmed" in parent.data.tags["mlflow.note.content"]
    assert parent.data.metrics["test/log10_rel_error"] == known["candidates"][0]["mean"]
    assert parent.data.metrics["confirmed/low"] == known["candidates"][0]["low"]
    assert "confirm/confirm.csv" in {file.path for file in client.list_artifacts(parent.info.run_id, "confirm")}
    children = [run for run in runs if run.data.tags["sweep.study"] == "c.confirm"]
    assert len(children) == len(job.study("c.confirm").trials)
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in children} <= {"FINISHED", "KILLED"}
    finished = [run for run in children if run.info.status == "FINISHED"]
    assert {run.data.tags["sweep.configuration"] for run in finished} == {"trial 0", "trial 1", "plain"}
    commits = {run.data.tags.get("mlflow.source.git.commit") for run in [parent, *finished]}
    assert len(commits) == 1
    assert None not in commits
    note = finished[0].data.tags["mlflow.note.content"]
    assert f"It is trained and judged by:\n\n```\nsweep --root {job.root} confirm c\n```" in note
    assert "sweep run" not in note, "which is not judged on the test set"
    assert all("test/log10_rel_error" in run.data.metrics for run in finished)


def test_what_was_forced_is_said_to_be_and_has_no_champion(job: Job, confirmed: str) -> None:
    study = job.study("c")
    kept = study.user_attrs["confirmed"]
    study.set_user_attr("not_comparable", "it was forced")
    try:
        output = job.sweep(*CONFIRM, "3")
        known = job.study("c").user_attrs["confirmed"]
    finally:
        study.set_user_attr("not_comparable", None)
        study.set_user_attr("confirmed", kept)
    assert "No champion: the study's trials cannot be compared: it was forced." in " ".join(output.split())
    assert (known["champion"], known["not_comparable"]) == (None, "it was forced")


def test_status_shows_it(job: Job, confirmed: str) -> None:
    seen = json.loads(job.sweep("status", "c.confirm", "--json"))
    assert (seen["name"], seen["counts"]["COMPLETE"]) == ("c.confirm", 9)
    assert [each["name"] for each in json.loads(job.sweep("status", "--json"))] == ["c"], "it is beside its study"


def test_an_ablation_that_was_killed_goes_on(job: Job) -> None:
    done = job.killed_in_the_middle("c.ablate", *ABLATE)
    output = job.sweep(*ABLATE)
    study = job.study("c.ablate")
    assert (
        "2 changes, of which 2 trials tell the order; 3 configurations with 2 seeds each: about 8 trainings" in output
    )
    assert done <= {trial.number for trial in study.trials if trial.state.name == "COMPLETE"}
    found = trainings(study)
    assert len(found) == 2 + 3 * 2
    assert all(len(numbers) == 1 for numbers in found.values()), "nothing that was done is run again"
    assert not [key for each in metrics(study) for key in each if key.startswith("test/")]
    folder = job.root / "mlruns/studies/c/ablate"
    rows = json.loads((folder / "from-plain.json").read_text())["rows"]
    assert rows[0]["change"] == "plain"
    assert {row["change"].partition(":")[0] for row in rows[1:]} == {"width", "loss"}
    assert (folder / "from-plain.png").exists()
    assert "loss: mae → mse" in output
    assert "width: 4 → " in output
    assert job.study("c").user_attrs["ablated"]["plain"]["rows"] == rows
    folders = [trial.user_attrs["output_dir"] for trial in study.trials if trial.state.name == "COMPLETE"]
    ran = [OmegaConf.load(Path(folder, ".hydra/config.yaml")) for folder in folders]
    assert {config.evaluation.size for config in ran} == {1000}
    end = "mse", job.study("c").best_params["model.width"]
    assert [(config.train.loss, config.model.width) for config in ran].count(end) == 2, "the best, with both seeds"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("confirm", "d"), "STUDY: got 'd'"),
        (("confirm", "c.baselines"), "a study of `sweep run`, and none of those beside it"),
        (("confirm", "c", "--seeds", "1"), "--seeds"),
        (("confirm", "c", "--top", "0"), "--top"),
        (("confirm", "c", "train.max_steps=10"), "OVERRIDES: got 'train.max_steps=10'"),
        (("confirm", "c", "hydra.sweeper.direction=maximize"), "OVERRIDES: got 'hydra.sweeper.direction=maximize'"),
        (
            ("ablate", "c", "--from", "nothing"),
            "allowed is an experiment, or a baseline of the study: one of answer, plain, ",
        ),
        (("ablate", "c", "--from", "question_determinant"), "which cannot be judged as the study is"),
        (("ablate", "c"), "--from"),
    ],
)
def test_what_is_wrong_is_one_message(
    job: Job, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, logs: None
) -> None:
    monkeypatch.setenv("SWEEP_ROOT", str(job.root))
    with pytest.raises((UserError, click.ClickException)) as caught:
        commands(["--root", str(job.root), *arguments], standalone_mode=False)
    error = caught.value
    assert said in (error.format_message() if isinstance(error, click.ClickException) else str(error))


def test_a_study_that_has_changed_is_not_confirmed_as_something_else(job: Job, confirmed: str) -> None:
    folders = [Path(trial.user_attrs["output_dir"]) for trial in job.study("c").trials]
    recorded = [folder / ".hydra/config.yaml" for folder in folders]
    kept = [path.read_text() for path in recorded]
    try:
        for path, text in zip(recorded, kept, strict=True):
            path.write_text(text.replace("loss: mse", "loss: huber"))
        output = job.sweep("confirm", "c", status=2)
    finally:
        for path, text in zip(recorded, kept, strict=True):
            path.write_text(text)
    assert "train.loss: huber -> mse" in output


def test_delete_takes_all_of_it(job: Job, confirmed: str) -> None:
    output = job.sweep("delete", "c", "--yes")
    assert "study c.confirm" in output
    assert not (job.root / "mlruns/studies/c").exists()
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{job.root}/mlruns/mlflow.db")
    found: Any = [each for each in client.search_experiments() if each.name == "sweep"]
    assert client.search_runs([found[0].experiment_id]) == []
