"""What a confirmation has come to: numbers, verdict, and how people are shown it."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from sweep.engine.recomposed import Configuration
from sweep.results import confirmed_shown
from sweep.results.candidates import Candidate
from sweep.results.confirmed import Confirmed, conclude

SPREAD = np.array([-0.1, 0.05, 0.0, 0.02, 0.03])


def candidate(name: str, trial: int | None, score: float | None = None) -> Candidate:
    params = {"model.width": 8, "data.entry_range": [-1, 1]} if trial is not None else {}
    return Candidate(Configuration(name, (), OmegaConf.create(), name), trial, params, score)


THREE = [candidate("trial 4", 4, -1.2), candidate("trial 2", 2, -1.1), candidate("plain", None)]


def conclusion(
    *rows: Any,
    minimize: bool = True,
    candidates: list[Candidate] | None = None,
    looks: tuple[int, ...] = (),
    not_comparable: str | None = None,
) -> Confirmed:
    scores = np.stack(rows)
    return conclude(
        "test/log10_rel_error",
        minimize,
        candidates or THREE,
        list(range(scores.shape[1])),
        scores,
        {"zero skill": 0.0},
        "abc",
        looks,
        not_comparable,
    )


CLEAR = conclusion(-1 + SPREAD, -0.5 + SPREAD[::-1], 0 - SPREAD)


def test_a_champion_is_named_if_it_is_better_than_all_others() -> None:
    assert CLEAR.champion == CLEAR.best == "trial 4"
    assert CLEAR.verdict.startswith("Champion: trial 4 is better than each of the 2 others (largest p ")
    assert [row.name for row in CLEAR.rows] == ["trial 4", "trial 2", "plain"]


def test_it_is_said_who_keeps_it_from_being_one() -> None:
    found = conclusion(-1 + SPREAD, -0.99 + SPREAD[::-1], 0 - SPREAD)
    assert found.champion is None
    assert found.best == "trial 4"
    assert "trial 4 comes first, but is not shown to be better than trial 2 (p " in found.verdict
    assert "plain" not in found.verdict


def test_to_ask_again_with_more_seeds_takes_more() -> None:
    rows = -1 + SPREAD, -0.8 + SPREAD[::-1], 0 - SPREAD
    first, again = conclusion(*rows), conclusion(*rows, looks=(3, 4))
    assert first.champion == "trial 4"
    assert (again.champion, again.looks) == (None, [3, 4, 5])
    assert "allowed is 0.05 / 3² = 0.0056, as 3, 4 seeds were asked for before" in again.verdict
    assert conclusion(*rows, looks=(5, 10)) == conclusion(*rows, looks=(5, 10, 5)), "the same number is no further one"
    assert conclusion(*rows, looks=(5, 10)).champion == "trial 4"


def test_what_cannot_be_compared_has_no_champion() -> None:
    found = conclusion(-1 + SPREAD, -0.5 + SPREAD[::-1], 0 - SPREAD, not_comparable="data.matrix_size moves")
    assert (found.best, found.champion) == ("trial 4", None)
    assert found.verdict == "No champion: the study's trials cannot be compared: data.matrix_size moves."
    assert found.verdict in confirmed_shown.markdown(found)
    assert found.plain()["not_comparable"] == "data.matrix_size moves"


def test_a_baseline_is_no_champion() -> None:
    found = conclusion(0 + SPREAD, 1 + SPREAD[::-1], -1 - SPREAD)
    assert (found.champion, found.best) == (None, "plain")
    assert found.verdict == "No champion: plain, a baseline, comes first."


def test_the_larger_may_be_the_better() -> None:
    found = conclusion(1 - SPREAD, 0.5 + SPREAD, 0 + SPREAD, minimize=False)
    assert found.champion == "trial 4"
    assert [row.name for row in found.rows] == ["trial 4", "trial 2", "plain"]
    assert confirmed_shown.cells(found, found.rows[1])[5].startswith("+0.5 ±"), "what it is worse by is positive"
    assert confirmed_shown.cells(CLEAR, CLEAR.rows[1])[5].startswith("+0.5 ±")


def test_what_failed_and_diverged_is_counted_and_never_the_best() -> None:
    diverged, failed = -2 + SPREAD, -3 + SPREAD
    diverged[:4], failed[1:] = math.inf, math.nan
    found = conclusion(-1 + SPREAD, diverged, failed)
    assert found.best == "trial 4"
    by_name = {row.name: row for row in found.rows}
    assert (by_name["trial 2"].diverged, by_name["plain"].failed) == (4, 4)
    assert "plain (4 of 5 trainings failed)" in found.verdict
    assert "trial 2" not in found.verdict
    assert "1 (4 diverged)" in confirmed_shown.cells(found, by_name["trial 2"])
    nothing = conclusion(np.full(5, math.nan), np.full(5, math.inf), failed)
    assert (nothing.best, nothing.champion) == (None, None)
    assert "of every candidate, a training failed or all diverged" in nothing.verdict


def test_the_winners_curse_is_said() -> None:
    assert CLEAR.rows[0].gap == pytest.approx(0.2)
    assert CLEAR.rows[2].gap is None
    assert "scores were 0.4 better than the confirmed ones" in " ".join(confirmed_shown.sentences(CLEAR))
    larger = conclusion(1 - SPREAD, 0.5 + SPREAD, 0 + SPREAD, minimize=False)
    assert "scores were 1.9 worse than" in " ".join(confirmed_shown.sentences(larger))


def test_json_has_all_of_it_and_nothing_that_json_does_not() -> None:
    failed = np.full(5, math.nan)
    plain = json.loads(json.dumps(conclusion(-1 + SPREAD, -0.5 + SPREAD[::-1], failed).plain(), allow_nan=False))
    assert plain["champion"] is None
    assert plain["seeds"] == [0, 1, 2, 3, 4]
    assert plain["confidence"] == 0.95
    first, second, last = plain["candidates"]
    assert (first["trial"], first["name"], first["score"]) == (4, "trial 4", -1.2)
    assert first["low"] < first["mean"] < first["high"]
    assert first["difference"] is None
    assert second["difference"]["mean"] == pytest.approx(0.5)
    assert 0 < second["p"] < 0.05
    assert second["params"] == {"model.width": 8, "data.entry_range": "[-1, 1]"}
    assert (last["mean"], last["failed"], last["values"]) == (None, 5, [None] * 5)


def test_files_have_a_line_for_each_candidate(tmp_path: Path) -> None:
    as_json, as_csv = confirmed_shown.save(CLEAR, tmp_path / "confirm")
    assert json.loads(as_json.read_text())["champion"] == "trial 4"
    with as_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["trial 4", "trial 2", "plain"]
    assert float(rows[0]["mean"]) == pytest.approx(-1)
    assert [float(rows[0][f"seed_{seed}"]) for seed in range(5)] == pytest.approx(list(-1 + SPREAD))
    assert (rows[0]["difference_mean"], rows[2]["trial"]) == ("", "")


def test_people_are_shown_it_on_a_terminal_and_a_page() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(confirmed_shown.table(CLEAR, "s"))
    text = console.export_text()
    assert "trial 4" in text
    assert "-1 -0.11/+0.059" in text
    assert "+0.5 ± 0.12" in text
    page = confirmed_shown.markdown(CLEAR)
    assert page.count("\n| ") == 2 + 3
    assert "zero skill 0" in page
    assert CLEAR.verdict in page
