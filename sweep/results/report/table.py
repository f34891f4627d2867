"""A table of a report: a CSV file with full values, and what the page shows of it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.engine.study import NOT_COMPARABLE
from sweep.results.leaderboard import number

MOST = 500
"""How many rows of a table that is unfolded the page has."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: what stands above it.
        columns: their headings.
        rows: cells, one for each column: numbers, texts or None.
        caption: what stands beneath it.
        shown: how many columns, from the first, the page shows; all by default.
        first: how many rows, from the first, the page shows at once; all by default. The others can be unfolded.
        short: what the page calls columns whose headings are long.
        shares: columns that the page shows in percent.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""
    shown: int | None = None
    first: int | None = None
    short: Mapping[str, str] = field(default_factory=dict)
    shares: frozenset[str] = frozenset()

    def save(self, path: Path, not_comparable: str | None = None) -> Path:
        """Writes it as CSV, with every digit that there is, and returns the path.

        Args:
            path: of the file.
            not_comparable: why the values cannot be compared, which every row then says in a column of its own.
        """
        mark = {NOT_COMPARABLE: not_comparable} if not_comparable else {}
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*self.columns, *mark])
            writer.writerows([*("" if cell is None else cell for cell in row), *mark.values()] for row in self.rows)
        return path

    @property
    def headings(self) -> tuple[str, ...]:
        """The columns that the page shows."""
        return tuple(self.short.get(name, name) for name in self.columns[: self.shown])

    @property
    def numeric(self) -> frozenset[int]:
        """The columns that hold numbers alone, which stand to the right."""
        return frozenset(at for at in range(len(self.columns)) if all(_is_number(row[at]) for row in self.rows))

    @property
    def left_out(self) -> int:
        """How many rows the file has and the page has not: thousands would make it slow."""
        return max(0, len(self.rows) - max(MOST, self.first or 0)) if self.first is not None else 0

    def texts(self, first: bool) -> list[list[str]]:
        """The rows that the page shows at once (`first`), or unfolded."""
        limit = len(self.rows) if self.first is None else self.first
        rows: Sequence[tuple[Any, ...]] = self.rows[:limit] if first else self.rows[limit:MOST]
        columns = self.columns[: self.shown]
        return [[self._text(name, cell) for name, cell in zip(columns, row, strict=False)] for row in rows]

    def _text(self, column: str, cell: Any) -> str:
        if cell is None:
            return ""
        return f"{cell:.1%}" if column in self.shares else number(cell)


def _is_number(cell: Any) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))
