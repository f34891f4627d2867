"""The page: one HTML file that holds everything, for any browser, without a network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sweep.results.leaderboard import ORDER, number, states
from sweep.results.progress import duration
from sweep.results.report.caveats import Caveat
from sweep.results.report.evidence import Evidence
from sweep.results.report.interactive import Interactive
from sweep.results.report.picture import Picture
from sweep.results.report.table import Table

TEMPLATE = "page.html.jinja"


@dataclass(frozen=True)
class Shown:
    """A picture as the page holds it.

    Attributes:
        title: what stands above it.
        caption: what stands beneath it.
        data: the PNG, as a data URI.
    """

    title: str
    caption: str
    data: str


def page(
    evidence: Evidence,
    said: Sequence[str],
    caveats: Sequence[Caveat],
    pictures: Mapping[str, Shown],
    moving: Mapping[str, Interactive],
    tables: Mapping[str, Table],
) -> str:
    """The page as HTML.

    Args:
        evidence: what is known of the study.
        said: the answer.
        caveats: what to be warned of.
        pictures: by name.
        moving: figures to move in, by name; the picture of the same name stands in where no script runs.
        tables: by name.
    """
    from plotly.offline import get_plotlyjs

    # Everything is escaped but what is said to be safe: names of parameters and reasons may be anything.
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    templates.filters["number"] = number
    made: str = templates.get_template(TEMPLATE).render(
        evidence=evidence,
        said=said,
        caveats=caveats,
        pictures=pictures,
        moving=moving,
        tables=tables,
        counts=_counts(evidence),
        when=datetime.now().strftime("%Y-%m-%d %H:%M"),
        version=version("sweep"),
        plotlyjs=get_plotlyjs() if moving else "",
    )
    return made


def shown(picture: Picture, path: Path) -> Shown:
    """A picture that was written to a PNG, as the page holds it."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Shown(picture.title, picture.caption, f"data:image/png;base64,{data}")


def _counts(evidence: Evidence) -> list[tuple[str, Any]]:
    """The study in numbers: each with what it counts."""
    by_state = states(evidence.study)
    found: list[tuple[str, Any]] = [
        ("failed" if state == "FAIL" else state.lower(), by_state[state]) for state in ORDER if by_state.get(state)
    ]
    times = [t.duration.total_seconds() for t in evidence.trials if t.duration and t.state.is_finished()]
    if times:
        found += [
            ("a trial, on average", duration(sum(times) / len(times))),
            ("all trials together", duration(sum(times))),
        ]
    return found
