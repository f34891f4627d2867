"""Who is alive: by the operating system on this host, by the beat elsewhere."""

import subprocess
import sys

import optuna
import psutil
import pytest

from sweep.engine import lease as leases
from sweep.engine.lease import Lease, Watch


def record_of(study: optuna.Study, key: str = "sweeper") -> dict[str, object]:
    record = study.user_attrs[key]
    assert isinstance(record, dict)
    return record


def test_a_holder_is_alive_until_it_releases(study: optuna.Study) -> None:
    lease = Lease(study, "sweeper")
    lease.beat()
    assert Watch().alive(record_of(study))
    lease.release()
    assert not Watch().alive(study.user_attrs["sweeper"])


def test_a_killed_process_of_this_host_is_dead_at_once(study: optuna.Study) -> None:
    Lease(study, "sweeper").beat()
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    record = {**record_of(study), "pid": process.pid, "created": psutil.Process(process.pid).create_time()}
    assert Watch().alive(record)
    process.kill()
    process.wait()
    assert not Watch().alive(record)


def test_a_pid_that_another_process_has_now_is_not_believed(study: optuna.Study) -> None:
    Lease(study, "sweeper").beat()
    assert not Watch().alive({**record_of(study), "created": 1.0})


def test_elsewhere_a_beat_that_stands_still_is_death(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    Lease(study, "sweeper").beat()
    remote = {**record_of(study), "host": "elsewhere", "beat": 1}
    clock = [100.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: clock[0])
    watch = Watch()
    assert watch.alive(remote)
    clock[0] += leases.PATIENCE_SECONDS - 1
    assert watch.alive(remote)
    assert watch.alive({**remote, "beat": 2})
    clock[0] += leases.PATIENCE_SECONDS - 1
    assert watch.alive({**remote, "beat": 2})
    clock[0] += 2
    assert not watch.alive({**remote, "beat": 2})


def test_a_lease_that_another_has_taken_is_lost_and_not_released(study: optuna.Study) -> None:
    first, second = Lease(study, "sweeper"), Lease(study, "sweeper")
    first.beat()
    assert not first.lost()
    second.beat()
    assert first.lost()
    first.release()
    assert record_of(study)["token"] == second.token
