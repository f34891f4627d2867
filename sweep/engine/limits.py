"""What a trial may take of its machine, and when its process has served long enough."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from sweep.engine import outcome as outcomes
from sweep.engine.outcome import Outcome

GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """The limits of a study's trials and of their processes.

    Attributes:
        seconds: after which a trial is ended; None is without end.
        gib: of memory above which a trial is ended; None is without limit.
        recycle_after: trials after which a process is replaced.
        recycle_gib: of memory above which a process is replaced after its trial; None is without limit.
    """

    seconds: float | None
    gib: float | None
    recycle_after: int
    recycle_gib: float | None

    def broken(self, seconds: float, pid: int, fresh: bool) -> Outcome | None:
        """What becomes of a trial that has run for so long in this process, if that is beyond a limit.

        `fresh` is whether the process has run no other trial before.
        """
        if self.seconds is not None and seconds > self.seconds:
            return outcomes.timed_out(self.seconds)
        if self.gib is not None and (used := memory(pid)) > self.gib * GIB:
            return outcomes.too_large(used / GIB, self.gib, fresh)
        return None

    def worn(self, trials: int, pid: int) -> bool:
        """Whether a process that has run so many trials is to be replaced before the next."""
        full = self.recycle_gib is not None and memory(pid) > self.recycle_gib * GIB
        return trials >= self.recycle_after or full


def memory(pid: int) -> int:
    """Bytes of memory that a process and all of its descendants hold (their resident sets); 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
