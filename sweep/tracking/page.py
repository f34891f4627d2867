"""The page of a study in MLflow: its parent run, as those write to it who must not wait for the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.tracking.note import NOTE
from sweep.tracking.spool import Spool, look, spools, waiting
from sweep.tracking.tracker import CLOSE_SECONDS, Tracker, new_spool, take_over

if TYPE_CHECKING:
    from sweep.tracking.runs import StudyRun

DONE = "trials/done"
"""The curve by which a page that is opened again knows how far its curves are."""

_KIND = "study"  # what the tag sweep.kind of a study's own run says
_RUN = 0  # the number by which the tracker knows its one run


class StudyPage:
    """Writes to a study's run. Nothing but `close` waits for the store, and nothing raises because of it.

    Everything is written in the order in which it was said, also what an earlier process said that was killed or ended
    while the store was away: it waits in the study's folder, and whoever opens the page next goes on with it. Call
    `close` at the end; what is not written then is kept.

    Args:
        run: the study's run.
        folder: the study's folder.

    Attributes:
        run: see above.
        folder: see above.
        step: the highest step of any metric that is known to have been written or to wait.
    """

    def __init__(self, run: StudyRun, folder: str | Path) -> None:
        self.run = run
        self.step = run.step
        self.folder = Path(folder)
        self._left: list[Tracker] = []
        self._lost, self._refusal = 0, ""
        spool, known = _left(self.folder, run.run_id), False
        if spool is None:
            tags = {"sweep.kind": _KIND, "sweep.study": run.study, "sweep.run_id": run.run_id}
            spool = new_spool(folder, run.store, tags=tags)
        else:
            for event in spool.events():
                self.step = max(self.step, event.payload.get("step", -1))
                known |= event.kind == "open"
        self._tracker = Tracker(run.store, spool)
        if not known:  # a kill may have taken it from a spool that was left
            self._tracker.put(_RUN, "open", {"run_id": run.run_id, "folder": None})

    @property
    def waiting(self) -> int:
        """How many events of the study and its siblings are not in MLflow yet, whoever has them now."""
        return waiting(self.folder)

    @property
    def lost(self) -> int:
        """How many events that this page was to write will never be written."""
        return self._lost + sum(tracker.lost for tracker in self._trackers())

    @property
    def away(self) -> str | None:
        """Where a store is that did not answer when it was last asked, and why not; None if all did."""
        return next((tracker.away for tracker in self._trackers() if tracker.away), None)

    @property
    def refusal(self) -> str:
        """Why MLflow refused the first event that it refused."""
        return next((tracker.refusal for tracker in self._trackers() if tracker.refusal), self._refusal)

    def begin(self) -> None:
        """Marks the study as running."""
        self._tracker.put(_RUN, "status", {"status": "RUNNING"})

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Adds a point to each of these curves.

        Args:
            values: by the curve's name.
            step: how many trials have ended.
        """
        self.step = max(self.step, step)
        numbers = {name: float(value) for name, value in values.items()}
        self._tracker.put(_RUN, "metrics", {"values": numbers, "step": step})

    def tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags."""
        self._tracker.put(_RUN, "tags", {name: str(value) for name, value in tags.items()})

    def describe(self, markdown: str) -> None:
        """Sets the description, in Markdown; MLflow keeps 8,000 characters of it."""
        self.tags({NOTE: markdown})

    def attach(self, path: str | Path, folder: str = "") -> None:
        """Adds a file to the artifacts, in a folder of theirs. It must stay where it is until it is written."""
        self._tracker.put(_RUN, "artifact", {"path": str(Path(path).absolute()), "folder": folder})

    def end(self, status: str) -> None:
        """Marks the study as ended: FINISHED, FAILED or KILLED."""
        self._tracker.put(_RUN, "status", {"status": status})

    def catch_up(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Writes what was said so far, here and by other processes of the study that are gone.

        Args:
            timeout: how long to wait for a store that answers, in seconds; it goes on in the background.

        Returns:
            Whether nothing waits for the page's own store, neither here nor in a process that lives.
        """
        deadline = time.monotonic() + timeout
        self._left += [tracker for path in spools(self.folder) if (tracker := take_over(path))]
        trackers = self._trackers()
        for tracker in trackers:
            tracker.flush(max(0.0, deadline - time.monotonic()), patient=False)
        mine = self.run.store.uri  # what waits for a store that the study has left holds nothing up
        done = not any(tracker.waiting for tracker in trackers if tracker.store.uri == mine)
        self._refusal = self.refusal
        written = [tracker for tracker in self._left if not tracker.waiting]
        self._left = [tracker for tracker in self._left if tracker not in written]
        self._lost += sum(tracker.close() for tracker in written)
        held = {tracker.path for tracker in self._trackers()}
        others = (look(path) for path in spools(self.folder) if path not in held)
        return done and not any(seen.waiting for seen in others if seen)

    def close(self, timeout: float = CLOSE_SECONDS) -> int:
        """Writes what is left; returns how many events are not in MLflow.

        Those that wait are kept on disk, so this does not wait long for a store that is away.

        Args:
            timeout: how long a store that answers may take, in seconds.
        """
        missing = self._tracker.close(timeout)
        return missing + sum(tracker.close(0 if tracker.away else timeout) for tracker in self._left)

    def _trackers(self) -> list[Tracker]:
        return [self._tracker, *self._left]


def _left(folder: Path, run_id: str) -> Spool | None:
    """What an earlier process left of this page, if it left anything."""
    for path in spools(folder):
        seen = look(path)
        if seen is not None and seen.whose["tags"].get("sweep.run_id") == run_id and (spool := Spool.take(path)):
            return spool
    return None
