"""Keeps matrices whose determinant lies above a threshold that grows with the entries: |det| > value · rⁿ."""

import math
from collections.abc import Sequence
from typing import Any

from data.rules import Rule


class Relative(Rule):
    """|det| > value · rⁿ, where r = max(|low|, |high|) is the largest entry that can be drawn.

    det(cA) = cⁿ det(A): when the entry range is multiplied by c, the same matrices are kept, times c. The acceptance
    and all condition numbers stay, and inverses are divided by c.
    """

    allowed = "a finite number of at least 0"

    def accepts(self, value: float) -> bool:
        """Whether it can be a threshold."""
        return 0 <= value < float("inf")

    def keeps(self, determinants: Any, value: float, size: int, entry_range: Sequence[float]) -> Any:
        """Those beyond the threshold, of either sign."""
        largest = max(abs(bound) for bound in entry_range)
        # A product, because a power that is too large raises where this becomes infinite, and nothing is kept.
        return abs(determinants) > value * math.prod([largest] * size)


RULE = Relative()
