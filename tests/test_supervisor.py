"""What only shows a study does not end it; what is broken in the study itself does."""

import logging
import threading
from pathlib import Path

import optuna
import pytest
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from optuna.exceptions import StorageInternalError

from sweep.engine import supervisor as supervisors
from sweep.engine.settings import Settings
from sweep.engine.storage import open_storage
from sweep.engine.supervisor import STOP, SWEEPER, Supervisor


@pytest.fixture
def supervisor(study: optuna.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr(supervisors, "WATCH_SECONDS", 0.01)
    return Supervisor(study, open_storage(None, tmp_path / "study"), OmegaConf.structured(Settings))


class Look:
    """A look that raises an error, if it has one; waits to be called a number of times."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error, self._called = error, threading.Semaphore(0)
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        self._called.release()
        if self._error is not None:
            raise self._error

    def await_calls(self, count: int) -> None:
        for _ in range(count):
            assert self._called.acquire(timeout=60)


def test_a_look_that_fails_is_left_out_and_the_study_goes_on(
    supervisor: Supervisor, study: optuna.Study, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = Look(ValueError("no such curve")), Look()
    supervisor.looks += [broken, sound]
    with caplog.at_level(logging.ERROR), supervisor:
        sound.await_calls(3)
        assert not supervisor.failed
    assert broken.calls == 1
    assert supervisor.looks == [sound]
    (record,) = caplog.records
    assert "study planted" in record.message
    assert "no such curve" in caplog.text, "with the traceback"
    assert study.user_attrs[STOP] is False


def test_a_storage_that_is_lost_ends_the_study_whoever_finds_it_out(supervisor: Supervisor) -> None:
    lost = Look(StorageInternalError("gone"))
    supervisor.looks += [lost]
    with pytest.raises(StorageInternalError), supervisor:
        lost.await_calls(1)
    assert not supervisor.taken_over


def test_a_study_that_another_sweeper_has_taken_over_is_told_from_one_that_failed(
    supervisor: Supervisor, study: optuna.Study
) -> None:
    supervisor.__enter__()
    study.set_user_attr(SWEEPER, {**study.user_attrs[SWEEPER], "token": "another"})
    supervisor._thread.join(timeout=60)
    with pytest.raises(CompactHydraException, match="taken this study over"):
        supervisor.__exit__()
    assert supervisor.taken_over
    assert study.user_attrs[SWEEPER]["token"] == "another"
