"""The report: every number checked against the study, every figure drawn, and the page opened in a browser."""

import csv
import itertools
import json
import math
import os
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import optuna
import planted
import pytest
from application import Application
from click.testing import CliRunner
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from sweep.cli import commands
from sweep.engine.storage import open_storage
from sweep.results.leaderboard import number, ranked
from sweep.results.report.axis import UNITS, Axis, axes_of
from sweep.results.report.build import MOVING, PICTURES, Report, make_report
from sweep.results.report.caveats import caveats
from sweep.results.report.evidence import Evidence
from sweep.results.report.luck import expected_best
from sweep.results.report.ruler import ticks

CHROMIUMS_OWN = (".google.com", ".googleapis.com")
"""Where Chromium looks for news of itself, whatever page it shows."""

DIMENSIONLESS = {"target_scale", "model", "x", "n", "kind", "steps", "optimizer", "momentum", "idle", "typo"}
"""Parameters in these studies that are plain numbers or names, drawn evenly."""

VOID = {"meta", "link", "img", "br", "hr", "input", "base"}


@dataclass
class Page(HTMLParser):
    """A page, parsed."""

    html: str
    loads: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    caveats: dict[str, str] = field(default_factory=dict)
    tables: list[list[list[str]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(self.html)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [str(given[key]) for key in ("src", "href", "data", "action", "srcset", "poster") if key in given]
        self.loads += [tag] if tag in ("link", "base", "iframe", "object", "embed", "form") else []
        self.ids += [str(given["id"])] if "id" in given else []
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self._open.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        within = [tag for tag, _ in self._open]
        if "script" in within or "style" in within:
            return
        self.text += data
        if within[-1:] in (["td"], ["th"]):
            self.tables[-1][-1][-1] += data
        kind = next((given["data-kind"] for _, given in self._open if "data-kind" in given), None)
        if kind is not None and within[-1] == "li":
            self.caveats[kind] = self.caveats.get(kind, "") + data


@dataclass
class Made:
    """A study and its report."""

    study: optuna.Study
    report: Report
    evidence: Evidence
    page: Page

    def csv(self, name: str) -> list[dict[str, str]]:
        (path,) = [path for path in self.report.tables if path.stem == name]
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    @property
    def figures(self) -> set[str]:
        return {path.stem for path in self.report.figures}


def made(study: optuna.Study, folder: Path) -> Made:
    report = make_report(study, folder / "report")
    return Made(study, report, Evidence.of(study), Page(report.page.read_text()))


def journal(folder: Path, name: str = "planted", **how: Any) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=open_storage(None, folder), **how)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What the task's own studies are like, with everything that a report can show."""
    folder = tmp_path_factory.mktemp("rich")
    study = journal(folder)
    planted.plant(study, 80)
    best = ranked(study)[0]
    planted.add(study, best.params, best.values[0], repeat_of=best.number, slot=0, agent="one")
    asked = planted.draw(planted.SPACE, np.random.default_rng(5))
    planted.add(study, asked, -0.35, enqueued=asked, slot=1, agent="one")
    fixed = {"train.loss": "mae", "model.bias": True, "data.pool": None}
    study.set_user_attr("identity", {"fixed": fixed, "space": {}, "directions": ["minimize"]})
    sibling = journal(folder, "planted.baselines")
    overrides = ["+experiment=question"]
    told = {"facts": {"parameters": 270, "flops_per_sample": 500}, "metrics": {"val/rmse": 2.0}}
    for value in (-0.15, -0.2):
        planted.add(sibling, None, value, configuration={"name": "question", "overrides": overrides}, **told)
    return made(study, folder)


def complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials with a result, best first, found without the code under test."""
    own = [t for t in study.trials if t.state == TrialState.COMPLETE and "repeat_of" not in t.user_attrs]
    return sorted(own, key=lambda trial: trial.values[0])


def test_it_leaves_a_page_its_figures_and_its_tables(rich: Made) -> None:
    folder = rich.report.page.parent
    assert rich.report.page == folder / "report.html"
    assert rich.figures == set(PICTURES) - {"pareto_front", "scientific"}
    assert {path.stem for path in rich.report.tables} == {
        *("leaderboard", "importance", "together", "isolation", "regions", "best_of_n", "cost", "trials", "fixed")
    }
    for path in rich.report.figures:
        assert path.parent == folder / "figures"
        assert path.read_bytes().startswith(b"\x89PNG")
    attached = dict(rich.report.files())
    assert attached[rich.report.page] == "report"
    assert attached[folder / "tables/trials.csv"] == "report/tables"
    assert attached[folder / "figures/history.png"] == "report/figures"
    assert rich.report.page.stat().st_size < 9e6


def test_the_page_needs_nothing_but_itself(rich: Made) -> None:
    assert all(load.startswith(("data:image/png;base64,", "#")) for load in rich.page.loads)
    assert sum(load.startswith("data:") for load in rich.page.loads) == len(rich.report.figures)
    assert rich.page.html.count("plotly.js v") == 1
    assert set(MOVING) <= set(rich.page.ids)
    assert "default-src 'none'" in rich.page.html
    assert len(rich.page.ids) == len(set(rich.page.ids))


def test_the_answer_comes_first(rich: Made) -> None:
    best = complete(rich.study)[0]
    count = len(complete(rich.study))
    text = " ".join(rich.page.text.split())
    answer = text.index(f"The best of {count} trials with a result is trial {best.number}: val/log10_rel_error")
    assert answer < text.index("Results")
    assert f"is {number(best.values[0])}, with depth={best.params['model.depth']}" in text
    assert "zero skill has -0.01" in text
    assert f"({number(10 ** (-0.01 - best.values[0]), 3)} times the error of the best)" in text
    assert "best linear has -0.03" in text
    assert "baseline question has -0.2" in text
    (found,) = rich.evidence.importances
    assert all(sentence in text for sentence in found.sentences)


@pytest.mark.parametrize("name", sorted(set(PICTURES) - {"pareto_front", "scientific"}))
def test_every_axis_says_what_it_is(rich: Made, name: str) -> None:
    check_axes(PICTURES[name](rich.evidence))


def check_axes(picture: Any) -> None:
    """Every axes has labels; panels side by side may share that of their values."""
    assert picture.title
    assert picture.caption
    shown = [axes for axes in picture.figure.axes if axes.get_label() != "<colorbar>"]
    bars = [axes for axes in picture.figure.axes if axes.get_label() == "<colorbar>"]
    for axes in shown:
        row = axes.get_subplotspec().rowspan
        beside = [other for other in shown if other.get_subplotspec().rowspan == row]
        assert axes.get_xlabel()
        labels = [label for other in beside if (label := other.get_ylabel())]
        assert labels
        for label in (axes.get_xlabel(), *labels):
            check_label(label)
    for bar in bars:
        check_label(bar.get_ylabel())


def check_label(label: str) -> None:
    """It has a unit, a scale or what is counted in parentheses, unless it is a parameter that has no dimension."""
    name = " ".join(label.split())
    assert "(" in name or name in DIMENSIONLESS, f"{name!r} has no unit"
    for param, unit in UNITS.items():
        assert not name.startswith(param) or f"({unit}" in name, f"{name!r} is in {unit}"


def test_what_differs_in_colour_differs_in_more(rich: Made) -> None:
    for name in ("history", "best_of_n", "learning_curves"):
        (axes,) = PICTURES[name](rich.evidence).figure.axes  # type: ignore[union-attr]
        lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
        looks = [(str(line.get_linestyle()), str(line.get_marker())) for line in lines]
        assert len(set(looks)) == len(looks)
    for name in ("regions", "timeline"):
        picture = PICTURES[name](rich.evidence)
        bars = [bar for axes in picture.figure.axes for bar in (*axes.patches, *axes.collections)]  # type: ignore[union-attr]
        hatches = {str(np.round(bar.get_facecolor(), 3)): bar.get_hatch() for bar in bars}
        assert len(set(hatches.values())) == len(hatches)


@pytest.mark.parametrize("name", sorted(MOVING))
def test_plotly_takes_the_figures_to_move_in(rich: Made, name: str) -> None:
    import plotly.graph_objects as go

    moving = MOVING[name](rich.evidence)
    assert moving is not None
    go.Figure(moving.figure)  # raises for any key or value that it does not know
    assert "https://" not in moving.div(name)
    assert '"showSendToCloud": false' in moving.div(name)


def test_parallel_coordinates_have_logarithmic_axes(rich: Made) -> None:
    (trace,) = MOVING["parallel_coordinates"](rich.evidence).figure["data"]  # type: ignore[union-attr]
    (rate,) = [shown for shown in trace["dimensions"] if shown["label"] == "learning_rate (log)"]
    assert rate["range"] == pytest.approx([-5, -1])
    rates = [math.log10(trial.params["optimizer.learning_rate"]) for trial in complete(rich.study)]
    assert sorted(rate["values"]) == pytest.approx(sorted(rates))


def test_the_leaderboard_has_the_trials_and_what_they_are_compared_with(rich: Made) -> None:
    rows = rich.csv("leaderboard")
    expected = complete(rich.study)
    own = [row for row in rows if row["rank"]]
    assert [int(row["trial"]) for row in own] == [trial.number for trial in expected]
    assert [int(row["rank"]) for row in own] == list(range(1, len(expected) + 1))
    for row, trial in zip(own, expected, strict=True):
        assert float(row["val/log10_rel_error"]) == trial.values[0]
        assert row["val/rmse"] == str(trial.user_attrs.get("metrics", {}).get("val/rmse", ""))
        assert float(row["learning_rate"]) == trial.params["optimizer.learning_rate"]
        assert row["entry_range"] == trial.params["data.entry_range"]
        assert row["what"] == ("enqueued" if "enqueued" in trial.user_attrs else "")
    beside = [
        (row["what"], float(row["val/log10_rel_error"]), float(row["val/rmse"])) for row in rows if not row["rank"]
    ]
    assert beside == [
        *(("baseline question", -0.2, 2.0), ("best linear", -0.03, 2.421), ("zero skill", -0.01, 2.438)),
    ]


def test_the_page_shows_the_leaderboard(rich: Made) -> None:
    head, *rows = rich.page.tables[0]
    assert head[:8] == [
        "rank",
        "trial",
        "what",
        "val/log10_rel_error",
        "depth",
        "width",
        "learning_rate",
        "entry_range",
    ]
    for row, trial in zip(rows[:15], complete(rich.study), strict=False):
        assert row[1:4] == [str(trial.number), row[2], number(trial.values[0])]
    assert [row[2] for row in rows[15:]] == ["baseline question", "best linear", "zero skill"]
    assert rows[0][head.index("≤ 5%")] == f"{complete(rich.study)[0].user_attrs['metrics']['val/within_5pct']:.1%}"


def test_isolation_has_the_best_of_each_part_of_a_range(rich: Made) -> None:
    rows = rich.csv("isolation")
    trials = complete(rich.study)
    for depth in range(1, 9):
        (row,) = [r for r in rows if r["parameter"] == "model.depth" and r["values"] == str(depth)]
        inside = [trial for trial in trials if trial.params["model.depth"] == depth]
        assert (int(row["trials with a result"]), int(row["trial"])) == (len(inside), inside[0].number)
        assert float(row["best"]) == min(trial.values[0] for trial in inside)
        assert row["third best"] == (str(inside[2].values[0]) if len(inside) > 2 else "")
    rates = [row for row in rows if row["parameter"] == "optimizer.learning_rate"]
    edges = np.geomspace(1e-5, 1e-1, 7)
    for row, (low, high) in zip(rates, itertools.pairwise(edges), strict=True):
        inside = [trial for trial in trials if low <= trial.params["optimizer.learning_rate"] < high]
        assert int(row["trials with a result"]) == len(inside)
        assert float(row["best"]) == inside[0].values[0]
    assert rates[0]["values"] == "1e-5 – 4.6e-5"
    entries = [row for row in rows if row["parameter"] == "data.entry_range"]
    assert [row["values"] for row in entries] == ["[-1,1]", "[-2,2]", "[-4,4]"]
    assert sum(int(row["trials with a result"]) for row in entries) == len(trials)


def test_regions_count_what_became_of_the_trials(rich: Made) -> None:
    rows = [row for row in rich.csv("regions") if row["parameter"] == "data.entry_range"]
    for row in rows:
        inside = [t for t in rich.study.trials if t.params["data.entry_range"] == row["values"]]
        states = Counter("diverged" if t.user_attrs.get("reason") == "diverged" else t.state.name for t in inside)
        counted = {"complete": "COMPLETE", "pruned": "PRUNED", "diverged": "diverged", "failed": "FAIL"}
        assert {end: int(row[end]) for end in counted} == {end: states[state] for end, state in counted.items()}
        assert int(row["ended"]) == len(inside)


def test_the_best_of_n_is_that_of_all_draws(rich: Made) -> None:
    values = np.array([0.3, 0.1, 0.7, 0.2])
    for n in (1, 2, 3):
        every = [min(drawn) for drawn in itertools.product(values, repeat=n)]
        assert expected_best(np.sort(values)[None], np.array([n]))[0, 0] == pytest.approx(np.mean(every))
    rows = rich.csv("best_of_n")
    trials = complete(rich.study)
    own = {trial.number: trial.values[0] for trial in trials}
    run = [trial for trial in rich.study.trials if "repeat_of" not in trial.user_attrs]
    assert len(run) == len(rich.study.trials) - 1
    filled = [own.get(trial.number, trials[-1].values[0]) for trial in run]
    assert float(rows[0]["expected best"]) == pytest.approx(np.mean(filled))
    assert int(rows[-1]["n"]) == len(filled)
    assert float(rows[-1]["best so far in this study"]) == trials[0].values[0]
    for row in rows:
        assert float(row["low"]) <= float(row["expected best"]) <= float(row["high"])
    expected = [float(row["expected best"]) for row in rows]
    assert expected == sorted(expected, reverse=True)


def test_the_fronts_of_cost_are_those_that_nothing_beats(rich: Made) -> None:
    rows = rich.csv("cost")
    assert {row["cost"] for row in rows} == {"parameters", "flops_per_sample", "duration"}
    sized = [t for t in complete(rich.study) if "facts" in t.user_attrs]
    cost = {trial.number: trial.user_attrs["facts"]["parameters"] for trial in sized}
    front = [
        trial.number
        for trial in sorted(sized, key=lambda trial: cost[trial.number])
        if not any(cost[o.number] <= cost[trial.number] and o.values[0] < trial.values[0] for o in sized)
    ]
    found = [row for row in rows if row["cost"] == "parameters"]
    assert [int(row["trial"]) for row in found] == front
    assert [float(row["amount"]) for row in found] == [cost[trial] for trial in front]


def test_all_trials_are_in_a_table_with_everything_that_is_known(rich: Made) -> None:
    rows = rich.csv("trials")
    assert [int(row["trial"]) for row in rows] == [trial.number for trial in rich.study.trials]
    for row, trial in zip(rows, rich.study.trials, strict=True):
        assert row["val/log10_rel_error"] == ("" if trial.value is None else str(trial.value))
        assert float(row["model.width"]) == trial.params["model.width"]
        assert float(row["seconds"]) == pytest.approx(trial.duration.total_seconds(), abs=1e-3)  # type: ignore[union-attr]
        assert row["reason"] == trial.user_attrs.get("reason", "")
    assert {row["state"] for row in rows} == {"complete", "pruned", "diverged", "failed"}


def test_the_importance_tables_are_what_importances_says(rich: Made) -> None:
    (found,) = rich.evidence.importances
    rows = rich.csv("importance")
    assert [row["parameter"] for row in rows] == [each.param for each in found.params]
    for row, each in zip(rows, found.params, strict=True):
        assert row["verdict"] == {True: "matters", False: "does not matter", None: "cannot tell"}[each.matters]
        for name, value, interval in (
            ("share", each.share, each.share_interval),
            ("PED-ANOVA", each.ped_anova, each.ped_anova_interval),
            ("fANOVA", each.fanova, each.fanova_interval),
        ):
            assert (float(row[name]), (float(row[f"{name} low"]), float(row[f"{name} high"]))) == (value, interval)
    assert rows[0]["parameter"] == "optimizer.learning_rate"
    assert rows[0]["verdict"] == "matters"
    pairs = rich.csv("together")
    assert [(row["parameter"], row["and"]) for row in pairs] == [each.params for each in found.together]
    assert [float(row["share"]) for row in pairs] == [each.share for each in found.together]


def test_what_was_fixed_is_told(rich: Made) -> None:
    assert rich.csv("fixed") == [
        {"key": "data.pool", "value": "null"},
        {"key": "model.bias", "value": "true"},
        {"key": "train.loss", "value": "mae"},
    ]


def test_a_report_is_made_in_place_of_the_one_before_and_takes_nothing_else(rich: Made, tmp_path: Path) -> None:
    other = journal(tmp_path / "other")
    planted.add(other, planted.draw(planted.SPACE, np.random.default_rng(0)), None, TrialState.FAIL)
    folder = tmp_path / "report"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures/mine.png").write_text("mine")
    (folder / "figures/isolation.png").write_text("of an earlier report")
    report = make_report(other, folder)
    assert (folder / "figures/mine.png").read_text() == "mine"
    assert not (folder / "figures/isolation.png").exists()
    assert report.page.exists()


# Studies of every kind.


def some(study: optuna.Study, count: int, space: dict[str, Any], value: Any = None, **how: Any) -> optuna.Study:
    generator = np.random.default_rng(1)
    for _ in range(count):
        params = planted.draw(space, generator)
        planted.add(study, params, value(params) if value else None, space=space, **how)
    return study


ONE = {"x": FloatDistribution(-1.0, 1.0)}


def test_a_study_without_any_trial_is_a_page_that_says_so(tmp_path: Path) -> None:
    study = journal(tmp_path)
    study.add_trial(create_trial(state=TrialState.WAITING))
    empty = made(study, tmp_path)
    assert "No trial has a result that can be compared" in empty.page.text
    assert "No trial has begun." in empty.page.text
    assert empty.figures == set()
    assert empty.page.loads == ["#course", "#all"]
    assert "plotly.js v" not in empty.page.html


@pytest.mark.parametrize(("state", "reason"), [(TrialState.FAIL, "crash: SIGSEGV"), (TrialState.PRUNED, "diverged")])
def test_only_failures_are_a_page_that_says_where_they_were(tmp_path: Path, state: TrialState, reason: str) -> None:
    lost = made(some(journal(tmp_path), 12, ONE, state=state, reason=reason), tmp_path)
    assert "No trial has a result that can be compared" in lost.page.text
    assert lost.figures == {"timeline", "regions"}
    assert ("crash: SIGSEGV (12)" in lost.page.text) == (state == TrialState.FAIL)
    assert {path.stem for path in lost.report.tables} == {"isolation", "regions", "trials"}
    for name in lost.figures:
        check_axes(PICTURES[name](lost.evidence))


def test_one_trial_is_enough(tmp_path: Path) -> None:
    alone = made(some(journal(tmp_path), 1, ONE, lambda params: params["x"] ** 2), tmp_path)
    assert "The best of 1 trial with a result is trial 0: objective is" in alone.page.text
    assert alone.page.caveats["too_few"].startswith("1 trial with a result for 1 parameter")
    for name in alone.figures:
        check_axes(PICTURES[name](alone.evidence))


def test_any_applications_study_will_do(tmp_path: Path) -> None:
    """No metrics, no facts, no slots, an objective without a name; more of it is better, and it spans decades."""
    space = {
        **ONE,
        "kind": CategoricalDistribution([None, True, 1.5, "a"]),
        "steps": FloatDistribution(0, 1, step=0.25),
    }
    study = journal(tmp_path, direction="maximize")
    some(study, 40, space, lambda params: 10.0 ** (3 * params["x"]) + 0.1 * (params["kind"] == "a"))
    other = made(study, tmp_path)
    best = max(study.trials, key=lambda trial: trial.value)
    assert other.csv("leaderboard")[0]["trial"] == str(best.number)
    assert f"is trial {best.number}: objective is {number(best.value)}" in other.page.text
    values = [row["values"] for row in other.csv("isolation") if row["parameter"] == "kind"]
    assert values == ["null", "true", "1.5", "a"]
    steps = [row for row in other.csv("isolation") if row["parameter"] == "steps"]
    assert [row["values"] for row in steps] == ["0", "0.25", "0.5", "0.75", "1"]
    assert sum(int(row["trials with a result"]) for row in steps) <= 40
    expected = [float(row["expected best"]) for row in other.csv("best_of_n")]
    assert expected == sorted(expected)
    for name in other.figures:
        check_axes(PICTURES[name](other.evidence))
    (axes,) = PICTURES["history"](other.evidence).figure.axes  # type: ignore[union-attr]
    assert axes.get_yscale() == "log"
    assert "objective (higher is better, log scale)" in " ".join(axes.get_ylabel().split())


def test_several_objectives_have_a_front_instead_of_a_best(tmp_path: Path) -> None:
    study = journal(tmp_path, directions=["minimize", "maximize"])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["error", "speed"])
    some(study, 30, {**ONE, "n": IntDistribution(1, 4)}, lambda params: [params["x"] ** 2, params["x"] * params["n"]])
    both = made(study, tmp_path)
    front = sorted((t for t in study.best_trials), key=lambda trial: trial.values[0])
    assert [int(row["trial"]) for row in both.csv("leaderboard")] == [trial.number for trial in front]
    assert [float(row["speed"]) for row in both.csv("leaderboard")] == [trial.values[1] for trial in front]
    assert f"{len(front)} are on the Pareto front" in both.page.text
    assert {"pareto_front", "importance", "slices", "parallel_coordinates", "timeline"} == both.figures
    assert len(both.evidence.importances) == 2
    rows = both.csv("importance")
    assert [(row["objective"], row["parameter"]) for row in rows if row["verdict"] == "matters"]
    assert {row["objective"] for row in rows} == {"error", "speed"}
    (axes,) = PICTURES["pareto_front"](both.evidence).figure.axes  # type: ignore[union-attr]
    assert " ".join(axes.get_xlabel().split()) == "error (lower is better, log scale)"
    assert " ".join(axes.get_ylabel().split()) == "speed (higher is better)"
    (drawn,) = [line for line in axes.get_lines() if line.get_label() == "Pareto front"]
    assert sorted(drawn.get_xdata()) == pytest.approx([trial.values[0] for trial in front])
    for name in both.figures:
        check_axes(PICTURES[name](both.evidence))


def test_parameters_that_not_every_trial_has(tmp_path: Path) -> None:
    space = {"optimizer": CategoricalDistribution(["adam", "sgd"]), "momentum": FloatDistribution(0.0, 0.99)}
    study, generator = journal(tmp_path), np.random.default_rng(0)
    for _ in range(30):
        params = planted.draw(space, generator)
        if params["optimizer"] == "adam":
            del params["momentum"]
        planted.add(study, params, float(params.get("momentum", 0.5)), space=space)
    conditional = made(study, tmp_path)
    with_it = sum("momentum" in trial.params for trial in study.trials)
    rows = [row for row in conditional.csv("isolation") if row["parameter"] == "momentum"]
    assert sum(int(row["trials with a result"]) for row in rows) == with_it < 30
    moving = MOVING["parallel_coordinates"](conditional.evidence)
    (momentum,) = [shown for shown in moving.figure["data"][0]["dimensions"] if shown["label"] == "momentum"]  # type: ignore[union-attr]
    assert momentum["ticktext"][0] == "absent"
    assert sum(value == momentum["tickvals"][0] for value in momentum["values"]) == 30 - with_it
    for name in conditional.figures:
        check_axes(PICTURES[name](conditional.evidence))


def test_scientific_parameters_are_compared_at_their_best_setting(tmp_path: Path) -> None:
    study = journal(tmp_path)
    space = {"model": CategoricalDistribution(["dense", "gated"]), **ONE}
    some(study, 40, space, lambda params: abs(params["x"]) + 0.1 * (params["model"] == "dense"))
    study.set_user_attr("roles", {"scientific": ["model"], "nuisance": ["x"], "fixed": {"train.loss": "mae"}})
    asked = made(study, tmp_path)
    rows = {row["value"]: row for row in asked.csv("scientific")}
    for name in ("dense", "gated"):
        inside = [trial for trial in study.trials if trial.params["model"] == name]
        best = min(inside, key=lambda trial: trial.value)
        assert (int(rows[name]["trials"]), int(rows[name]["trial"])) == (len(inside), best.number)
        assert float(rows[name]["best"]) == best.value
        assert float(rows[name]["low"]) <= float(rows[name]["of equally many"]) <= float(rows[name]["high"])
    assert "scientific" in asked.figures
    picture = PICTURES["scientific"](asked.evidence)
    check_axes(picture)
    sentence = "Of model, these trials cannot tell which value is better."
    assert sentence in picture.caption  # type: ignore[union-attr]
    assert sentence in asked.page.text
    assert asked.page.caveats["held_still"] == "Held still, so that all this holds for these values alone: loss=mae."


def test_what_was_confirmed_is_told(tmp_path: Path) -> None:
    study = some(journal(tmp_path), 12, ONE, lambda params: params["x"])
    candidate = {"name": "trial 3", "trial": 3, "score": -0.9, "mean": -0.8, "low": -0.85, "high": -0.75, "gap": 0.1}
    verdict = "trial 3 is the champion."
    found = {"objective": "test/x", "seeds": [1, 2], "candidates": [candidate], "verdict": verdict}
    study.set_user_attr("confirmed", found)
    told = made(study, tmp_path)
    (row,) = told.csv("confirmed")
    assert (row["configuration"], row["in the study"], row["mean"], row["gap"]) == ("trial 3", "-0.9", "-0.8", "0.1")
    assert f"Confirmed with new seeds, on the test set: {verdict}" in told.page.text
    assert "test/x on the test set, with 2 seeds" in told.page.text


def test_names_are_texts_whatever_is_in_them(tmp_path: Path) -> None:
    name = "a.<script>alert(1)</script>&\"'$x_1$"
    space = {name: FloatDistribution(0.0, 1.0), "b.<b>": CategoricalDistribution(["<i>", "</script>", "$y$", "%{x}"])}
    study = journal(tmp_path, "planted")
    study.set_user_attr("objective", "<img src=x>")
    some(study, 30, space, lambda params: params[name])
    planted.add(study, planted.draw(space, np.random.default_rng(0)), None, TrialState.FAIL, space, reason="<script>x")
    odd = made(study, tmp_path)
    assert "alert(1)" in odd.page.text
    assert "<script>alert" not in odd.page.html
    assert all(load.startswith(("data:image/png", "#")) for load in odd.page.loads)
    assert odd.page.html.count("<script") == odd.page.html.count("</script>") == 1 + len(MOVING)


@pytest.mark.parametrize(
    "value",
    [
        lambda number: [1.0, 2.0, 1e308][number % 3],
        lambda number: [-1e308, 1e308][number % 2],
        lambda number: 1e-310 * (1 + number),
        lambda number: float(number == 7),  # nearly all of one value, and more than the forest looks at
    ],
)
def test_any_finite_values_make_a_report(tmp_path: Path, value: Any) -> None:
    space = {**ONE, "n": IntDistribution(1, 4)}
    study, generator = journal(tmp_path, direction="maximize"), np.random.default_rng(0)
    for trial in range(300 if value(8) == 0 else 24):
        planted.add(study, planted.draw(space, generator), float(value(trial)), space=space)
    extreme = made(study, tmp_path)
    assert len(extreme.csv("leaderboard")) == len(study.trials)
    assert [row["parameter"] for row in extreme.csv("importance")]


def test_a_study_that_runs_and_has_trials_that_break_a_constraint(tmp_path: Path) -> None:
    study = journal(tmp_path)
    study.set_user_attr("n_trials", 50)
    some(study, 12, ONE, lambda params: params["x"])
    planted.add(study, {"x": -1.0}, -9.0, space=ONE, constraints={"memory": 1.0})
    planted.add(study, {"x": 0.1}, None, TrialState.RUNNING, space=ONE, reports={1: 0.3})
    going = made(study, tmp_path)
    assert "-9" not in {row["objective"] for row in going.csv("leaderboard")}
    assert [row["state"] for row in going.csv("trials")][-2:] == ["complete", "running"]
    assert going.page.caveats["unfinished"] == "37 of 50 trials have not ended."
    assert going.page.caveats["infeasible"] == "Left out for breaking a constraint: 1 complete trial."


# Warnings, each where it should be and where it should not.


def warned(study: optuna.Study) -> dict[str, str]:
    return {caveat.kind: caveat.text for caveat in caveats(Evidence.of(study))}


def test_a_study_in_order_is_warned_of_nothing_serious(rich: Made) -> None:
    assert set(rich.page.caveats) - {"changed_nothing"} == {"repeats"}
    assert "1 trial of 82" in rich.page.caveats["repeats"]


@pytest.mark.parametrize(("count", "expected"), [(9, True), (10, False)])
def test_too_few_trials(study: optuna.Study, count: int, expected: bool) -> None:
    found = warned(some(study, count, ONE, lambda params: params["x"] ** 2))
    assert ("too_few" in found) == expected


@pytest.mark.parametrize(
    ("drawn", "middle", "expected"),
    [
        (FloatDistribution(0.0, 1.0), 0.0, "lower end of its range, 0:"),
        (FloatDistribution(0.0, 1.0), 1.0, "upper end of its range, 1:"),
        (FloatDistribution(0.0, 1.0), 0.5, None),
        (FloatDistribution(1e-5, 1e-1, log=True), 1e-5, "lower end of its range, 1e-5:"),
        (FloatDistribution(1e-5, 1e-1, log=True), 1e-3, None),
        (IntDistribution(1, 5), 5, "upper end of its range, 5:"),
        (IntDistribution(1, 5), 4, None),
        (IntDistribution(1, 2), 1, None),  # half of all trials are at either end
        (CategoricalDistribution(["a", "b", "c"]), "a", None),
        (CategoricalDistribution([64, 16, 128, 32]), 128, "upper end of its range, 128:"),
        (CategoricalDistribution([64, 16, 128, 32]), 64, None),
        (CategoricalDistribution([0.5, 0.25, None]), 0.5, None),
        (CategoricalDistribution([True, False]), True, None),
        (CategoricalDistribution(["[-4,4]", "[-1,1]", "[-2,2]"]), "[-1,1]", "lower end of its range, [-1,1]:"),
        (CategoricalDistribution(["[-4,4]", "[-1,1]", "[-2,2]"]), "[-2,2]", None),
    ],
)
def test_the_best_at_an_edge(study: optuna.Study, drawn: Any, middle: Any, expected: str | None) -> None:
    def far(params: dict[str, Any]) -> float:
        value = params["x"]
        if isinstance(drawn, CategoricalDistribution):
            return float(value != middle)
        return abs(math.log10(value / middle)) if drawn.log else abs(value - middle) + 0.0

    noise = np.random.default_rng(3)
    found = warned(some(study, 60, {"x": drawn}, lambda params: far(params) + noise.normal(0, 1e-3)))
    assert ("edge" in found) == (expected is not None)
    assert expected is None or expected in found["edge"]


@pytest.mark.parametrize(
    ("best_step", "reports", "expected"),
    [
        (4000, {1000: 3.0, 2000: 2.0, 4000: 2.5}, True),  # what the trial says of itself counts
        (2000, {1000: 3.0, 2000: 2.0, 4000: 1.0}, False),
        (None, {1000: 3.0, 2000: 2.0, 4000: 1.0}, True),
        (None, {1000: 3.0, 2000: 1.0, 4000: 1.5}, False),
        (None, {2000: 2.0, 4000: 1.0}, False),  # two reports are no trend
    ],
)
def test_training_that_is_too_short(study: optuna.Study, best_step: int | None, reports: Any, expected: bool) -> None:
    facts = {} if best_step is None else {"best_step": best_step}
    found = warned(some(study, 12, ONE, lambda params: params["x"], reports=reports, facts=facts))
    assert ("too_short" in found) == expected


@pytest.mark.parametrize("read", [True, False])
def test_a_key_that_changed_nothing(study: optuna.Study, read: bool) -> None:
    """Every trial has a seed of its own, so that no two have the same value, whatever reads the key."""
    space, seeds = {"x": IntDistribution(0, 3), "typo": IntDistribution(0, 3)}, np.random.default_rng(0)
    some(study, 48, space, lambda params: params["x"] + read * params["typo"] + seeds.normal(0, 0.05))
    found = warned(study)
    assert ("changed_nothing" in found) == (not read)
    assert read or found["changed_nothing"].startswith("Nothing was seen to change with typo: over these ranges")


@pytest.mark.parametrize(("failing", "expected"), [(1, False), (3, True)])
def test_many_failures_with_their_reasons(study: optuna.Study, failing: int, expected: bool) -> None:
    some(study, 17, ONE, lambda params: params["x"])
    some(study, failing, ONE, state=TrialState.FAIL, reason="exception: ValueError: no such width\nmore")
    found = warned(study)
    assert ("failed" in found) == expected
    assert not expected or "exception: ValueError: no such width (3)" in found["failed"]


def test_many_that_diverge(study: optuna.Study) -> None:
    some(study, 17, ONE, lambda params: params["x"])
    some(study, 7, ONE, state=TrialState.PRUNED, reason="diverged")
    found = warned(study)
    assert found["diverged"].startswith("7 of 24 trials diverged.")
    assert "failed" not in found


def test_trials_that_were_judged_on_different_sets(study: optuna.Study) -> None:
    some(study, 6, ONE, lambda params: params["x"], facts={"evaluation_digest": "a"})
    assert "judged_apart" not in warned(study)
    some(study, 6, ONE, lambda params: params["x"], facts={"evaluation_digest": "b"})
    assert "2 different evaluation sets" in warned(study)["judged_apart"]


def test_a_study_that_cannot_be_compared(study: optuna.Study, tmp_path: Path) -> None:
    some(study, 12, ONE, lambda params: params["x"])
    study.set_user_attr("not_comparable", "data.target_scale shrinks the loss")
    assert warned(study)["not_comparable"].endswith("cannot be compared: data.target_scale shrinks the loss")
    report = make_report(study, tmp_path)
    assert report.figures
    assert all(b"data.target_scale shrinks the loss" in path.read_bytes() for path in report.figures)
    for path in report.tables:
        with path.open(newline="") as file:
            assert {row["not_comparable"] for row in csv.DictReader(file)} == {"data.target_scale shrinks the loss"}


def test_a_study_that_was_gone_on_with_after_a_change(study: optuna.Study) -> None:
    some(study, 12, ONE, lambda params: params["x"])
    assert "changed" not in warned(study)
    study.set_user_attr("changes", [{"when": time.time(), "changes": ["train.loss: mse -> mae"]}])
    assert "train.loss: mse -> mae" in warned(study)["changed"]


def test_a_best_trial_that_is_not_better_than_what_takes_no_training(study: optuna.Study) -> None:
    study.set_user_attr("objective", "val/rmse")
    some(study, 12, ONE, lambda params: 2.5 + params["x"] / 10, facts={"baseline/zero_skill/rmse": 2.0})
    assert warned(study)["unbeaten"] == "No trial is better than zero skill, which has 2."
    planted.add(study, {"x": -1.0}, 1.9, space=ONE)
    assert "unbeaten" not in warned(study)


# Axes.


@pytest.mark.parametrize(
    "drawn",
    [
        IntDistribution(1, 8),
        IntDistribution(0, 100),
        IntDistribution(-7, 9, step=4),
        IntDistribution(1, 6, log=True),
        IntDistribution(16, 256, log=True),
        IntDistribution(1, 9, log=True),
        IntDistribution(3, 3),
        FloatDistribution(0.0, 1.0),
        FloatDistribution(-3.0, 7.0),
        FloatDistribution(1e-6, 1e2, log=True),
        FloatDistribution(0.0, 0.3, step=0.1),
        FloatDistribution(0.0, 10.0, step=0.1),
        FloatDistribution(0.98, 0.99),
        CategoricalDistribution([None, True, 1.0, "1", 2]),
    ],
)
def test_every_value_is_in_one_part_of_its_axis(drawn: Any) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(300):
        study.tell(study.ask({"x": drawn}), 0.0)
    for end in () if isinstance(drawn, CategoricalDistribution) else (drawn.low, drawn.high):
        study.add_trial(create_trial(params={"x": end}, distributions={"x": drawn}, value=0.0))
    (axis,) = axes_of(study.trials)
    buckets = axis.buckets()
    assert len({bucket.label for bucket in buckets}) == len(buckets)
    counts = Counter(sum(bucket.holds(trial.params["x"]) for bucket in buckets) for trial in study.trials)
    assert set(counts) == {1}
    assert len(buckets) <= 8
    places, texts = ticks(axis)
    assert len(places) == len(texts)
    assert places == sorted(places)


def test_a_range_that_was_widened_has_one_axis() -> None:
    study = optuna.create_study()
    for low, high in ((1.0, 2.0), (0.5, 4.0)):
        drawn = FloatDistribution(low, high, log=True)
        study.add_trial(create_trial(params={"x": 1.5}, distributions={"x": drawn}, value=0.0))
    assert axes_of(study.trials) == (Axis("x", "x", low=0.5, high=4.0, log=True),)


# The whole way.


def test_the_end_of_a_study_makes_it_and_is_not_lost_with_it(application: Application) -> None:
    wanted = ("x=interval(-1,1)", "n=range(1,4)", "hydra.sweeper.report=true")
    (application.folder / "out").mkdir()
    (application.folder / "out/report").write_text("in the way")
    output = application.run(*wanted, "hydra.sweeper.n_trials=3")
    assert "The report of study s was not made" in output
    assert "NotADirectoryError" in output
    assert "To try again: sweep report s" in output
    assert application.states() == {"COMPLETE": 3}
    assert (application.folder / "out/optimization_results.yaml").exists()

    (application.folder / "out/report").unlink()
    output = application.run(*wanted, "hydra.sweeper.n_trials=6")
    page = application.folder / "out/report/report.html"
    assert f"The report: {page}" in output
    study = application.study
    assert f"is trial {study.best_trial.number}: objective is {number(study.best_value)}" in Page(page.read_text()).text
    assert (application.folder / "out/report/figures/learning_curves.png").exists()


@pytest.fixture
def kept(tmp_path: Path) -> optuna.Study:
    """A study where `sweep` keeps them."""
    study = some(journal(tmp_path / "mlruns/studies/kept", "kept"), 5, ONE, lambda params: params["x"])
    study.set_user_attr("identity", {"fixed": {}, "space": {}, "directions": ["minimize"]})
    return study


def sweep(tmp_path: Path, *arguments: str) -> Any:
    result = CliRunner().invoke(commands, ["--root", str(tmp_path), "report", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_the_command_makes_it_in_the_studys_folder(tmp_path: Path, kept: optuna.Study) -> None:
    said = sweep(tmp_path, "kept")
    assert said.stdout.splitlines()[0] == str(tmp_path / "mlruns/studies/kept/report/report.html")
    assert Path(said.stdout.splitlines()[0]).exists()
    assert "MLflow" not in said.output


@pytest.mark.parametrize("there", ["a server", "a file"])
def test_the_command_says_if_the_store_does_not_answer(
    tmp_path: Path, kept: optuna.Study, unused_port: int, there: str
) -> None:
    uri = f"http://127.0.0.1:{unused_port}" if there == "a server" else f"sqlite:///{tmp_path}/gone.db"
    kept.set_user_attr("tracking_uri", uri)
    kept.set_user_attr("id", "an-id")
    kept.set_user_attr("parent", {"experiment": ["sweep", "1"], "run_id": "abc"})
    said = sweep(tmp_path, "kept", "--output", str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere/report.html").exists()
    assert f"It is not on the study's page in MLflow. tracking.uri: got {uri}" in said.stderr
    assert not (tmp_path / "gone.db").exists()


def test_the_command_finds_a_study_that_is_in_a_database_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/studies.db", "")
    study = some(optuna.create_study(study_name="kept", storage=storage), 3, ONE, lambda params: params["x"])
    study.set_user_attr("identity", {"fixed": {}, "space": {}, "directions": ["minimize"]})
    monkeypatch.chdir(tmp_path)
    said = sweep(tmp_path, "kept", "--storage", f"sqlite:///{tmp_path}/studies.db")
    assert said.stdout.splitlines()[0] == str(tmp_path / "report-kept/report.html")


def test_a_browser_shows_it_without_a_network(rich: Made, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        if "SWEEP_REQUIRE_SERVICES" in os.environ:
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    requests = tmp_path / "requests.json"
    shown = subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={requests}", "--enable-logging=stderr"),
            *("--virtual-time-budget=30000", "--enable-unsafe-swiftshader", rich.report.page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    said = [line for line in shown.stderr.splitlines() if "CONSOLE" in line and "GL Driver Message" not in line]
    assert said == []
    events = json.loads(requests.read_text())["events"]
    asked = {event["params"]["url"] for event in events if "url" in event.get("params", {})}
    hosts = {
        urlsplit(address).hostname or "" for address in asked if not address.startswith(("file:", "data:", "blob:"))
    }
    assert {host for host in hosts if not host.endswith(CHROMIUMS_OWN)} == set()
    assert shown.stdout.count('class="main-svg"') >= 3
    assert "parcoords" in shown.stdout
