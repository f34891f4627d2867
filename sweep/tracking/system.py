"""What a trial takes of its machine, as metrics under the names that MLflow's own monitors use.

MLflow's monitors write through a client of their own, in a thread for each run. Here whoever runs a trial looks at its
process now and then, and what was seen goes the way of all events.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import psutil

from sweep.engine.limits import memory

LOOK_SECONDS = 10.0
"""How long it takes from one look to the next."""

_MEGABYTE = 1e6  # as MLflow counts


class Usage:
    """What one process and its machine do while a trial runs.

    Args:
        pid: of the trial's process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._steps = 0
        self._began = self._looked = time.monotonic()
        self._own_at_first = self._own = _cpu_seconds(pid)
        self._machine = _busy_and_all()
        self._network = psutil.net_io_counters()

    @property
    def due(self) -> bool:
        """Whether it is time for another look."""
        return time.monotonic() - self._looked >= LOOK_SECONDS

    def look(self) -> dict[str, Any]:
        """Means since the look before, and what is taken now: the payload of an event "seen".

        `cpu_utilization_percentage` is of all cores of the machine, `trial_cpu_utilization_percentage` of one core.
        """
        now, before = time.monotonic(), self._looked
        machine, own = _busy_and_all(), _cpu_seconds(self._pid)
        busy, every = (later - earlier for later, earlier in zip(machine, self._machine, strict=True))
        used, disk, network = psutil.virtual_memory(), psutil.disk_usage("/"), psutil.net_io_counters()
        values = {
            "cpu_utilization_percentage": 100 * busy / every if every > 0 else 0.0,
            "system_memory_usage_megabytes": used.used / _MEGABYTE,
            "system_memory_usage_percentage": 100 * used.used / used.total,
            "disk_usage_percentage": disk.percent,
            "disk_usage_megabytes": disk.used / _MEGABYTE,
            "disk_available_megabytes": disk.free / _MEGABYTE,
            "network_receive_megabytes": (network.bytes_recv - self._network.bytes_recv) / _MEGABYTE,
            "network_transmit_megabytes": (network.bytes_sent - self._network.bytes_sent) / _MEGABYTE,
            **_gpus(),
        }
        if own is not None and self._own is not None:
            values["trial_cpu_utilization_percentage"] = 100 * max(own - self._own, 0.0) / max(now - before, 1e-3)
            values["trial_memory_usage_megabytes"] = memory(self._pid) / _MEGABYTE
        self._looked, self._machine, self._own = now, machine, own
        self._steps += 1
        return {
            "values": {f"system/{name}": round(value, 1) for name, value in values.items()},
            "step": self._steps - 1,
        }

    def last_look(self) -> dict[str, Any]:
        """A look at the trial's end, with what it has cost: `cost/seconds`, and seconds of CPU time if known."""
        seen = self.look()
        seen["values"]["cost/seconds"] = round(time.monotonic() - self._began, 3)
        if self._own is not None and self._own_at_first is not None:
            seen["values"]["cost/cpu_seconds"] = round(max(self._own - self._own_at_first, 0.0), 3)
        return seen


@contextmanager
def watched(pid: int, send: Callable[[str, dict[str, Any]], Any]) -> Iterator[None]:
    """Looks at a process, in a thread of its own, for the length of a `with` block.

    Args:
        pid: of the process.
        send: takes an event, its kind and payload.
    """
    usage, done = Usage(pid), threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_SECONDS):
            send("seen", usage.look())

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        send("seen", usage.last_look())


def _busy_and_all() -> tuple[float, float]:
    """Seconds of CPU time since the machine was started: those that were spent on something, and all of them."""
    times = psutil.cpu_times()
    every = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # they are in user and nice
    return every - times.idle - getattr(times, "iowait", 0.0), every


def _cpu_seconds(pid: int) -> float | None:
    """Seconds of CPU time of a process and its descendants, or None if it is gone."""
    try:
        process = psutil.Process(pid)
        own, family = process.cpu_times(), process.children(recursive=True)
    except psutil.Error:
        return None
    seconds = own.user + own.system + own.children_user + own.children_system
    for member in family:
        with suppress(psutil.Error):
            times = member.cpu_times()
            seconds += times.user + times.system
    return float(seconds)


def _gpus() -> dict[str, float]:
    """What each NVIDIA GPU does, as MLflow's own monitor sees it."""
    monitor = _gpu_monitor()
    if monitor is None:
        return {}
    monitor.collect_metrics()
    values: dict[str, float] = monitor.aggregate_metrics()
    monitor.clear_metrics()
    return values


@lru_cache(maxsize=1)
def _gpu_monitor() -> Any:
    """MLflow's monitor; None without a GPU, or without the package `nvidia-ml-py` that asks it."""
    if importlib.util.find_spec("pynvml") is None:  # nor is mlflow loaded for nothing
        return None
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    try:
        return GPUMonitor()
    except RuntimeError:
        return None
