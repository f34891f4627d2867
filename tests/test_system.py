import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sweep.tracking import system
from sweep.tracking.system import Usage, watched

BUSY = "print(flush=True)\nwhile True: pass"


@pytest.fixture
def busy() -> Iterator["subprocess.Popen[str]"]:
    """A process that does nothing but count."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def names(seen: dict[str, object]) -> set[str]:
    return set(seen["values"])  # type: ignore[call-overload]


def test_its_names_are_those_of_mlflows_own_monitors() -> None:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    theirs = set()
    for monitor in (CPUMonitor(), DiskMonitor(), NetworkMonitor()):
        monitor.collect_metrics()
        theirs |= {f"system/{name}" for name in monitor.aggregate_metrics()}
    assert names(Usage(os.getpid()).look()) - theirs == {
        "system/trial_cpu_utilization_percentage",
        "system/trial_memory_usage_megabytes",
    }
    assert theirs <= names(Usage(os.getpid()).look())


def test_it_sees_what_a_process_does(busy: "subprocess.Popen[str]") -> None:
    usage = Usage(busy.pid)
    time.sleep(0.5)
    first, last = usage.look(), usage.last_look()
    values = first["values"]
    assert 5 < values["system/trial_cpu_utilization_percentage"] < 130
    assert 0 < values["system/cpu_utilization_percentage"] <= 100
    assert 3 < values["system/trial_memory_usage_megabytes"] < 100
    assert (first["step"], last["step"]) == (0, 1)
    assert last["values"]["cost/seconds"] >= 0.5
    assert 0.02 < last["values"]["cost/cpu_seconds"] <= last["values"]["cost/seconds"] + 0.1


def test_of_a_process_that_is_gone_it_sees_the_machine(busy: "subprocess.Popen[str]") -> None:
    usage = Usage(busy.pid)
    busy.kill()
    busy.wait()
    seen = usage.last_look()
    assert "system/cpu_utilization_percentage" in seen["values"]
    assert "cost/seconds" in seen["values"]
    assert not names(seen) & {"system/trial_memory_usage_megabytes", "cost/cpu_seconds"}


def test_another_look_is_due_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = Usage(os.getpid())
    assert not usage.due
    monkeypatch.setattr(system, "LOOK_SECONDS", 0.0)
    assert usage.due


def test_a_block_is_watched_from_its_begin_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    events = []
    monkeypatch.setattr(system, "LOOK_SECONDS", 0.05)
    with watched(os.getpid(), lambda kind, payload: events.append((kind, payload))):
        deadline = time.monotonic() + 30
        while len(events) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert {kind for kind, _ in events} == {"seen"}
    assert [payload["step"] for _, payload in events] == list(range(len(events)))
    assert len(events) >= 3
    assert "cost/seconds" in names(events[-1][1])


# There is no GPU here: the module says what NVIDIA's would.
PYNVML = """
class NVMLError(Exception): pass
class Memory: total, used = 80e9, 20e9
class Rates: gpu = 75
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetMemoryInfo(gpu): return Memory
def nvmlDeviceGetUtilizationRates(gpu): return Rates
def nvmlDeviceGetPowerUsage(gpu): return 350_000
def nvmlDeviceGetEnforcedPowerLimit(gpu): return 700_000
"""
LOOK = "import os; from sweep.tracking.system import Usage; print(Usage(os.getpid()).look()['values'])"


def test_what_a_machine_does_not_tell_is_left_out_and_said_once(monkeypatch, caplog: pytest.LogCaptureFixture) -> None:
    def lost() -> dict[str, float]:
        raise OSError("GPU is lost")

    monkeypatch.setattr(system, "_said", set())
    monkeypatch.setattr(system, "_gpus", lost)
    monkeypatch.setattr(system.psutil, "net_io_counters", lambda: None)  # as in a container without a network
    monkeypatch.setattr(system.psutil, "virtual_memory", lost)
    events: list[dict[str, object]] = []
    with watched(os.getpid(), lambda _, payload: events.append(payload)):
        usage = Usage(os.getpid())
        first = usage.look()
    for seen in (first, events[-1]):
        assert "system/cpu_utilization_percentage" in names(seen)
        assert "system/disk_usage_percentage" in names(seen)
        assert not [name for name in names(seen) if "network" in name or "system_memory" in name]
    assert [record.args and record.args[0] for record in caplog.records] == ["memory", "GPU"]


@pytest.mark.parametrize("init", ["pass", "raise NVMLError('no driver')"])
def test_a_gpu_is_seen_if_there_is_one(tmp_path, init: str) -> None:
    (tmp_path / "pynvml.py").write_text(PYNVML.replace("nvmlInit(): pass", f"nvmlInit(): {init}"))
    path = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-W", "ignore", "-c", LOOK]
    output = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    values = eval(output.stdout)
    gpu = {name.removeprefix("system/gpu_0_"): value for name, value in values.items() if "gpu" in name}
    expected = {"memory_usage_percentage": 25.0, "memory_usage_megabytes": 20000.0, "utilization_percentage": 75.0}
    expected |= {"power_usage_watts": 350.0, "power_usage_percentage": 50.0}
    assert gpu == (expected if init == "pass" else {})
