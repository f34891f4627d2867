"""What waits to be written, on disk: the events of one tracker in their order, until MLflow has them.

A spool is a file of lines. The first says how far it was written to MLflow, and is overwritten in place; the second
says whose it is; each further one is an event. Its owner holds a lock on it, which the kernel takes back from a process
that was killed: whoever finds a spool without an owner may write what is left in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.engine.torn import cut_torn_line

LARGE = 16 << 20
"""Bytes above which a spool of which all is written begins anew, while its owner lives."""

_CHUNK = 1 << 20  # bytes of events that are read at once
_MARK = 40  # bytes of the first line


@dataclass(frozen=True)
class Event:
    """Something that happened to a run.

    Attributes:
        time: when, in ms since 1970. It goes with the event, so that what is sent twice is the same twice.
        number: the run's trial.
        kind: "begin", "end", or another that `sweep.tracking.writer` knows.
        payload: what there is to say, as JSON has it.
    """

    time: int
    number: int
    kind: str
    payload: Mapping[str, Any]

    def line(self) -> bytes:
        """The event in a line of JSON; NaN and infinities are written as Python has them."""
        return _line([self.time, self.number, self.kind, self.payload])


@dataclass(frozen=True)
class Look:
    """A spool, seen from outside.

    Attributes:
        whose: what it takes to write its events.
        waiting: how many events are not settled.
        since: when the oldest of them happened, in ms since 1970; None if there is none.
    """

    whose: Mapping[str, Any]
    waiting: int
    since: int | None


class Spool:
    """One tracker's events on disk. The file is made with the first of them, and removed once all are settled.

    Events that were appended are read in order, sent, and settled. One process at a time has it; in that process one
    thread may append while another reads and settles. No event is lost when the process is killed.

    Args:
        folder: where its file is to be.
        whose: what it takes to write its events, as JSON has it.

    Attributes:
        whose: see above.
        path: its file.
        waiting: how many events are not settled.
        was_left: whether it was taken over from another process.
        unreadable: how many lines were no events, as after a loss of power.
    """

    def __init__(self, folder: str | Path, whose: Mapping[str, Any]) -> None:
        self.whose = whose
        self.path = Path(folder, f"tracking.{uuid.uuid4().hex[:16]}.jsonl")
        self.waiting = self.unreadable = 0
        self.was_left = False
        self._file = -1
        self._first = self._settled = self._read = self._end = 0  # positions in the file, in this order
        self._in_hand = 0
        self._lock = threading.Lock()

    @classmethod
    def take(cls, path: Path) -> Spool | None:
        """Takes over a spool whose owner is gone; None if its owner lives, or has removed it, or never wrote to it."""
        with contextlib.ExitStack() as undo:
            try:
                file = os.open(path, os.O_RDWR)
                undo.callback(os.close, file)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (FileNotFoundError, BlockingIOError):
                return None
            cut_torn_line(file)
            head = _head(file)
            if head is None or os.fstat(file).st_nlink == 0:
                return None
            undo.pop_all()
        settled, whose, first = head
        spool = cls(path.parent, whose)
        spool.was_left = True
        spool.path, spool._file, spool._first, spool._end = path, file, first, os.fstat(file).st_size
        spool._settled = spool._read = min(max(settled, first), spool._end)
        spool.waiting = sum(1 for _ in spool._lines(spool._settled, spool._end))
        return spool

    def append(self, event: Event) -> None:
        """Adds the newest event.

        Raises:
            OSError: if it cannot be written, as when the disk is full; those before it are all there.
        """
        line = event.line()
        with self._lock:
            if self._file < 0:
                self._make()
            self._write(line)
            self.waiting += 1

    def read(self) -> list[Event]:
        """The oldest events that are not settled, a number that memory can hold; always the same until they are."""
        events: list[Event] = []
        self._read, self._in_hand = self._settled, 0
        for line in self._lines(self._settled, self._end):
            if self._read - self._settled > _CHUNK:
                break
            self._read += len(line)
            self._in_hand += 1
            if (event := _event(line)) is None:
                self.unreadable += 1
            else:
                events.append(event)
        return events

    def settle(self) -> None:
        """What was read last needs no further attempt, also if this process is killed."""
        with self._lock:
            self._settled = self._read
            self.waiting -= self._in_hand
            self._in_hand = 0
            self._remember()

    def settled(self) -> Iterator[Event]:
        """All events that are settled and still there, oldest first."""
        return filter(None, map(_event, self._lines(self._first, self._settled)))

    def events(self) -> Iterator[Event]:
        """All events that are still there, oldest first."""
        return filter(None, map(_event, self._lines(self._first, self._end)))

    def renew(self, carried: Iterable[Event]) -> None:
        """Lets settled events go once they are many; those in `carried`, which count as settled, stay in their place.

        Does nothing while an event waits. A kill in the middle costs nothing that was not settled.
        """
        with self._lock:
            if self.waiting or self._end < LARGE:
                return
            os.ftruncate(self._file, self._first)
            self._settled = self._read = self._end = self._first
            self._remember()
            for event in carried:
                self._write(event.line())
            self._settled = self._read = self._end
            self._remember()

    def close(self) -> None:
        """Lets the file go, and removes it if nothing waits in it."""
        with self._lock:
            if self._file < 0:
                return
            if not self.waiting:
                self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def _make(self) -> None:
        """Makes the file. Until it says whose it is, nobody else takes it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.ftruncate(file, 0)
            head = _line(self.whose)
            mark = _mark(_MARK + len(head))
            _write_at(file, 0, mark + head)
        except BaseException:
            self.path.unlink()
            os.close(file)
            raise
        self._file = file
        self._first = self._settled = self._read = self._end = len(mark + head)

    def _write(self, line: bytes) -> None:
        try:
            _write_at(self._file, self._end, line)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(line)

    def _remember(self) -> None:
        """Writes down how far all is settled; whoever does not know sends it again, which changes nothing."""
        with contextlib.suppress(OSError):
            os.pwrite(self._file, _mark(self._settled), 0)

    def _lines(self, start: int, end: int) -> Iterator[bytes]:
        """The lines between two positions, each with its end, without holding more than a chunk of them."""
        rest = b""
        while start < end:
            chunk = os.pread(self._file, min(_CHUNK, end - start), start)
            start += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line + b"\n" for line in lines)


