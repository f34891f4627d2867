"""How people are shown what was confirmed: on the terminal, on the study's page, and as files."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from sweep.results.confirmed import Confirmed, Row
from sweep.results.interval import CONFIDENCE, Estimate
from sweep.results.leaderboard import number


def curse(confirmed: Confirmed) -> str | None:
    """By how much the study's scores were too good, on average over its own candidates."""
    gaps = [row.gap for row in confirmed.rows if row.gap is not None and row.trial is not None]
    if not gaps:
        return None
    mean = sum(gaps) / len(gaps)
    better = (mean > 0) == confirmed.minimize
    much = number(abs(mean), 3)
    return f"The study's own scores were {much} {'better' if better else 'worse'} than the confirmed ones, on average."


def sentences(confirmed: Confirmed) -> list[str]:
    """What there is to say beside the numbers."""
    said = [confirmed.verdict, curse(confirmed)]
    if confirmed.without_network:
        named = (f"{name} {number(value)}" for name, value in confirmed.without_network.items())
        said.append(f"Without a network: {', '.join(named)}.")
    said.append(
        f"± is half of a {CONFIDENCE:.0%} interval, which holds if scores over seeds are about normal; p is of paired "
        "differences, corrected for their number (Holm)."
    )
    return [each for each in said if each]


HEADINGS = ("configuration", "seeds", "mean", "study", "gap", "worse by", "p")


def cells(confirmed: Confirmed, row: Row) -> list[str]:
    """A candidate as its cells under `HEADINGS`. What it is worse by is positive, whichever way is better."""
    lost = [f"{row.diverged} diverged"] * bool(row.diverged) + [f"{row.failed} failed"] * bool(row.failed)
    seeds = f"{row.mean.count} ({', '.join(lost)})" if lost else str(row.mean.count)
    worse = row.difference
    return [
        row.name,
        seeds,
        give_or_take(row.mean),
        shown(row.score),
        shown(row.gap, signed=True),
        give_or_take(worse if confirmed.minimize else -worse, signed=True) if worse else "",
        "" if row.corrected is None else number(row.corrected, 2),
    ]


def table(confirmed: Confirmed, study: str) -> Table:
    """The candidates as a table for the terminal."""
    title = f"{study}: {confirmed.objective} of {len(confirmed.seeds)} trainings each, on the test set"
    board = Table(title=escape(title), box=SIMPLE_HEAD, padding=0, show_edge=False)
    for heading in HEADINGS:
        board.add_column(heading, justify="left" if heading == "configuration" else "right", overflow="fold")
    for row in confirmed.rows:
        style = "bold" if row.name == confirmed.champion else None
        board.add_row(*map(escape, cells(confirmed, row)), style=style)
    return board


def markdown(confirmed: Confirmed) -> str:
    """The same for a page."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"| {' | '.join('---' for _ in HEADINGS)} |"]
    lines += [f"| {' | '.join(cells(confirmed, row))} |" for row in confirmed.rows]
    head = f"`{confirmed.objective}` of {len(confirmed.seeds)} trainings each, on the test set."
    return "\n\n".join([head, "\n".join(lines), *sentences(confirmed)])


def save(confirmed: Confirmed, folder: Path) -> list[Path]:
    """Writes `confirm.json` and `confirm.csv`, a line for each candidate; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = confirmed.plain()
    as_json, as_csv = folder / "confirm.json", folder / "confirm.csv"
    as_json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    with as_csv.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        own = ("name", "trial", "count", "diverged", "failed", "mean", "low", "high", "score", "gap", "corrected")
        versus = ("mean", "low", "high", "p")
        writer.writerow([*own, *(f"difference_{key}" for key in versus), *(f"seed_{s}" for s in plain["seeds"])])
        for row in plain["candidates"]:
            difference = row["difference"] or {}
            writer.writerow([*(row[key] for key in own), *(difference.get(key) for key in versus), *row["values"]])
    return [as_json, as_csv]


def shown(value: float | None, signed: bool = False) -> str:
    """A number in a table; nothing if there is none."""
    if value is None or math.isnan(value):
        return ""
    return ("+" if signed and value > 0 else "") + number(value, 3)


def give_or_take(found: Estimate, signed: bool = False) -> str:
    """A mean with half of its interval in a table; nothing if there is none."""
    half = "" if math.isnan(found.low) else f" ± {number((found.high - found.low) / 2, 2)}"
    return shown(found.mean, signed) + half
