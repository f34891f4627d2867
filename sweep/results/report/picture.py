"""A picture of a report: a figure with what stands above and beneath it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sweep.results.figure_style import RED, WIDTH, new_figure, save

COLUMNS = 3
"""How many panels stand beside each other."""


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        title: what stands above it.
        caption: what is to be seen, and how it is to be read.
        figure: the figure.
    """

    title: str
    caption: str
    figure: Figure

    def save(self, path: Path, not_comparable: str | None = None) -> Path:
        """Writes it as PNG, and returns the path.

        Args:
            path: of the file.
            not_comparable: why the values cannot be compared: that they cannot stands across it, and why in its
                metadata.
        """
        if not_comparable:
            look: dict[str, Any] = {
                "fontsize": 34,
                "color": RED,
                "alpha": 0.35,
                "ha": "center",
                "va": "center",
                "rotation": 20,
            }
            self.figure.text(0.5, 0.5, "not comparable", **look, in_layout=False)
        save(self.figure, path, comment=not_comparable)
        return path


def panels(count: int, height: float = 2.7, columns: int = COLUMNS) -> tuple[Figure, list[Any]]:
    """A figure with so many axes side by side, in rows of at most `columns`.

    Args:
        count: how many.
        height: of a row, in inches.
        columns: how many there are beside each other.
    """
    across = min(count, columns)
    rows = math.ceil(count / across)
    figure, axes = new_figure(rows, across, width=WIDTH * (0.62 if across == 1 else 1), height=height * rows + 0.3)
    every = list(axes.flat)
    for unused in every[count:]:
        figure.delaxes(unused)
    return figure, every[:count]