def spools(home: Path) -> list[Path]:
    """The spools in a study's folder, and in those of its siblings, which are in it."""
    return sorted([*home.glob("tracking.*.jsonl"), *home.glob("*/tracking.*.jsonl")])


def waiting(home: Path) -> int:
    """How many events wait in the spools of a study's folder, whoever has them now."""
    return sum(seen.waiting for path in spools(home) if (seen := look(path)))


def look(path: Path) -> Look | None:
    """Looks at a spool, whoever has it now; None if there is none, or it does not say whose it is."""
    try:
        with path.open("rb") as file:
            head = _head(file.fileno())
            if head is None:
                return None
            settled, whose, first = head
            file.seek(max(settled, first))
            oldest = file.readline()
            if not oldest.endswith(b"\n"):
                return Look(whose, 0, None)
            count = 1 + sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))
            event = _event(oldest)
            return Look(whose, count, event.time if event else None)
    except FileNotFoundError:
        return None


def _head(file: int) -> tuple[int, Mapping[str, Any], int] | None:
    """How far a spool is settled, whose it is, and where its events begin; None if it does not say."""
    start = os.pread(file, _CHUNK, 0)
    if start.count(b"\n") < 2:
        return None
    mark, whose, _ = start.split(b"\n", 2)
    return int(json.loads(mark)["settled"]), json.loads(whose), len(mark) + len(whose) + 2


def _event(line: bytes) -> Event | None:
    try:
        return Event(*json.loads(line))
    except (ValueError, TypeError):
        return None


def _write_at(file: int, position: int, data: bytes) -> None:
    """Writes all of it, or raises OSError."""
    while data:
        written = os.pwrite(file, data, position)
        position, data = position + written, data[written:]


def _mark(settled: int) -> bytes:
    return json.dumps({"settled": settled}).ljust(_MARK - 1).encode() + b"\n"


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
