"""What people see of a study: a real one in MLflow's own UI, in a real browser.

With SWEEP_PICTURES naming a folder, it leaves a picture of everything there.
"""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser
from tracking_server import free_port

from sweep.paths import checkout

NAME = os.environ.get("SWEEP_SHOWN_STUDY", "pytest-ui")
SHORT = ("train.max_steps=60", "train.validate_every=10", "train.batch_size=64", "evaluation.size=2000")
FIVE = ("model.depth", "model.width", "log10_learning_rate", "data.entry_range", "data.target_scale")


def sweep(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "SWEEP_ROOT": str(root), "COLUMNS": "160"}
    command = [sys.executable, "-m", "sweep", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class Shown:
    """A study, and where it is shown."""

    browser: Browser
    root: Path
    address: str
    study: Any
    trials: list[Any]

    def go(self, page: str, *texts: str) -> None:
        """Opens a page of the UI."""
        mark = "&" if "?" in page else "?"
        self.browser.open(f"{self.address}#{page}{mark}workflowType=machine_learning", *texts)
        for close in self.browser.driver.find_elements("css selector", "[aria-label=Close]"):  # MLflow's assistant
            self.browser.driver.execute_script("arguments[0].click()", close)

    def run(self, run: Any) -> str:
        return f"/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"

    @property
    def best(self) -> Any:
        finished = [run for run in self.trials if run.info.status == "FINISHED"]
        return min(finished, key=lambda run: run.data.metrics["objective"])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    from mlflow import MlflowClient

    with browser() as opened:  # where there is none, no study is run
        given = os.environ.get("SWEEP_SHOWN_ROOT")  # a study that was run before, for pictures of a real one
        root = Path(given) if given else tmp_path_factory.mktemp("root")
        exported = (checkout() or Path()) / f"conf/experiment/{NAME}.yaml"
        try:
            if not given:
                sweep(root, "run", "-m", "study=quickstart", f"study.name={NAME}", "hydra.sweeper.n_trials=5", *SHORT)
                sweep(root, "export", NAME, "--register")
        finally:
            if not given:
                exported.unlink(missing_ok=True)
        client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
        (experiment,) = client.search_experiments(filter_string="name = 'sweep'")
        runs = client.search_runs([experiment.experiment_id], f"tags.`sweep.study` = '{NAME}'")
        process = subprocess.Popen(
            [sys.executable, "-m", "sweep", "ui", "--port", str(free_port())],
            env={**os.environ, "SWEEP_ROOT": str(root)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            address = process.stdout.readline().split()[1].partition("#")[0]
            study = next(run for run in runs if run.data.tags["sweep.kind"] == "study")
            yield Shown(opened, root, address, study, [run for run in runs if run.data.tags["sweep.kind"] == "trial"])
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()


def test_the_experiment_lists_the_study_with_its_trials_nested_under_it(shown: Shown) -> None:
    shown.go("/experiments", "sweep")
    shown.browser.picture("experiments")
    shown.go(f"/experiments/{shown.study.info.experiment_id}/runs", NAME, f"{1 + len(shown.trials)} matching runs")
    assert not any(run.info.run_name in shown.browser.text.splitlines() for run in shown.trials)
    shown.browser.picture("runs")
    row = f"//*[contains(@class, 'ag-row')][.//a[normalize-space()='{NAME}']]"
    shown.browser.click_path(f"{row}//button")
    shown.browser.shows(*(run.info.run_name for run in shown.trials))
    shown.browser.picture("children")
    shown.go(shown.run(shown.best), "Parent run", shown.best.info.run_name, NAME)


def test_the_page_of_the_study_says_what_it_found_and_how_to_go_on(shown: Shown) -> None:
    shown.go(shown.run(shown.study), "Leaderboard", "What varies", "run -m study=quickstart", "Child runs")
    shown.browser.shows("tag(log,interval(3e-4,1e-2))", *(run.info.run_name for run in shown.trials[:5]))
    assert shown.browser.find("table")
    shown.browser.click("Show more")
    shown.browser.picture("study")


def test_the_page_of_the_study_has_charts(shown: Shown) -> None:
    shown.go(f"{shown.run(shown.study)}/model-metrics", "best", "objective", "trials")
    shown.browser.find(".js-plotly-plot .scatterlayer path.js-line, .js-plotly-plot .scatterlayer .trace", 2)
    shown.browser.picture("charts")


def test_the_five_parameters_are_compared_in_parallel_coordinates(shown: Shown) -> None:
    chosen = json.dumps([run.info.run_id for run in shown.trials])
    experiments = json.dumps([shown.study.info.experiment_id])
    query = f"runs={urllib.parse.quote(chosen)}&experiments={urllib.parse.quote(experiments)}"
    shown.go(f"/compare-runs?{query}", "Parallel Coordinates Plot", "Parameters:")
    for index, names in enumerate((FIVE, ("objective",))):
        for name in names:
            choose(shown.browser, index, name)
    (plot, *_) = shown.browser.find("g.parcoords")
    axes = shown.browser.until(
        lambda: found if len(found := plot.find_elements("css selector", "g.y-axis")) >= 6 else None, "six axes"
    )
    titles = " ".join(axis.text for axis in axes)
    assert all(name[-6:] in titles for name in (*FIVE, "objective")), titles
    shown.browser.picture("parallel_coordinates")


@pytest.fixture
def at_work(shown: Shown) -> Iterator[tuple[Any, Any]]:
    """A study that runs, in an experiment of its own: a client, and its run, in which two trials have ended."""
    from mlflow import MlflowClient

    if "SWEEP_SHOWN_ROOT" in os.environ:
        pytest.skip("what is shown is somebody's own")
    client = MlflowClient(f"sqlite:///{shown.root}/mlruns/mlflow.db")
    client.create_experiment("live")
    words = ("study=quickstart", f"study.name={NAME}-live", "tracking.experiment=live", "tracking.log_model=none")
    own = ("hydra.sweeper.n_trials=200", "hydra.sweeper.n_jobs=1", "hydra.sweeper.export=null")
    process = subprocess.Popen(
        [sys.executable, "-m", "sweep", "run", "-m", *words, *own, *SHORT],
        env={**os.environ, "SWEEP_ROOT": str(shown.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        experiment = client.get_experiment_by_name("live").experiment_id

        def begun() -> Any:
            assert process.poll() is None
            return client.search_runs([experiment], "tags.`sweep.kind` = 'study'")

        def counted() -> bool:
            assert process.poll() is None
            return len(client.get_metric_history(run.info.run_id, "trials/done")) > 1

        (run,) = Browser.until(begun, "the study")
        Browser.until(counted, "two trials that have ended")
        yield client, run
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def test_the_charts_of_a_study_go_on_while_it_runs(shown: Shown, at_work: tuple[Any, Any]) -> None:
    client, run = at_work
    shown.go(shown.run(run), "Running", "of 200 trials are done", "Child runs")
    shown.browser.picture("running")
    shown.go(f"{shown.run(run)}/model-metrics", "best", "objective", "trials")
    drawn = "return [...document.querySelectorAll('.js-plotly-plot')].flatMap(p => p.data.map(line => line.x.length))"

    def points() -> int:
        return max(shown.browser.driver.execute_script(drawn), default=0)

    first = shown.browser.until(lambda: count if (count := points()) > 1 else None, "a line")
    shown.browser.until(lambda: points() > first, f"more than {first} points, without the page being loaded again")
    shown.browser.picture("live")
    assert client.get_run(run.info.run_id).info.status == "RUNNING"


def choose(opened: Browser, index: int, name: str) -> None:
    """Chooses an option of one of the page's lists, unless it is chosen already."""
    box = opened.find("[class*=select-selector]", index + 1)[index]
    if name in box.text.split("\n"):
        return
    opened.driver.execute_script("arguments[0].dispatchEvent(new MouseEvent('mousedown', {bubbles: true}))", box)
    option = f"[class*=select-item-option][title='{name}']"
    for _ in range(40):  # the list shows a few options at a time
        if found := opened.driver.find_elements("css selector", option):
            opened.driver.execute_script("arguments[0].click()", found[0])
            break
        opened.driver.execute_script(
            "for (const list of document.querySelectorAll('.rc-virtual-list-holder')) list.scrollTop += 150"
        )
        opened.driver.implicitly_wait(0.2)
    opened.until(lambda: name in opened.find("[class*=select-selector]", index + 1)[index].text, f"{name} chosen")
    opened.driver.execute_script("document.body.dispatchEvent(new MouseEvent('mousedown', {bubbles: true}))")


def test_the_page_of_a_trial_has_its_metrics_its_data_and_its_machine(shown: Shown) -> None:
    shown.go(shown.run(shown.best), "Datasets", "evaluation", "Parameters", "model.depth")
    shown.browser.picture("trial")
    shown.go(f"{shown.run(shown.best)}/model-metrics", "val", "log10_rel_error")
    shown.browser.find(".js-plotly-plot .scatterlayer .trace")
    shown.browser.picture("trial_metrics")
    shown.go(f"{shown.run(shown.best)}/system-metrics", "cpu_utilization_percentage")


@pytest.mark.parametrize("picture", ["scatter", "conditioning"])
def test_the_pictures_of_a_trial_are_shown(shown: Shown, picture: str) -> None:
    shown.go(f"{shown.run(shown.best)}/artifacts/plots/{picture}.png", "plots", f"{picture}.png")
    shown.browser.until(
        lambda: [i for i in shown.browser.find("img") if int(i.get_property("naturalWidth")) > 400], "the picture"
    )
    shown.browser.picture(f"trial_{picture}")


def test_the_report_is_shown_and_can_be_moved_in(shown: Shown) -> None:
    shown.go(f"{shown.run(shown.study)}/artifacts/report/report.html", "report.html")
    (frame, *_) = shown.browser.find("iframe")
    driver = shown.browser.driver
    driver.switch_to.frame(frame)
    try:
        shown.browser.shows(NAME)
        plots = shown.browser.find(".js-plotly-plot svg.main-svg")
        driver.execute_script("arguments[0].scrollIntoView()", plots[0])
    finally:
        driver.switch_to.default_content()
    shown.browser.picture("report")


def test_the_best_model_is_registered_with_its_alias(shown: Shown) -> None:
    shown.go("/models", NAME)
    shown.go(f"/models/{NAME}", "candidate", "Version 1")
    shown.browser.picture("model")
    assert re.search(r"@\s*candidate", shown.browser.text)
