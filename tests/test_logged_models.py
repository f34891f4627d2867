"""Models in MLflow: which of a study's are there, what they are, and what becomes of them when something breaks."""

import contextlib
import json
import logging
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import psutil
import pytest
from application import Application
from optuna.trial import create_trial
from tracking_server import TrackingServer

from sweep.engine.errors import UserError
from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.parent import PARENT
from sweep.engine.storage import open_storage, remember
from sweep.engine.trial import Trial
from sweep.paths import Paths
from sweep.results import delete as deletes
from sweep.results.catalogue import find
from sweep.results.champion import uncrown
from sweep.results.models import POLICY, ModelLogger, catch_up, study_models, wanted
from sweep.results.register import check_model, register_trial
from sweep.results.sync import sync
from sweep.tracking.registry import CHAMPION, register
from sweep.tracking.runs import study_run
from sweep.tracking.store import Store, client, open_store

pytestmark = pytest.mark.timeout(600)
"""A process that loads Keras and MLflow takes 8 s of processor time, which a busy machine may not have for minutes."""

EXAMPLE = np.random.default_rng(0).uniform(-2, 2, (3, 2, 2)).astype(np.float32)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a model that inverts 2×2 matrices, with its example beside it."""
    matrix = keras.Input((2, 2))
    determinant = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
    entries = [matrix[:, 1, 1], -matrix[:, 0, 1], -matrix[:, 1, 0], matrix[:, 0, 0]]
    inverse = keras.ops.reshape(keras.ops.stack(entries, -1) / determinant[:, None], (-1, 2, 2))
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    keras.Model(matrix, inverse).save(path)
    offers: list[tuple[str, dict[str, Any]]] = []
    Trial(0, lambda kind, payload: bool(offers.append((kind, payload)))).offer_model(path, EXAMPLE, step=20)
    assert offers == [("model", {"path": str(path)})]
    return path


class Planted:
    """A study in a folder of its own whose trials have ended, each with its run and a model."""

    def __init__(self, root: Path, saved: Path, store: Store, directions: tuple[str, ...] = ("minimize",)) -> None:
        self.saved, self.store, self.paths = saved, store, Paths(root)
        self.home = self.paths.study("planted")
        storage = open_storage(None, self.home)
        self.study = create_or_resume(storage, "planted", Identity({}, {}, {}, directions), 0)  # type: ignore[arg-type]
        remember(self.home, None)
        self.study.set_user_attr("tracking_uri", store.uri)
        self.parent = study_run(store, "planted", self.study.user_attrs["id"], {})
        known = {"experiment": [store.experiment, store.experiment_id], "run_id": self.parent.run_id}
        self.study.set_user_attr(PARENT, known)

    def add(self, *values: float, model: bool = True, state: str = "COMPLETE") -> int:
        """Adds a trial; returns its number."""
        number = len(self.study.trials)
        folder = self.home / "trials" / str(number)
        folder.mkdir(parents=True)
        attributes = {"output_dir": str(folder), "facts": {"evaluation_digest": "abc"}}
        if model:
            for file in (self.saved, self.saved.with_suffix(".example.json")):
                shutil.copy(file, folder)
            attributes["model"] = str(folder / "model.keras")
        tracker = self.parent.tracker(self.home)
        tracker.begin(number, f"planted {number}", {"x": "1"}, folder=folder)
        for step in (10, 20, 30):
            tracker.write(number, "metrics", {"values": {"val/rmse": values[0] + step}, "step": step})
        tracker.end(number, state, value=values)
        assert tracker.close() == 0
        ended = create_trial(
            values=values if state == "COMPLETE" else None,
            state=optuna.trial.TrialState[state],
            user_attrs=attributes,
        )
        self.study.add_trial(ended)
        return number

    def logger(self, policy: str = "best") -> ModelLogger:
        return ModelLogger(self.study, study_models(self.study), policy, self.home)

    def logged(self) -> dict[int, Any]:
        """MLflow's models of the study by trial, of which each has at most one, complete."""
        found = client(self.store.uri).search_logged_models([self.store.experiment_id])
        own = [model for model in found if model.tags["sweep.study_id"] == self.study.user_attrs["id"]]
        assert {str(model.status) for model in own} <= {"READY"}
        models = {int(model.tags["sweep.trial"]): model for model in own}
        assert len(models) == len(own)
        return models

    def run(self, number: int) -> Any:
        text = f"tags.`sweep.study_id` = '{self.study.user_attrs['id']}' and tags.`sweep.trial` = '{number}'"
        (run,) = client(self.store.uri).search_runs([self.store.experiment_id], text)
        return run


