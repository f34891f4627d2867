"""Keeps matrices whose determinant lies above a threshold: |det| > value."""

from collections.abc import Sequence
from typing import Any

from data.rules import Rule


class Above(Rule):
    """|det| > value.

    The same threshold means other conditioning at other entry ranges: the determinant grows with the n-th power of the
    entries. `relative` takes that out.
    """

    allowed = "a finite number of at least 0"

    def accepts(self, value: float) -> bool:
        """Whether it can be a threshold."""
        return 0 <= value < float("inf")

    def keeps(self, determinants: Any, value: float, size: int, entry_range: Sequence[float]) -> Any:
        """Those beyond the threshold, of either sign."""
        del size, entry_range
        return abs(determinants) > value


RULE = Above()
