"""A run that was killed and goes on from its checkpoint ends like one that was not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import psutil
import pytest
from omegaconf import DictConfig

from sweep.engine.storage import open_storage
from sweep.engine.trial import Trial, TrialPruned, running
from sweep.train import train
from sweep.training import checkpoint as checkpoints
from sweep.training.checkpoint import FILE, Checkpoint

Compose = Callable[..., DictConfig]

SMALL = (
    *("evaluation.size=300", "train.batch_size=32", "train.max_steps=40", "train.validate_every=8"),
    *("model.width=8", "model.depth=1", "train.checkpoint_every=12", "train.steps_per_execution=4"),
)

KINDS = {
    "plain": (),
    "averaged, warmed up, norms": (
        *("optimizer=adamw", "optimizer.use_ema=true", "schedule=cosine", "model.norm=batch", "model.skip=true"),
        *("optimizer.global_clipnorm=1.0", "train.loss=relative", "data.compression=asinh"),
    ),
    "pool": ("data.num_samples=300", "data.validation_split=0.2"),
    "patience": ("train.patience=1", "optimizer.learning_rate=1.0", "train.max_steps=80"),
}


class Killed(BaseException):
    pass


class Listener:
    """Keeps what a trial says, and kills it at a step."""

    def __init__(self, kill_after: int | None = None, prune_at: int | None = None) -> None:
        self.kill_after, self.prune_at = kill_after, prune_at
        self.logged: dict[int, dict[str, float]] = {}
        self.reports: dict[int, float] = {}
        self.facts: dict[str, Any] = {}

    def send(self, kind: str, payload: dict[str, Any]) -> bool:
        if kind == "metrics":
            timed = ("samples_per_second", "steps_per_second", "seconds_to_best")
            values = {name: value for name, value in payload["values"].items() if not name.endswith(timed)}
            self.logged.setdefault(payload["step"], {}).update(values)
        if kind == "facts":
            self.facts |= payload
        if kind == "report":
            self.reports[payload["step"]] = payload["value"]
            if payload["step"] == self.kill_after:
                raise Killed
            return payload["step"] == self.prune_at
        return False


def run(cfg: DictConfig, folder: Path, earlier: tuple[str, ...] = (), **listener: Any) -> tuple[float, Listener]:
    heard = Listener(**listener)
    folder.mkdir(exist_ok=True)
    with running(Trial(0, heard.send, earlier)):
        return train(cfg, folder), heard


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_that_goes_on_equals_an_uninterrupted_one(compose: Compose, tmp_path: Path, kind: str) -> None:
    cfg = compose(*SMALL, *KINDS[kind])
    whole, told = run(cfg, tmp_path / "whole")
    with pytest.raises(Killed):
        run(cfg, tmp_path / "first", kill_after=16 if kind == "patience" else 32)
    assert (tmp_path / "first" / FILE).exists()
    again, told_again = run(cfg, tmp_path / "second", (str(tmp_path / "first"),))
    assert told_again.facts["went_on_from_step"] == (12 if kind == "patience" else 24)
    assert again == whole
    assert told_again.reports == told.reports
    assert told_again.logged == told.logged
    one, other = (keras.models.load_model(tmp_path / name / "model.keras") for name in ("whole", "second"))
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert list(tmp_path.glob(f"*/*{FILE}")) == [], "a trial that has ended needs no checkpoint, of no attempt"
    if kind == "patience":
        assert max(told.reports) < 80, "the test needs a run that ended early"


@pytest.mark.parametrize("every", [7, 30, "null"])
def test_checkpoints_may_come_more_or_less_often_afterwards(compose: Compose, tmp_path: Path, every: object) -> None:
    whole, told = run(compose(*SMALL), tmp_path / "whole")
    with pytest.raises(Killed):
        run(compose(*SMALL, "train.checkpoint_every=5"), tmp_path / "first", kill_after=32)
    other = compose(*SMALL, f"train.checkpoint_every={every}")
    again, told_again = run(other, tmp_path / "second", (str(tmp_path / "first"),))
    assert told_again.facts["went_on_from_step"] == 30
    assert again == whole
    assert told_again.logged == told.logged


@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04xxxx", b"", None])
def test_a_file_that_is_no_checkpoint_is_refused_by_name_and_ignored_in_a_folder(
    compose: Compose, tmp_path: Path, content: bytes | None
) -> None:
    if content is None:
        np.savez(tmp_path / FILE, other=np.zeros(3))
    else:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ValueError, match=r"train\.resume: got .*, allowed is a folder with a checkpoint"):
        checkpoints.named(compose(*SMALL, f"train.resume={tmp_path}"))
    _, told = run(compose(*SMALL), tmp_path / "run", (str(tmp_path),))
    assert "went_on_from_step" not in told.facts


def test_checkpoints_change_nothing(compose: Compose, tmp_path: Path) -> None:
    with_them, _ = run(compose(*SMALL), tmp_path / "a")
    without, _ = run(compose(*SMALL, "train.checkpoint_every=null"), tmp_path / "b")
    assert with_them == without


def test_a_run_in_the_folder_of_a_killed_one_goes_on_there(compose: Compose, tmp_path: Path) -> None:
    cfg = compose(*SMALL)
    with pytest.raises(Killed):
        run(cfg, tmp_path / "run", kill_after=32)
    _, told = run(cfg, tmp_path / "run")
    assert told.facts["went_on_from_step"] == 24


def test_a_checkpoint_at_the_last_step_is_only_judged(compose: Compose, tmp_path: Path) -> None:
    cfg = compose(*SMALL, "train.checkpoint_every=8")
    whole, _ = run(cfg, tmp_path / "whole")
    saved: list[Checkpoint] = []
    original = checkpoints.remove
    try:
        checkpoints.remove = lambda folder: saved.append(Checkpoint.load(folder))  # type: ignore[assignment]
        run(cfg, tmp_path / "kept")
    finally:
        checkpoints.remove = original
    assert saved[0].step == 40
    again, told = run(cfg, tmp_path / "again", (str(tmp_path / "kept"),))
    assert again == whole
    assert told.facts["went_on_from_step"] == 40


def test_a_pruned_run_leaves_no_checkpoint(compose: Compose, tmp_path: Path) -> None:
    with pytest.raises(TrialPruned):
        run(compose(*SMALL), tmp_path / "run", prune_at=32)
    assert not (tmp_path / "run" / FILE).exists()


def test_a_checkpoint_of_another_configuration_is_refused_by_name_and_ignored_in_a_folder(
    compose: Compose, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run(compose(*SMALL), tmp_path / "run", kill_after=32)
    other = compose(*SMALL, "model.width=9", f"train.resume={tmp_path / 'run'}")
    with pytest.raises(ValueError, match=r"train\.resume: got .*other values of model\.width, allowed is"):
        train(other)
    _, told = run(compose(*SMALL, "model.width=9"), tmp_path / "other", (str(tmp_path / "run"),))
    assert "went_on_from_step" not in told.facts
    with pytest.raises(ValueError, match=r"train\.resume: got .*, allowed is a folder with a checkpoint"):
        train(compose(*SMALL, f"train.resume={tmp_path}"))


def test_a_checkpoint_is_one_file_that_is_replaced_whole(tmp_path: Path) -> None:
    for step in (1, 2):
        arrays = {"network": [np.full(3, step), np.zeros((2, 2))], "best": []}
        Checkpoint(step, arrays, {"best": float("nan")}, {"a.b": [1, None]}).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    read = Checkpoint.load(tmp_path)
    assert read.step == 2
    np.testing.assert_array_equal(read.arrays["network"][0], np.full(3, 2))
    assert np.isnan(read.progress["best"])
    assert read.config == {"a.b": [1, None]}


def test_the_command_goes_on_from_a_real_kill(tmp_path: Path) -> None:
    """`sweep run`, SIGKILL in the middle, and the same command with train.resume."""
    small = [*SMALL, "train.max_steps=4000", "train.checkpoint_every=400", "train.validate_every=200", "study.name=t"]

    def start(*further: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "sweep", "run", *small, "tracking=none", *further],
            env={**os.environ, "SWEEP_ROOT": str(tmp_path), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    killed = start("hydra.run.dir=" + str(tmp_path / "killed"))
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / FILE).exists() and time.monotonic() < deadline and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL, "the test needs a run that was killed in the middle"

    processes = [start(f"train.resume={tmp_path / 'killed'}"), start()]
    resumed, whole = (process.communicate(timeout=120)[0] for process in processes)
    table = [line for line in whole.splitlines() if "relative error" in line]
    assert len(table) == 5
    assert [line for line in resumed.splitlines() if "relative error" in line] == table

    refused = start(f"train.resume={tmp_path / 'killed'}", "model.depth=2")
    _, message = refused.communicate(timeout=60)
    assert refused.returncode == 2
    assert "train.resume" in message
    assert "model.depth" in message


def test_a_trial_whose_process_was_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    small = [*SMALL, "train.max_steps=6000", "train.checkpoint_every=400", "train.validate_every=200"]
    one = ["hydra.sweeper.n_trials=1", "hydra.sweeper.export=null", "model.width=range(8,9)", "study.name=t"]
    study = psutil.Popen(
        [sys.executable, "-m", "sweep", "run", "-m", *small, *one, "tracking=none"],
        env={**os.environ, "SWEEP_ROOT": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    trials = tmp_path / "mlruns/studies/t/trials"
    deadline = time.monotonic() + 120
    while not (trials / "0" / FILE).exists() and time.monotonic() < deadline and study.poll() is None:
        time.sleep(0.02)
    (process,) = (child for child in study.children() if "sweep.engine.process" in " ".join(child.cmdline()))
    process.kill()
    _, errors = study.communicate(timeout=120)
    assert study.returncode == 0, errors
    known = optuna.load_study(study_name="t", storage=open_storage(None, tmp_path / "mlruns/studies/t"))
    killed, again = known.trials
    assert killed.user_attrs["reason"] == "crash: SIGKILL"
    assert again.state.name == "COMPLETE"
    assert again.user_attrs["facts"]["went_on_from_step"] >= 400
    assert list(again.intermediate_values) == list(range(200, 6001, 200))
