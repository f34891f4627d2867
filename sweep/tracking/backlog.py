"""What waits to be written: events, in the order in which they happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened to a run; plain values only, so that it could be kept in a file.

    Attributes:
        time: when, in ms since 1970. It goes with the event, so that what is sent twice is the same twice.
        number: the run's trial.
        kind: "begin", "end", or a kind of `sweep.engine.trial`.
        payload: what there is to say.
    """

    time: int
    number: int
    kind: str
    payload: dict[str, Any]


class Backlog:
    """A queue in memory. Whoever takes events gives back those that could not be written; order is kept."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: Event) -> None:
        """Adds the newest event."""
        self._events.append(event)

    def take(self, most: int) -> list[Event]:
        """Takes the `most` oldest events out."""
        return [self._events.popleft() for _ in range(min(most, len(self._events)))]

    def give_back(self, events: Sequence[Event]) -> None:
        """Puts events that were taken back before all others."""
        self._events.extendleft(reversed(events))
