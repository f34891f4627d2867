"""What it costs a trial's agent to keep events for MLflow on disk before they are sent, and how memory grows meanwhile.

`python -m benchmarks.spool`: a quarter of a million events as trials send them, to a tracker whose server is away, and
the same to a queue in memory, which is what a tracker without a spool would do.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import deque
from pathlib import Path

import psutil

from sweep.tracking.store import Store, load_mlflow
from sweep.tracking.tracker import Tracker, new_spool

EVENTS = 250_000
TRIALS = 100
NOWHERE = Store("http://127.0.0.1:1", "sweep", "1")
VALUES = {f"val/measure_{index}": index / 7 for index in range(15)}
"""As many measures as a validation has."""


def memory() -> float:
    """What this process holds, in MiB."""
    return float(psutil.Process().memory_info().rss) / 2**20


def main() -> None:
    """Prints microseconds and bytes per event, their ratio to a queue in memory, and how memory grew."""
    logging.disable(logging.WARNING)
    load_mlflow()
    with tempfile.TemporaryDirectory() as folder:
        tracker = Tracker(NOWHERE, new_spool(Path(folder), NOWHERE))
        for number in range(TRIALS):
            tracker.begin(number, f"trial {number}", {"model.depth": "3"})
        tracker.flush(patient=False)
        before, slowest, began = memory(), 0.0, time.perf_counter()
        for step in range(EVENTS):
            put = time.perf_counter()
            tracker.write(step % TRIALS, "metrics", {"values": VALUES, "step": step})
            slowest = max(slowest, time.perf_counter() - put)
        on_disk, grown = time.perf_counter() - began, memory() - before
        size = tracker.path.stat().st_size
        tracker.close(0)

    queue: deque[tuple[float, int, str, dict[str, object]]] = deque()
    before, began = memory(), time.perf_counter()
    for step in range(EVENTS):
        queue.append((time.time(), step % TRIALS, "metrics", {"values": dict(VALUES), "step": step}))
    in_memory, held = time.perf_counter() - began, memory() - before

    print(f"on disk    {1e6 * on_disk / EVENTS:6.1f} µs an event ({EVENTS / on_disk:,.0f} a second), ", end="")
    print(f"the slowest {1e3 * slowest:.1f} ms; {size / EVENTS:.0f} bytes an event; memory grew by {grown:.0f} MiB")
    print(f"in memory  {1e6 * in_memory / EVENTS:6.1f} µs an event; memory grew by {held:.0f} MiB")
    print(f"ratio of time {on_disk / in_memory:.1f}, of memory {grown / held:.3f}")


if __name__ == "__main__":
    main()
