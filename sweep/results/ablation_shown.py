"""How people are shown an ablation: on the terminal, on the study's page, as files, and as a waterfall."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from sweep.results.ablation import Ablation, Row
from sweep.results.confirmed_shown import give_or_take, lost, shown
from sweep.results.interval import CONFIDENCE
from sweep.results.leaderboard import number
from sweep.results.waterfall import save_waterfall
from sweep.tracking import note

HEADINGS = ("change", "mean", "gain", "p", "it", "tried")


def cells(row: Row) -> list[str]:
    """A step as its cells under `HEADINGS`."""
    return [
        row.change,
        give_or_take(row.mean) + lost(row.diverged, row.failed),
        give_or_take(row.gain, signed=True) if row.gain else "",
        "" if row.corrected is None else number(row.corrected, 2),
        row.effect,
        str(len(row.screened) or ""),
    ]


def table(ablation: Ablation, study: str) -> Table:
    """The steps as a table for the terminal."""
    title = f"{study}: {ablation.objective} from {ablation.origin} to {ablation.best}, {len(ablation.seeds)} seeds"
    board = Table(title=escape(title), box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in HEADINGS:
        board.add_column(heading, justify="left" if heading in ("change", "it") else "right", overflow="fold")
    for row in ablation.rows:
        board.add_row(*map(escape, cells(row)))
    return board


def sentences(ablation: Ablation) -> list[str]:
    """What there is to say beside the numbers."""
    said = [f"Not comparable: {ablation.not_comparable}"] if ablation.not_comparable else []
    for effect, words in {"helps": "Helps", "hurts": "Hurts", "nothing shown": "Not shown to do anything"}.items():
        named = [_with_gain(row) for row in ablation.rows if row.effect == effect]
        if named:
            said.append(f"{words}: {'; '.join(named)}.")
    if (total := ablation.total) is not None:
        of = f", over the {total.count} seeds that neither end lost" if total.count < len(ablation.seeds) else ""
        said.append(f"In all: {give_or_take(total, True)}{of}; a gain is positive where it is better.")
    reasons = {name: why for row in ablation.rows for name, why in row.skipped.items()}
    said += [f"Not tried before others were made: {name} ({why})" for name, why in reasons.items()]
    said.append(
        f"± is half of a {CONFIDENCE:.0%} interval over seeds; p is of paired differences, or of how many trainings "
        "diverged, corrected for the number of steps (Holm). What a change brings depends on those made before it."
    )
    return said


def _with_gain(row: Row) -> str:
    """A step in a sentence."""
    gain = f" ({shown(row.gain.mean, True)})" if row.gain else ""
    return f"{row.change}{gain}{lost(row.diverged, row.failed)}"


def markdown(ablation: Ablation) -> str:
    """The same for a page."""
    head = f"`{ablation.objective}` of {len(ablation.seeds)} trainings each, on the study's own evaluation set."
    return "\n\n".join([head, note.table(HEADINGS, map(cells, ablation.rows)), *sentences(ablation)])


def save(ablation: Ablation, folder: Path) -> list[Path]:
    """Writes `from-NAME.png`, `.csv` (a line for each step) and `.json` (all there is); returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    picture, as_csv, as_json = (folder / f"from-{ablation.origin}.{kind}" for kind in ("png", "csv", "json"))
    plain = ablation.plain()
    as_json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    with as_csv.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        parts = ("mean", "low", "high")
        first = ["step", "change", "effect", *parts, "gain", "gain_low", "gain_high", "p", "corrected"]
        writer.writerow([*first, "diverged", "failed", *(f"seed_{seed}" for seed in plain["seeds"])])
        for step, row in enumerate(plain["rows"]):
            gain = row["gain"] or {}
            numbers = [*(row["mean"][part] for part in parts), *(gain.get(part) for part in (*parts, "p"))]
            own = [row["corrected"], row["diverged"], row["failed"], *row["values"]]
            writer.writerow([step, row["change"], row["effect"], *numbers, *own])
    save_waterfall(ablation, picture)
    return [picture, as_csv, as_json]
