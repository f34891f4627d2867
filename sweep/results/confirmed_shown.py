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
from sweep.tracking import note


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
        f"± and -/+ lead to the ends of {CONFIDENCE:.0%} intervals; that of a mean is longer on the side that scores "
        "are skewed to. p is of paired differences, or of how many trainings diverged."
    )
    return [each for each in said if each]


HEADINGS = ("configuration", "seeds", "mean", "study", "gap", "worse by", "p")


def cells(confirmed: Confirmed, row: Row) -> list[str]:
    """A candidate as its cells under `HEADINGS`. What it is worse by is positive, whichever way is better."""
    worse = row.difference
    return [
        row.name,
        f"{row.mean.count}{lost(row.diverged, row.failed)}",
        give_or_take(row.mean),
        shown(row.score),
        shown(row.gap, signed=True),
        give_or_take(worse if confirmed.minimize else -worse, signed=True) if worse else "",
        "" if row.p is None else number(row.p, 2),
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
    head = f"`{confirmed.objective}` of {len(confirmed.seeds)} trainings each, on the test set."
    board = note.table(HEADINGS, (cells(confirmed, row) for row in confirmed.rows))
    return "\n\n".join([head, board, *sentences(confirmed)])


def save(confirmed: Confirmed, folder: Path) -> list[Path]:
    """Writes `confirm.json` and `confirm.csv`, a line for each candidate; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = confirmed.plain()
    as_json, as_csv = folder / "confirm.json", folder / "confirm.csv"
    as_json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    with as_csv.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        own = ("name", "trial", "count", "diverged", "failed", "mean", "low", "high", "score", "gap", "p")
        versus = ("mean", "low", "high")
        writer.writerow([*own, *(f"difference_{key}" for key in versus), *(f"seed_{s}" for s in plain["seeds"])])
        for row in plain["candidates"]:
            difference = row["difference"] or {}
            writer.writerow([*(row[key] for key in own), *(difference.get(key) for key in versus), *row["values"]])
    return [as_json, as_csv]


def lost(diverged: int, failed: int) -> str:
    """How many trainings came to nothing, in parentheses; nothing if none did."""
    counts = {"diverged": diverged, "failed": failed}
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f" ({said})" if said else ""


def shown(value: float | None, signed: bool = False) -> str:
    """A number in a table; nothing if there is none."""
    if value is None or math.isnan(value):
        return ""
    return ("+" if signed and value > 0 else "") + number(value, 3)


def give_or_take(found: Estimate, signed: bool = False) -> str:
    """A mean in a table, with how far the ends of its interval are from it, as one number if they are equally far."""
    if math.isnan(found.low):
        return shown(found.mean, signed)
    down, up = number(found.mean - found.low, 2), number(found.high - found.mean, 2)
    return shown(found.mean, signed) + (f" ± {up}" if up == down else f" -{down}/+{up}")
