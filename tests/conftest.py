import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import hydra
import optuna
import pytest
from application import Application
from omegaconf import DictConfig
from tracking_server import free_port

import conf.schema  # noqa: F401 - makes the schemas known to Hydra
from sweep.engine.storage import open_storage
from sweep.tracking.store import Store, open_store


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DictConfig]:
    """Composes this project's configuration with overrides; everything it leaves behind goes to `tmp_path`."""
    monkeypatch.setenv("SWEEP_ROOT", str(tmp_path))

    def composed(*overrides: str) -> DictConfig:
        with hydra.initialize_config_module("conf", version_base="1.3"):
            return hydra.compose("config", overrides=["study.name=test", *overrides])

    return composed


@pytest.fixture(scope="session")
def open_experiment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Store]:
    """Opens an experiment of a given name in one MLflow database, which takes seconds to make."""
    folder = tmp_path_factory.mktemp("mlflow")
    return lambda name: open_store(f"sqlite:///{folder}/mlflow.db", name, folder / "artifacts")


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    """An empty study in a journal."""
    return optuna.create_study(study_name="planted", storage=open_storage(None, tmp_path / "study"))


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    program = Application(tmp_path)
    yield program
    program.check_nothing_left()


@pytest.fixture
def logs() -> Iterator[None]:
    """Gives the logs back, which Hydra configures for a command that is the only one of its process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def unused_port() -> int:
    """A port of this machine that nothing listens on."""
    return free_port()
