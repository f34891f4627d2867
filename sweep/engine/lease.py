"""Who is alive: a process as the others see it in the study's attributes.

Each holder counts a beat. A watcher on the same host and boot asks the operating system whether the process lives; any
other watcher times the count with its own monotonic clock, and never compares two machines' clocks.
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil

BEAT_SECONDS = 5.0
"""How often a holder beats."""

PATIENCE_SECONDS = 30.0
"""How long a watcher waits for the next beat of a holder on another machine before it calls it dead."""


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else str(int(psutil.boot_time()))


@dataclass
class Lease:
    """A holder's own side: says who it is, and beats.

    Attributes:
        key: the study attribute that the lease is kept in.
        token: what tells this holder from every other.
    """

    study: optuna.Study
    key: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _beat: int = 0
    _last: float = field(default=-BEAT_SECONDS)

    @classmethod
    def named(cls, study: optuna.Study, key: Callable[[str], str]) -> Lease:
        """A lease whose attribute is named after its token: for holders of whom there are many."""
        lease = cls(study, "")
        lease.key = key(lease.token)
        return lease

    def beat(self) -> None:
        """Counts one more beat, if it is time."""
        now = time.monotonic()
        if now - self._last < BEAT_SECONDS:
            return
        self._last, self._beat = now, self._beat + 1
        process = psutil.Process()
        record = {
            "token": self.token,
            "host": socket.gethostname(),
            "boot": _boot_id(),
            "pid": process.pid,
            "created": process.create_time(),
            "beat": self._beat,
        }
        self.study.set_user_attr(self.key, record)

    def lost(self) -> bool:
        """Whether another holder has taken the lease over."""
        record = self.study.user_attrs.get(self.key)
        return record is not None and record["token"] != self.token

    def release(self) -> None:
        """Gives the lease up, so that nobody has to wait for its end."""
        if not self.lost():
            self.study.set_user_attr(self.key, None)


class Watch:
    """A watcher's side: whether the holders of leases are alive."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def alive(self, record: dict[str, Any] | None) -> bool:
        """Whether the holder of this lease lives, as far as can be told now.

        A holder on another machine counts as alive until its beat has stood still for `PATIENCE_SECONDS` of this
        watcher's own time.
        """
        if record is None:
            return False
        if is_local(record):
            return _runs_here(record["pid"], record["created"])
        now = time.monotonic()
        beat, since = self._seen.get(record["token"], (record["beat"], now))
        if beat != record["beat"]:
            since = now
        self._seen[record["token"]] = (record["beat"], since)
        return bool(now - since < PATIENCE_SECONDS)


def is_local(record: dict[str, Any]) -> bool:
    """Whether the holder of this lease was started on this host since it booted."""
    return bool(record["host"] == socket.gethostname() and record["boot"] == _boot_id())


def _runs_here(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
