"""Makes the report of a study: the page, its pictures and its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import optuna
from threadpoolctl import threadpool_limits

from sweep.engine.study import NOT_COMPARABLE
from sweep.results.report import interactive, tables
from sweep.results.report.answer import answer
from sweep.results.report.caveats import caveats
from sweep.results.report.evidence import Evidence
from sweep.results.report.figures import (
    cost,
    history,
    importance,
    learning,
    pairs,
    parallel,
    parameters,
    pareto,
    regions,
    scientific,
    timeline,
)
from sweep.results.report.interactive import Interactive
from sweep.results.report.page import page, shown
from sweep.results.report.picture import Picture
from sweep.results.report.table import Table

Made = TypeVar("Made")

PAGE = "report.html"

PICTURES: Mapping[str, Callable[[Evidence], Picture | None]] = {
    "pareto_front": pareto.pareto,
    "scientific": scientific.scientific,
    "importance": importance.importance,
    "isolation": parameters.isolation,
    "slices": parameters.slices,
    "pairs": pairs.pairs,
    "history": history.history,
    "best_of_n": history.best_of_n,
    "learning_curves": learning.learning,
    "parallel_coordinates": parallel.parallel,
    "timeline": timeline.timeline,
    "regions": regions.regions,
    "cost": cost.cost,
}

MOVING: Mapping[str, Callable[[Evidence], Interactive | None]] = {
    "history": interactive.history,
    "slices": interactive.slices,
    "parallel_coordinates": interactive.parallel,
}
"""Figures to move in; where no script runs, the picture of the same name stands in."""

TABLES: Mapping[str, Callable[[Evidence], Table | None]] = {
    "leaderboard": tables.leaderboard,
    "confirmed": tables.confirmed,
    "scientific": tables.scientific,
    "importance": tables.importance,
    "together": tables.together,
    "isolation": tables.isolation,
    "regions": tables.regions,
    "best_of_n": tables.best_of_n,
    "cost": tables.cost,
    "trials": tables.trials,
    "fixed": tables.fixed,
}


@dataclass(frozen=True)
class Report:
    """A report that was made.

    Attributes:
        page: its HTML file.
        figures: PNG files.
        tables: CSV files.
    """

    page: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]

    def files(self) -> list[tuple[Path, str]]:
        """All files, each with its folder among a run's artifacts."""
        beside = (("report/figures", self.figures), ("report/tables", self.tables))
        return [(self.page, "report"), *((path, folder) for folder, paths in beside for path in paths)]


def make_report(study: optuna.Study, folder: Path) -> Report:
    """Makes the report of a study, in place of an earlier one.

    Args:
        study: any study, also one that is running, or of which no trial is complete.
        folder: gets report.html, figures/ and tables/.
    """
    with threadpool_limits(1):  # its matrices are small: two threads take twice as long as one, where cores are busy
        evidence = Evidence.of(study)
    drawn, moving, listed = _made(PICTURES, evidence), _made(MOVING, evidence), _made(TABLES, evidence)
    _clear(folder)
    mark = evidence.attributes.get(NOT_COMPARABLE)
    figures = {name: picture.save(folder / "figures" / f"{name}.png", mark) for name, picture in drawn.items()}
    written = [table.save(folder / "tables" / f"{name}.csv", mark) for name, table in listed.items()]
    pictures = {name: shown(picture, figures[name]) for name, picture in drawn.items()}
    html = page(evidence, answer(evidence), caveats(evidence), pictures, moving, listed)
    fresh = folder / f".{PAGE}"
    fresh.write_text(html, encoding="utf-8")
    return Report(fresh.replace(folder / PAGE), tuple(figures.values()), tuple(written))


def _made(makers: Mapping[str, Callable[[Evidence], Made | None]], evidence: Evidence) -> dict[str, Made]:
    """What these make of the evidence, by name, if they make anything of it."""
    return {name: made for name, make in makers.items() if (made := make(evidence)) is not None}


def _clear(folder: Path) -> None:
    """Makes the folders of a report, and removes what an earlier one left there: nothing else, wherever that may be."""
    for kind, names, suffix in (("figures", PICTURES, "png"), ("tables", TABLES, "csv")):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / kind / f"{name}.{suffix}").unlink(missing_ok=True)
