"""Searches everything that studies and runs leave behind for what is secret."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import postgres
import psutil
import pytest
from application import Application, require_submitit

TOKEN, KEY = "tok-51/Zq+77xw", "k3y-of-the-service"
"""Of MLflow, and of something that a task uses."""

PROGRAM = """
import logging, os, time
import hydra
from sweep import current_trial

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    trial, known = current_trial(), {**os.environ}
    secrets = [known[name] for name in ("MLFLOW_TRACKING_TOKEN", "SERVICE_KEY", "SWEEP_STORAGE")]
    print("printed", *secrets)
    logging.getLogger(__name__).warning("logged %s", secrets)
    trial.describe(note=f"described {secrets}")
    trial.attach("own/notes.txt", "notes")
    time.sleep(cfg.seconds)
    if cfg.n == 2:
        raise ValueError(f"raised {secrets} and {cfg.key} at {cfg.address}")
    return cfg.x**2 + cfg.n

if __name__ == "__main__":
    main()
"""

CONFIG = """
defaults:
  - override hydra/sweeper: optuna
x: 0.0
n: 1
seconds: 0.0
key: ${oc.env:SERVICE_KEY}
address: https://me:literal-pass@host/path
hydra:
  run:
    dir: out
  sweep:
    dir: out
  sweeper:
    tracking:
      artifacts: mlruns/artifacts
"""


@dataclass(frozen=True)
class Databases:
    """Addresses with passwords, one that has to be percent-encoded and one that has not.

    Attributes:
        studies: where Optuna keeps studies.
        runs: where MLflow keeps runs.
        secrets: what must be nowhere.
    """

    studies: str
    runs: str
    secrets: tuple[str, ...] = (TOKEN, KEY, "literal-pass", "typed-pass")

    def search(self, text: str) -> list[str]:
        """The secrets in a text, as they are or as an address has them."""
        return [secret for secret in self.secrets if secret in text or quote(secret, safe="") in text]


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    one, other = "St0re/p@ss%wd", "Tr4ckingPassW"
    with postgres.server() as server:
        for name, password in {"studies": one, "runs": other}.items():
            postgres.execute(server, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
            postgres.execute(server, f"CREATE DATABASE {name} OWNER {name}")
        place = server.rpartition("@")[2].rpartition("/")[0]
        yield Databases(
            f"postgresql+psycopg://studies:{quote(one, safe='')}@{place}/studies",
            f"postgresql://runs:{other}@{place}/runs",
            (*Databases.secrets, one, other),
        )


class Tattler(Application):
    """The program, in whose folder only `conf` and `own` are the user's."""

    def __init__(self, folder: Path, databases: Databases) -> None:
        super().__init__(folder, PROGRAM)
        self.databases = databases
        (folder / "own").mkdir()
        notes = "\n".join([TOKEN, KEY, databases.studies, databases.runs, "https://me:literal-pass@host/path"])
        (folder / "own" / "notes.txt").write_text(notes)
        (folder / "conf").mkdir()
        (folder / "conf" / "config.yaml").write_text(CONFIG)

    def watched(self, process: "subprocess.Popen[str]", status: int | None = 0) -> str:
        """Waits for a program, looking at the command lines of what it starts; returns what it said."""
        assert process.stdout is not None
        commands: set[str] = set()
        while process.poll() is None:
            try:
                parent = psutil.Process(process.pid)
                words = [child.cmdline() for child in parent.children(recursive=True)]
                commands |= {" ".join(each) for each in words if each != parent.cmdline()}  # between fork and exec
            except psutil.Error:
                continue
            time.sleep(0.1)
        said = process.stdout.read()
        process.stdout.close()
        assert status is None or process.returncode == status, said
        assert self.databases.search("\n".join(commands)) == [], "ps shows it"
        assert self.databases.search(said) == [], said
        return said

    def check(self, *parts: str) -> None:
        """Looks for all of these parts in what is left, which shows that it is looked at; and for any secret."""
        left = dict(contents(self.folder / "out")) | dict(contents(self.folder / "mlruns"))
        left |= {"Optuna": "\n".join(postgres.rows(self.databases.studies))}
        left |= {"MLflow": "\n".join(postgres.rows(self.databases.runs))}
        told = {place: found for place, text in left.items() if (found := self.databases.search(text))}
        assert told == {}
        for part in parts:
            assert any(part in text for text in left.values()), part


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """All files below a folder and in archives, with their names, as texts in which every byte is a character."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield str(path), f"{path}\n{data.decode('utf-8', 'surrogateescape')}"
            if zipfile.is_zipfile(io.BytesIO(data)):
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    for name in archive.namelist():
                        yield f"{path}/{name}", archive.read(name).decode("utf-8", "surrogateescape")


@pytest.fixture
def tattler(tmp_path: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tattler]:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setenv("SERVICE_KEY", KEY)
    program = Tattler(tmp_path, databases)
    yield program
    program.check_nothing_left()


STUDY = ("n=1,2", "hydra.sweeper.n_trials=2", "hydra/sweeper/sampler=grid", "hydra.sweeper.max_failure_rate=1")
LEFT = ("printed ***", "logged [", "described [", "exception: ValueError: raised [", "https://***@host/path")


def test_addresses_that_are_typed(tattler: Tattler, databases: Databases) -> None:
    require_submitit()  # it keeps what it sends to an agent, and what it gets, in files
    typed = [f"hydra.sweeper.storage='{databases.studies}'", f"hydra.sweeper.tracking.uri='{databases.runs}'"]
    name = "hydra.sweeper.study_name=typed"
    tattler.watched(tattler.start(*STUDY, *typed, name, "hydra/launcher=submitit_local"))
    tattler.check(*LEFT, "submitted.pkl", "result.pkl")


def test_addresses_in_yaml_and_a_study_that_is_killed_and_goes_on(tattler: Tattler, databases: Databases) -> None:
    config = tattler.folder / "conf" / "config.yaml"
    storage = f"  sweeper:\n    storage: {databases.studies}"
    written = CONFIG.replace("  sweeper:", storage).replace("tracking:", f"tracking:\n      uri: {databases.runs}")
    config.write_text(written)
    command = (*STUDY, "hydra.sweeper.study_name=killed", "seconds=1")
    process = tattler.start(*command)
    console = tattler.folder / "out" / "1" / "console.log"
    deadline = time.monotonic() + 120
    while not (console.exists() and "logged" in console.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    tattler.watched(process, status=-signal.SIGKILL)
    tattler.check()
    tattler.watched(tattler.start(*command))
    tattler.check(*LEFT, "orphan: ")


def test_addresses_in_the_environment(tattler: Tattler, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_STORAGE", databases.studies)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", databases.runs)
    given = [
        "hydra.sweeper.storage=${oc.env:SWEEP_STORAGE}",
        "hydra.sweeper.tracking.uri=${oc.env:MLFLOW_TRACKING_URI}",
    ]
    given += ["address='https://me:typed-pass@host/path'", "hydra.sweeper.study_name=environment"]
    tattler.watched(tattler.start(*STUDY, *given))
    tattler.check(*LEFT)


NETWORK = """
import logging, os
from models.dense import dense