@pytest.fixture
def store(open_experiment: Callable[[str], Store], request: pytest.FixtureRequest) -> Store:
    return open_experiment(request.node.name)


@pytest.fixture
def planted(tmp_path: Path, saved: Path, store: Store) -> Planted:
    return Planted(tmp_path, saved, store)


def files(folder: str | Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


def test_only_the_leaders_model_is_there_and_its_run_is_as_it_was(planted: Planted) -> None:
    first, _worse = planted.add(2.0), planted.add(3.0)
    before = planted.run(first)
    assert planted.logger().finish()
    (model,) = planted.logged().values()
    assert model.source_run_id == before.info.run_id
    assert model.name == "planted-0"
    assert model.params == {"x": "1"}
    assert {(m.key, m.value, m.step) for m in model.metrics} == {("val/rmse", 22.0, 20)}, "those of its step"

    after = planted.run(first)
    assert after.info.to_proto() == before.info.to_proto(), "status, times and all"
    assert (after.data.params, after.data.metrics) == (before.data.params, before.data.metrics)
    assert [output.model_id for output in after.outputs.model_outputs] == [model.model_id]

    there = files(model.artifact_location)
    assert {"MLmodel", "requirements.txt", "input_example.json", "serving_input_example.json"} <= there
    pinned = Path(model.artifact_location, "requirements.txt").read_text().split()
    assert f"keras=={keras.__version__}" in pinned
    assert f"numpy=={np.__version__}" in pinned
    assert all("==" in line for line in pinned)
    assert json.loads(Path(model.artifact_location, "input_example.json").read_text()) == EXAMPLE.tolist()
    assert '"shape": [-1, 2, 2]' in Path(model.artifact_location, "MLmodel").read_text().replace("\n    ", " ")
    assert not (planted.home / "models.tmp").exists()

    leader = planted.add(1.0)
    (planted.home / "trials" / str(leader) / "model.keras").unlink()
    assert not planted.logger().finish()
    assert set(planted.logged()) == {first}, "nothing is there in its place"
    planted.add(0.5)
    assert planted.logger().finish()
    assert set(planted.logged()) == {3}
    assert not Path(model.artifact_location).parent.exists()


def test_a_process_that_dies_is_said_and_what_it_left_is_logged_at_the_end(
    planted: Planted, caplog: pytest.LogCaptureFixture
) -> None:
    planted.add(1.0)
    logger = planted.logger()
    logger.look()
    logger.look()
    child = None
    while child is None or child.nice() == psutil.Process().nice():  # until its program has begun
        time.sleep(0.01)
        found = [each for each in psutil.Process().children() if "sweep.tracking.log_model" in each.cmdline()]
        child = found[0] if found else None
    child.kill()
    assert logger.finish()
    assert set(planted.logged()) == {0}
    assert "The model of trial 0 cannot be logged: its process ended with status -9" in caplog.text


def test_which_models_are_wanted(study: optuna.Study) -> None:
    for number, value in enumerate((2.0, 1.0, 3.0)):
        study.add_trial(create_trial(value=value, user_attrs={"model": f"{number}.keras"}))
    study.add_trial(create_trial(value=0.1))
    study.add_trial(create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={"model": "4.keras"}))
    assert wanted(study, "none") == {}
    assert wanted(study, "all") == {0: "0.keras", 1: "1.keras", 2: "2.keras"}
    assert wanted(study, "best") == {}, "the leader has none"
    study.add_trial(create_trial(value=0.05, user_attrs={"model": "5.keras"}))
    assert wanted(study, "best") == {5: "5.keras"}

    several = optuna.create_study(directions=["minimize", "maximize"])
    for number, values in enumerate(((1.0, 1.0), (2.0, 2.0), (2.0, 1.5))):
        several.add_trial(create_trial(values=values, user_attrs={"model": f"{number}.keras"}))
    assert set(wanted(several, "best")) == {0, 1}


