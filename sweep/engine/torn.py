"""Files of lines whose writer may have been killed in the middle of one."""

from __future__ import annotations

import os


def cut_torn_line(descriptor: int) -> None:
    """Cuts an unterminated last line off an open file."""
    end = size = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 4096)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
