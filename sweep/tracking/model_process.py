"""The sweeper's side of the process that logs models (`sweep.tracking.log_model`), and who may start one."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

LOG = "models.log"
"""Name of the file, in a study's folder, that takes what the process prints."""

LIMIT_SECONDS = 600.0
"""How long it may take until the first model is logged, and then for each further one, before it is killed."""

_POLL_SECONDS = 0.2
_LOCK = "models.lock"
_SCRATCH = "models.tmp"
_ALONE = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True)
class ModelJob:
    """A model to be logged: the arguments of `sweep.tracking.log_model.log_model`."""

    uri: str
    run_id: str
    path: str
    name: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What became of a model.

    Attributes:
        model_id: MLflow's id of it, if it was logged.
        error: why it was not.
        passing: whether that is no fault of the model's: the store was away, or somebody wants no more.
        last: whether nothing is said of the models after it.
    """

    model_id: str | None = None
    error: str = ""
    passing: bool = False
    last: bool = False


def log_models(
    jobs: Sequence[ModelJob],
    folder: Path | None,
    lock: int | None = None,
    stopped: threading.Event | None = None,
) -> Generator[Answer]:
    """Logs models, one after another, in a process that ends with this one; says of each what became of it.

    Of those after one at which the process died, or that the store was not there for, nothing is said.

    Args:
        jobs: what is to be logged.
        folder: whose `models.log` takes what the process prints, and where its temporary files are; None is nowhere.
        lock: a descriptor that the process keeps open, too, as that of a lock.
        stopped: from when on nobody waits for the process.
    """
    paths = [path or str(Path.cwd()) for path in sys.path]
    env = {**os.environ, **_ALONE, **dict.fromkeys(_THREADS, "1"), "PYTHONPATH": os.pathsep.join(paths)}
    with _scratch(folder) as scratch, (folder / LOG if folder else Path(os.devnull)).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sweep.tracking.log_model"],  # -P: nothing that lies about is imported
            env={**env, "TMPDIR": scratch},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,
            bufsize=0,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            try:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps([dataclasses.asdict(job) for job in jobs]).encode() + b"\n")
                for _ in jobs:
                    answer = _answer(process, stopped)
                    yield answer
                    if answer.last:
                        return
            finally:
                process.kill()
                process.wait()


def _answer(process: subprocess.Popen[bytes], stopped: threading.Event | None) -> Answer:
    assert process.stdout is not None
    deadline = time.monotonic() + LIMIT_SECONDS
    while not wait([process.stdout.fileno()], _POLL_SECONDS):
        if stopped is not None and stopped.is_set():
            return Answer(error="it was stopped", passing=True, last=True)
        if time.monotonic() > deadline:
            return Answer(error=f"it took longer than {LIMIT_SECONDS:g} s", last=True)
    line = process.stdout.readline()
    if not line:
        return Answer(error=f"its process ended with status {process.wait()}", last=True)
    return Answer(**json.loads(line))


@contextlib.contextmanager
def only_one(folder: Path | None) -> Iterator[int | None]:
    """Lets one at a time change the models of a study in MLflow; the lock is held as long as its descriptor is open.

    Args:
        folder: the study's folder; None, if there is none on this machine, locks nothing.
    """
    if folder is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def model_name(name: str) -> str:
    """A name that MLflow takes for a logged model."""
    return re.sub(r"""[/:.%"']""", "_", name)


@contextlib.contextmanager
def _scratch(folder: Path | None) -> Iterator[str]:
    """A folder for temporary files. In a study's, what a kill left is found, and goes with the study."""
    if folder is None:
        with tempfile.TemporaryDirectory() as scratch:
            yield scratch
        return
    own = folder / _SCRATCH
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    try:
        yield str(own)
    finally:
        shutil.rmtree(own, ignore_errors=True)
