"""Events on their way from a spool to MLflow: what is tried again, what is given up, and what is said of that."""

from __future__ import annotations

import logging

from sweep.tracking.spool import Event, Spool
from sweep.tracking.store import Store, is_away, reason, shown
from sweep.tracking.writer import Writer

log = logging.getLogger(__name__)

_PATIENCE = 5  # tries of what a store refuses as if it were away, although it takes other calls


class Delivery:
    """Writes what waits in a spool. Nothing raises because of the store.

    Args:
        store: where to.
        spool: what waits.

    Attributes:
        silence: why the store did not answer when it was last asked; empty if it did.
        refused: how many events will never be written, since MLflow refused them.
        refusal: why it refused the first of them.
    """

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store, self._spool = store, spool
        self._writer: Writer | None = None
        self._left: list[Event] = []
        self._tries: dict[int, int] = {}
        self._complained: set[int] = set()
        self.silence = ""
        self.refused = 0
        self.refusal = ""

    def deliver(self) -> bool:
        """Writes the oldest events that wait; returns whether that is done, so that they can be settled."""
        try:
            if self._writer is None:
                whose = self._spool.whose
                self._writer = Writer(self._store, whose["parent"], whose["tags"], again=self._spool.was_left)
                self._writer.recall(self._spool.settled())
            self._left = self._write(self._writer, self._left or self._spool.read())
        except Exception as error:  # no store, or no mlflow
            self._warn(error)
            return False
        if self._left:
            return False
        self._answered()
        return True

    def settle(self) -> None:
        """Settles what was delivered; not while another thread appends."""
        self._spool.settle()
        if self._writer is not None and (carried := self._writer.carried()) is not None:
            self._spool.renew(carried)

    def _write(self, writer: Writer, events: list[Event]) -> list[Event]:
        """Writes what can be written; returns the rest, in order."""
        runs: dict[int, list[Event]] = {}
        for event in events:
            runs.setdefault(event.number, []).append(event)
        for number, own in runs.items():
            runs[number] = self._write_run(writer, number, own)
            if runs[number] and self.silence:
                break
        left = {id(event) for own in runs.values() for event in own}
        return [event for event in events if id(event) in left]

    def _write_run(self, writer: Writer, number: int, events: list[Event]) -> list[Event]:
        """Writes events of one run; returns those to be tried again. One that is refused does not hold up the rest."""
        try:
            writer.write(number, events)
        except Exception as error:
            if is_away(error) and self._worth_waiting(writer, number, error):
                return events
            if len(events) == 1:
                self._refuse(events[0], error)
                return []
            half = len(events) // 2
            left = self._write_run(writer, number, events[:half])
            return [*left, *events[half:]] if left else self._write_run(writer, number, events[half:])
        self._tries.pop(number, None)
        return []

    def _worth_waiting(self, writer: Writer, number: int, error: Exception) -> bool:
        """Whether a failed call should be made again: while the store is away; a few times, if only this call fails."""
        try:
            writer.ping()
        except Exception as silence:
            if is_away(silence):
                self._warn(error)
                return True
        self._answered()
        self._tries[number] = self._tries.get(number, 0) + 1
        return self._tries[number] <= _PATIENCE

    def _warn(self, error: Exception) -> None:
        """Says that the store is away, once until it is back."""
        said, self.silence = self.silence, reason(error)
        if not said:
            where = shown(self._store.uri)
            log.warning("MLflow at %s is away (%s); events wait, trials go on", where, self.silence)

    def _answered(self) -> None:
        if self.silence:
            self.silence = ""
            log.info("MLflow at %s answers again; what had waited is being written", shown(self._store.uri))

    def _refuse(self, event: Event, error: Exception) -> None:
        """Counts an event that will never be written, and says so: in full once a run."""
        self.refused += 1
        self.refusal = self.refusal or reason(error)
        level = logging.DEBUG if event.number in self._complained else logging.WARNING
        self._complained.add(event.number)
        log.log(level, "MLflow refused the %s event of trial %d: %s", event.kind, event.number, reason(error))
