"""What a trial takes of its machine, as metrics under the names that MLflow's own monitors use.

MLflow's monitors write through a client of their own, in a thread for each run. Here whoever runs a trial looks at its
process now and then, and what was seen goes the way of all events.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any, TypeVar

import psutil

from sweep.engine.limits import memory

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_SECONDS = 10.0
"""How long it takes from one look to the next."""

_MEGABYTE = 1e6  # as MLflow counts

_said: set[str] = set()
"""What this process has said that its machine does not tell."""


class Usage:
    """What one process and its machine do while a trial runs. What a machine does not tell is left out; nothing raises.

    Args:
        pid: of the trial's process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._steps = 0
        self._began = self._looked = time.monotonic()
        self._own_at_first = self._own = self._cpu_seconds()
        self._machine = _told("CPU", _busy_and_all)
        self._network = _told("network", psutil.net_io_counters)

    @property
    def due(self) -> bool:
        """Whether it is time for another look."""
        return time.monotonic() - self._looked >= LOOK_SECONDS

    def look(self) -> dict[str, Any]:
        """Means since the look before, and what is taken now: the payload of an event "seen".

        `cpu_utilization_percentage` is of all cores of the machine, `trial_cpu_utilization_percentage` of one core.
        """
        now, before = time.monotonic(), self._looked
        machine, own = _told("CPU", _busy_and_all), self._cpu_seconds()
        values: dict[str, float] = {}
        if machine and self._machine:
            busy, every = (later - earlier for later, earlier in zip(machine, self._machine, strict=True))
            values["cpu_utilization_percentage"] = 100 * busy / every if every > 0 else 0.0
        if used := _told("memory", psutil.virtual_memory):
            values["system_memory_usage_megabytes"] = used.used / _MEGABYTE
            values["system_memory_usage_percentage"] = 100 * used.used / used.total
        if disk := _told("disk", partial(psutil.disk_usage, "/")):
            values["disk_usage_percentage"] = disk.percent
            values["disk_usage_megabytes"] = disk.used / _MEGABYTE
            values["disk_available_megabytes"] = disk.free / _MEGABYTE
        network = _told("network", psutil.net_io_counters)  # None, too, of a machine without any
        if network and self._network:
            values["network_receive_megabytes"] = (network.bytes_recv - self._network.bytes_recv) / _MEGABYTE
            values["network_transmit_megabytes"] = (network.bytes_sent - self._network.bytes_sent) / _MEGABYTE
        values |= _told("GPU", _gpus) or {}
        if own is not None and self._own is not None:
            values["trial_cpu_utilization_percentage"] = 100 * max(own - self._own, 0.0) / max(now - before, 1e-3)
            if (taken := _told("memory of a process", partial(memory, self._pid))) is not None:
                values["trial_memory_usage_megabytes"] = taken / _MEGABYTE
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

    def _cpu_seconds(self) -> float | None:
        return _told("CPU time of a process", partial(_cpu_seconds, self._pid))


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


def _told(what: str, ask: Callable[[], T]) -> T | None:
    """What the machine answers; None if it fails: whatever a driver or a container lacks, the trial goes on."""
    try:
        return ask()
    except Exception as error:
        _say_once(what, repr(error))
        return None


def _say_once(what: str, why: str) -> None:
    if what not in _said:
        _said.add(what)
        log.warning("The machine does not tell all that trials take of it (%s): %s", what, why)


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
    try:
        monitor.collect_metrics()
        values: dict[str, float] = monitor.aggregate_metrics()
    finally:
        monitor.clear_metrics()
    return values


@cache
def _gpu_monitor() -> Any:
    """MLflow's monitor; None without a GPU, or without the package `nvidia-ml-py` that asks it."""
    if importlib.util.find_spec("pynvml") is None:  # nor is mlflow loaded for nothing
        return None
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    try:
        return GPUMonitor()
    except RuntimeError:  # MLflow's, where there is no driver
        return None
    except Exception as error:  # the driver's own; to be asked again would be as much in vain
        _say_once("GPU", repr(error))
        return None
