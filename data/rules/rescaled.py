"""Gives all matrices one determinant: row 0 is multiplied by value / det."""

from typing import Any

from data.rules import Rule


class Rescaled(Rule):
    """det = value, as in the question that this project began with (there, 1).

    The other rows stay as they were drawn. So do all columns of the inverse but the first, which becomes that of the
    drawn inverse times det / value: its entries are the cofactors of row 0 over `value`. With entries in (0, 100) and
    determinant 1 they have a root mean square of 3118, beside a median of 0.02 in the other columns.
    """

    allowed = "a finite number other than 0"

    def accepts(self, value: float) -> bool:
        """Whether it can be a determinant of a matrix that has an inverse."""
        return 0 < abs(value) < float("inf")

    def row_factor(self, determinants: Any, value: float) -> Any:
        """What brings each determinant to `value`."""
        return value / determinants


RULE = Rescaled()