def test_what_is_registered_stays_when_it_is_overtaken_and_when_its_study_is_deleted(
    planted: Planted, caplog: pytest.LogCaptureFixture
) -> None:
    planted.add(3.0)
    planted.add(2.0)
    planted.add(1.0)
    broken = planted.add(1.5)
    (planted.home / "trials" / str(broken) / "model.keras").write_text("no model")
    assert planted.logger("none").finish()
    assert planted.logged() == {}
    assert not planted.logger("all").finish()
    assert set(planted.logged()) == {0, 1, 2}
    assert "The model of trial 3 cannot be logged: ValueError: File not found" in caplog.text

    made = register_trial(planted.study, planted.study.trials[0], planted.home)
    assert (made.name, made.number, made.alias, made.new) == ("planted", "1", "candidate", True)
    again = register_trial(planted.study, planted.study.trials[0], planted.home)
    assert (again.number, again.new) == ("1", False)
    planted.study.set_user_attr("not_comparable", "the scale moves")
    other = register_trial(planted.study, planted.study.trials[0], planted.home, "mine.too")
    assert (other.name, other.number) == ("mine.too", "1")
    version = client(planted.store.uri).get_model_version("mine.too", "1")
    assert (version.tags["sweep.comparable"], version.tags["sweep.not_comparable"]) == ("false", "the scale moves")
    assert version.description.endswith("Not comparable: the scale moves")
    register(planted.store.uri, planted.logged()[1].model_id, "planted", CHAMPION)
    api = client(planted.store.uri)
    assert api.get_registered_model("planted").aliases == {"candidate": 1, "champion": 2}
    assert uncrown(planted.study, "planted") == (
        "planted version 2 has no longer the alias champion, which it had from before"
    )
    assert api.get_registered_model("planted").aliases == {"candidate": 1}
    assert uncrown(planted.study, "planted") is None
    assert uncrown(planted.study, "nobody") is None
    version = api.get_model_version_by_alias("planted", "candidate")
    assert version.run_id == planted.run(0).info.run_id
    assert version.tags["sweep.study"] == "planted"
    assert (version.tags["sweep.trial"], version.tags["objective"]) == ("0", "3.0")
    assert version.tags["evaluation_digest"] == "abc"
    assert version.description.startswith("Trial 0 of study planted: objective = 3")

    planted.study.set_user_attr(POLICY, "best")
    assert catch_up(planted.study, planted.home)
    models = planted.logged()
    assert set(models) == {0, 1, 2}
    found = deletes.look(find(planted.paths, "planted"))
    assert "1 models in sqlite" in found.describe()
    for name in ("planted version 1", "planted version 2", "mine.too version 1"):
        assert f"but not {name}, which is registered in MLflow, and stays" in found.describe()
    deletes.delete(found)
    left = client(planted.store.uri).search_logged_models([planted.store.experiment_id])
    assert {model.model_id for model in left} == {models[0].model_id, models[1].model_id}
    for number, model in models.items():
        assert Path(model.artifact_location).exists() == (number != 2)
    assert Path(api.get_model_version_download_uri("planted", "1"), "MLmodel").exists()


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b", "", " ", ".", ".."])
def test_a_name_that_no_registered_model_can_have_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UserError, match="register-as"):
        register(store.uri, "m-1", name, "candidate")


def test_what_cannot_be_registered_is_said(planted: Planted, tmp_path: Path) -> None:
    planted.add(1.0, model=False)
    planted.add(2.0, state="PRUNED")
    planted.add(3.0)
    trials = planted.study.trials
    for number in (0, 1):
        with pytest.raises(UserError, match=f"trial {number}, .*which has no model"):
            check_model(planted.study, trials[number])
    Path(trials[2].user_attrs["model"]).unlink()
    with pytest.raises(UserError, match=r"trial 2, whose model was not logged \(.*model.keras is gone"):
        register_trial(planted.study, trials[2], planted.home)
    planted.study.set_user_attr("tracking_uri", "sqlite:////dev/null")
    with pytest.raises(UserError, match=r"tracking\.uri: got sqlite:////dev/null"):
        register_trial(planted.study, trials[2], planted.home)
    planted.study.set_user_attr("tracking_uri", None)
    with pytest.raises(UserError, match="not tracked"):
        check_model(planted.study, trials[2])