def tattling(size, outputs, depth, width, activation="relu", key="", fail=False):
    secrets = [os.environ[name] for name in ("MLFLOW_TRACKING_TOKEN", "SERVICE_KEY", "SWEEP_TRACKING")]
    print("printed", *secrets)
    logging.getLogger(__name__).warning("logged %s", secrets)
    if fail:
        raise ValueError(f"raised {secrets} and {key}")
    return dense(size, outputs, depth, width, activation)
"""
MODEL = """
_target_: tattling.tattling
depth: 1
width: 4
key: ${oc.env:SERVICE_KEY}
fail: false
"""
SMALL = ("model=tattling", "train.max_steps=20", "train.validate_every=10", "train.batch_size=8", "evaluation.size=64")


class Ours(Tattler):
    """`sweep` itself, with a network that tells what it knows."""

    def __init__(self, folder: Path, databases: Databases) -> None:
        super().__init__(folder, databases)
        own = folder / "own"
        (own / "model").mkdir()
        (own / "model" / "tattling.yaml").write_text(MODEL)
        (own / "tattling.py").write_text(NETWORK)

    def sweep(self, *arguments: str, status: int = 0, **given: str) -> str:
        path = [str(self.folder / "own"), *filter(None, [os.environ.get("PYTHONPATH")])]
        known = {name: value for name, value in os.environ.items() if name not in ("SWEEP_STORAGE", "SWEEP_TRACKING")}
        variables = {"SWEEP_ROOT": str(self.folder), "PYTHONPATH": os.pathsep.join(path), "COLUMNS": "200"}
        process = subprocess.Popen(
            [sys.executable, "-m", "sweep", *arguments],
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**known, **variables, **given},
        )
        return self.watched(process, status)

    def run(self, *arguments: str, status: int = 0) -> str:
        typed = [f"tracking.uri='{self.databases.runs}'", f"storage.url='{self.databases.studies}'"]
        own = ["--config-dir", str(self.folder / "own")]
        return self.sweep("run", *own, *arguments, *SMALL, *typed, status=status)


@pytest.fixture
def ours(tattler: Tattler) -> Ours:
    shutil.rmtree(tattler.folder / "own")
    shutil.rmtree(tattler.folder / "conf")
    return Ours(tattler.folder, tattler.databases)


def test_a_run_of_our_own_that_fails(ours: Ours) -> None:
    said = ours.run("model.fail=true", "hydra.run.dir=mlruns/runs/${hydra.job.override_dirname}", status=1)
    assert "printed ***" in said
    assert "Error executing job with overrides" in said
    assert "raised ['***'" in said
    ours.check("exception: ValueError: raised [", "logged [", "@127.0.0.1")
    assert "@127.0.0.1" in ours.run("--cfg", "job")


@pytest.mark.slow
def test_a_run_and_a_study_of_our_own(ours: Ours) -> None:
    assert "printed ***" in ours.run()
    ours.run("-m", "study.name=own", "model.width=choice(4,8)", "hydra.sweeper.n_trials=2", "hydra.sweeper.export=null")
    ours.check("printed ***", "logged [", "@127.0.0.1")
    assert "2/2" in ours.sweep("status", "own", "--storage", ours.databases.studies)
    databases = {"SWEEP_STORAGE": ours.databases.studies, "MLFLOW_TRACKING_URI": ours.databases.runs}
    assert "runs in postgresql://runs@" in ours.sweep("delete", "own", "--yes", **databases)