def test_a_server_that_goes_away_and_comes_back(
    tmp_path: Path, saved: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TrackingServer(tmp_path / "server")
    uri = server.uri
    with server:
        planted = Planted(tmp_path, saved, open_store(uri, "sweep", tmp_path))
        planted.add(2.0)
        assert planted.logger().finish()
        planted.add(1.0)
    secret = uri.replace("http://", "http://me:secret@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", secret)
    planted.study.set_user_attr("tracking_uri", uri.replace("http://", "http://me@"))
    planted.study.set_user_attr(POLICY, "best")
    assert not catch_up(planted.study, planted.home)
    (said,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert said.startswith("MLflow has not got the model of trial 1 (")
    assert "secret" not in said
    with pytest.raises(UserError) as raised:
        register_trial(planted.study, planted.study.trials[1], planted.home)
    assert "secret" not in str(raised.value)

    with server:
        assert register_trial(planted.study, planted.study.trials[1], planted.home).new
        assert set(planted.logged()) == {0, 1}
        assert list(sync(planted.paths, "planted")) == [
            "Study planted: nothing waits, and its runs are as they should be."
        ]
        (model,) = planted.logged().values()
        assert model.tags["sweep.trial"] == "1"
        assert len(list((tmp_path / "server/artifacts").rglob("MLmodel"))) == 1, "the overtaken one's files are gone"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert predict("models:/planted@candidate", EXAMPLE) == pytest.approx(np.linalg.inv(EXAMPLE), rel=1e-4)
        assert "which is registered" in deletes.look(find(planted.paths, "planted")).describe()
    assert "secret" not in (planted.home / "models.log").read_text()


PROGRAM = """
import os, shutil
from dataclasses import dataclass
import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from sweep import current_trial

@dataclass
class Config:
    x: float = 0.0

ConfigStore.instance().store(name="config", node=Config)

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg):
    path = os.path.join(HydraConfig.get().runtime.output_dir, "model.keras")
    shutil.copy("SAVED", path)
    current_trial().offer_model(path, [[[1.0, 0.5], [0.0, 1.0]]])
    return cfg.x

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def program(tmp_path: Path, saved: Path) -> Iterator[Application]:
    started = Application(tmp_path, PROGRAM.replace("SAVED", str(saved)))
    yield started
    started.check_nothing_left()


def statuses(folder: Path) -> list[int]:
    """MLflow's status of every model in a database: 1 is of one that is being logged."""
    if not (folder / "mlflow.db").exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True, timeout=30)) as database:
        return [status for (status,) in database.execute("select status from logged_models")]


COMMAND = ("hydra.sweeper.tracking.uri=sqlite:///mlflow.db", "hydra.sweeper.n_trials=2", "x=interval(0,1)")


def test_ctrl_c_does_not_wait_for_a_model(program: Application) -> None:
    process = program.start(*COMMAND)
    said = ""
    assert process.stdout is not None
    while "being given the model" not in said:
        said = process.stdout.readline()
        assert said, "it ended before"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    program.check_nothing_left()


def test_ctrl_c_twice_while_the_model_of_a_baseline_is_logged_interrupts_the_study(program: Application) -> None:
    process = program.start(
        *COMMAND, "+hydra.sweeper.baselines={there:['x=0.5']}", "hydra.sweeper.tracking.log_model=all"
    )
    said = ""
    assert process.stdout is not None
    while "being given the model" not in said:
        said = process.stdout.readline()
        assert said, "it ended before"
    process.send_signal(signal.SIGINT)
    while "press Ctrl-C again" not in said:
        said = process.stdout.readline()
        assert said, "it ended before"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    program.check_nothing_left()
    with contextlib.closing(sqlite3.connect(program.folder / "mlflow.db")) as database:
        found = dict(
            database.execute(
                "select tags.value, status from runs join tags using (run_uuid) where tags.key = 'sweep.kind'"
            )
        )
    assert found == {"trial": "FINISHED", "study": "KILLED"}, "no trial of the study itself has begun"


def test_a_kill_ends_the_process_that_logs_and_a_new_leader_takes_the_place_of_the_old(program: Application) -> None:
    killed = program.start(*COMMAND)
    deadline = time.monotonic() + 300
    while 1 not in statuses(program.folder):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    program.check_nothing_left()
    assert 1 in statuses(program.folder), "what the kill left"

    program.run(*COMMAND)
    assert statuses(program.folder) == [2]
    (model,) = (program.folder / "mlruns/artifacts/1/models").iterdir()
    assert (model / "artifacts/MLmodel").exists()
    assert not (program.folder / "out/models.tmp").exists()
    best = program.study.best_trial.number
    assert f"/{best}/model.keras: {model.name}" in (program.folder / "out/models.log").read_text()

    program.run(*COMMAND, "hydra.sweeper.n_trials=3", "hydra.sweeper.enqueue=[{x: 0.0}]")
    assert statuses(program.folder) == [2], "the third trial leads"
    (other,) = (program.folder / "mlruns/artifacts/1/models").iterdir()
    assert f"/2/model.keras: {other.name}" in (program.folder / "out/models.log").read_text()


def predict(uri: str, matrices: Any, status: int = 0) -> Any:
    """What `mlflow models predict` says in a process of its own."""
    command = ["mlflow", "models", "predict", "-m", uri, "-t", "json", "--env-manager", "local"]
    result = subprocess.run(
        [sys.executable, "-m", *command],
        input=json.dumps({"inputs": np.asarray(matrices).tolist()}),
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert result.returncode == status, result.stderr
    return np.asarray(json.loads(result.stdout[result.stdout.index("{") :])["predictions"]) if not status else result
