"""What a study may compare by: refused before it starts, or run with --force and marked on everything it writes."""

import copy
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import optuna
import pytest
from application import Application
from mlflow import MlflowClient
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from scipy.stats import spearmanr

from sweep import guard, preflight
from sweep.cli import task
from sweep.engine.command import Command
from sweep.engine.errors import UserError
from sweep.engine.storage import open_storage
from sweep.engine.study import load_study
from sweep.results.export import export
from sweep.results.leaderboard import table
from sweep.results.progress import overview, render
from sweep.results.snapshot import snapshot

TRAIN, VAL = "train/loss", "val/loss"
WIDTH, SCALE = "model.width=16,32", "data.target_scale=tag(log,interval(1,50))"
GATED_ONLY = "+hydra.sweeper.when={data.target_scale:{model:gated}}"


@pytest.fixture(scope="module")
def base() -> DictConfig:
    with hydra.initialize_config_module("conf", version_base="1.3"):
        return hydra.compose("config", overrides=["study.name=test", "paths.root=/nowhere"])


@pytest.fixture
def varying(base: DictConfig) -> Callable[..., list[str]]:
    """What is said of a study whose trials have these values, by key, and whose baselines have those."""

    def said(metric: str, trials: dict[str, Any], baselines: dict[str, dict[str, Any]] | None = None) -> list[str]:
        def changed(values: Mapping[str, Any]) -> DictConfig:
            config = copy.deepcopy(base)
            for key, value in {"objective.metric": metric, **values}.items():
                OmegaConf.update(config, key, value)
            return config

        most = max(len(values) for values in trials.values())
        points = [{key: values[index % len(values)] for key, values in trials.items()} for index in range(most)]
        others = {name: changed({**points[0], **values}) for name, values in (baselines or {}).items()}
        return [str(trap.error) for trap in guard.traps([changed(point) for point in points], others)]

    return said


def refused(*arguments: str) -> str:
    with pytest.raises(UserError) as error:
        preflight.check(["-m", *arguments], task)
    return str(error.value)


def baseline(*overrides: str) -> str:
    return "+hydra.sweeper.baselines.plain=[" + ",".join(f"'{override}'" for override in overrides) + "]"


UNITS: list[tuple[str, list[Any]]] = [
    ("data.target_scale", [1.0, 50.0]),
    ("train.loss", ["mse", "mae"]),
    ("train.loss", ["relative", "residual"]),
    ("data.compression", ["none", "asinh"]),
    ("data.input_norm", [True, False]),
]
MATRICES: list[tuple[str, list[Any]]] = [
    ("data.entry_range", [[-1, 1], [-2, 2]]),
    ("data.determinant.rule", ["above", "relative"]),
    ("data.determinant.value", [0.1, 0.5]),
    ("data.num_samples", [None, 1000]),
    ("train.batch_size", [16, 1024]),
    ("train.validate_every", [100, 200]),
    ("train.max_steps", [200, 201]),
    ("train.epochs", [1, 2]),
]


@pytest.mark.parametrize("metric", [TRAIN, VAL])
@pytest.mark.parametrize(("key", "values"), UNITS)
def test_what_changes_the_units_of_a_loss_cannot_be_swept_with_it(
    varying: Callable[..., list[str]], metric: str, key: str, values: list[Any]
) -> None:
    (said,) = varying(metric, {key: values, "model.width": [16, 32, 64]})
    assert said.startswith(f"objective.metric: got {metric}, which shrinks without anything being learnt: {key} ch")
    assert "allowed is val/log10_rel_error, in original units" in said
    assert "--force" in said
    assert "\n" not in said
    assert varying("val/rmse", {key: values}) == []


@pytest.mark.parametrize(("key", "values"), MATRICES)
def test_what_the_training_loss_is_of_cannot_be_swept_with_it_but_the_evaluation_set_stays(
    varying: Callable[..., list[str]], key: str, values: list[Any]
) -> None:
    (said,) = varying(TRAIN, {key: values})
    assert f": {key} changes from trial to trial" in said
    assert varying(VAL, {key: values}) == varying("val/rmse", {key: values}) == []


def test_losses_in_original_units_are_not_shrunk_by_the_units_of_the_targets(
    varying: Callable[..., list[str]],
) -> None:
    for loss in ("relative", "residual"):
        for key, values in (UNITS[0], UNITS[3], UNITS[4]):
            assert varying(TRAIN, {key: values, "train.loss": [loss]}) == []
        assert varying(TRAIN, {"data.entry_range": [[-1, 1], [-2, 2]], "train.loss": [loss]})


def test_a_pool_can_be_learnt_by_heart_whatever_varies(varying: Callable[..., list[str]]) -> None:
    (said,) = varying(TRAIN, {"data.num_samples": [500], "model.width": [16, 32]})
    assert "data.num_samples is 500" in said
    assert varying(VAL, {"data.num_samples": [500], "model.width": [16, 32]}) == []


def test_baselines_are_judged_by_the_same_objective(varying: Callable[..., list[str]]) -> None:
    widths = {"model.width": [16, 32]}
    (said,) = varying(VAL, widths, {"plain": {"data.target_scale": 7}, "other": {"model.depth": 7}})
    assert "data.target_scale is another one in baseline plain (targets are divided by it)" in said
    (said,) = varying("val/rmse", widths, {"plain": {"evaluation.seed": 7}})
    assert said.startswith("evaluation.seed: got a setting that is another one in baseline plain")
    assert varying("val/rmse", widths, {"plain": {"data.target_scale": 7, "train.loss": "mae"}}) == []


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("data.matrix_size", [2, 3]),
        ("data.target", ["inverse", "determinant"]),
        *((f"evaluation.{key}", values) for key, values in (("size", [10, 20]), ("refine", [0, 3]), ("seed", [1, 2]))),
        ("evaluation.determinant.value", [0.1, 0.2]),
        ("evaluation.entry_range", [[-1, 1], [-2, 2]]),
    ],
)
def test_matrix_size_target_and_evaluation_set_are_one_for_all_whatever_the_objective(
    varying: Callable[..., list[str]], key: str, values: list[Any]
) -> None:
    for metric in (TRAIN, VAL, "val/log10_rel_error"):
        (said,) = varying(metric, {key: values})
        assert said.startswith(f"{key}: got a setting that changes from trial to trial")
        assert "one for all trials and baselines" in said


def test_what_nothing_can_shrink_may_be_swept(varying: Callable[..., list[str]]) -> None:
    for key, values in {
        "model.depth": [1, 2],
        "optimizer.learning_rate": [1e-3, 1e-2],
        "optimizer.weight_decay": [0.0, 0.1],
        "train.precision": ["float32", "mixed_bfloat16"],
    }.items():
        assert varying(TRAIN, {key: values}) == varying(VAL, {key: values}) == []


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("study=quickstart", "objective.metric=train/loss"), "data.target_scale changes"),
        ((WIDTH, "objective.metric=val/loss", "data=answer,question", "evaluation=answer"), "data.target_scale"),
        (("objective.metric=val/loss", WIDTH, "data.target_scale=${model.width}"), "data.target_scale changes"),
        (
            ("objective.metric=val/loss", "model=dense,gated", SCALE, GATED_ONLY),
            "data.target_scale changes",
        ),
        (("objective.metric=val/loss", WIDTH, baseline("+experiment=question")), "data.target_scale is another one"),
        (("data.entry_range=choice([-1,1],[-2,2])", "evaluation.entry_range=${data.entry_range}"), "evaluation."),
        ((WIDTH, "evaluation.seed=${seed}"), "evaluation.seed: got a setting that changes from trial to trial"),
        (("data.matrix_size=2,3",), "data.matrix_size: got"),
        (("data.matrix_size=2,3", "evaluation.matrix_size=${data.matrix_size}"), "data.matrix_size: got"),
    ],
)
def test_groups_interpolations_conditions_and_baselines_are_seen(arguments: tuple[str, ...], key: str) -> None:
    assert key in refused(*arguments)


def test_a_space_in_python_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in_python.py").write_text(
        "def scale(config, trial):\n    trial.suggest_categorical('data.target_scale', [2, 3, 4])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    said = refused("objective.metric=train/loss", WIDTH, "hydra.sweeper.custom_search_space=in_python.scale")
    assert "data.target_scale changes" in said


def test_what_compares_is_let_through_and_force_marks_nothing() -> None:
    arguments = ["-m", "study=quickstart", "train.batch_size=64,128", baseline("+experiment=question")]
    assert preflight.check(arguments, task) is None
    assert preflight.check(arguments, task, force=True) is None


def test_a_single_run_is_compared_with_nothing() -> None:
    assert preflight.check(["objective.metric=train/loss", "data.num_samples=1000"], task) is None


def test_what_is_forced_is_marked_beside_the_other_overrides_wherever_they_are() -> None:
    reason = preflight.check(["-m", "objective.metric=train/loss", SCALE], task, force=True)
    assert reason is not None
    assert "data.target_scale" in reason
    for arguments in (["-m", "x=1", "y=2"], ["x=1", "-m"]):
        marked = preflight.marked(arguments, reason)
        assert [one for one in marked if one in arguments] == arguments
        assert marked[arguments.index("x=1")].startswith("hydra.sweeper.not_comparable='train/loss, which shrinks")
        assert preflight.marked(arguments, None) == arguments


def test_the_command_on_the_page_of_a_forced_study_goes_on_with_it() -> None:
    arguments = ["-m", "objective.metric=train/loss", SCALE]
    marked = preflight.marked(arguments, preflight.check(arguments, task, force=True))
    shown = Command(("sweep", "run"), tuple(marked), "/").again()
    again = shlex.split(shown.replace("\\\n", ""))[2:]
    assert preflight.marked(again, preflight.check(again, task)) == marked, "and is marked as before, once"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data.matrix_size=2,3",), "evaluation.matrix_size: got 3, allowed is data.matrix_size, which is 2"),
        (("objective.metric=val/loss", SCALE, "train.batch_size=0,1"), "train.batch_size: got 0"),
        (("objective=rmse,log10_rel_error",), "objective: got a setting that changes"),
    ],
)
def test_what_cannot_run_is_refused_all_the_same(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        preflight.check(["-m", *arguments], task, force=True)


GRID = (
    *("-m", "data.target_scale=1,4,16,64", "hydra/sweeper/sampler=grid", "hydra/sweeper/pruner=none"),
    *("hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=1", "hydra.sweeper.export=null", "tracking=none"),
    *("train.max_steps=60", "train.validate_every=30", "train.batch_size=64", "evaluation.size=1000", "model.width=16"),
    "train.threads=1",
)


def sweep(root: Path, *arguments: str, status: int = 0) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "sweep", *arguments],
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "SWEEP_ROOT": str(root), "COLUMNS": "200"},
        check=False,
        timeout=250,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout + result.stderr


@dataclass
class Ran:
    """A study over the grid, and what its command said."""

    root: Path
    name: str
    output: str

    @property
    def study(self) -> optuna.Study:
        return load_study(open_storage(None, self.root / "mlruns/studies" / self.name), self.name)

    @property
    def by_scale(self) -> tuple[list[float], list[float]]:
        trials = self.study.trials
        return [trial.params["data.target_scale"] for trial in trials], [float(trial.value) for trial in trials]

    @property
    def status(self) -> Any:
        return json.loads(sweep(self.root, "status", self.name, "--json"))


def grid(root: Path, name: str, *arguments: str) -> Ran:
    return Ran(root, name, sweep(root, "run", *GRID, f"study.name={name}", *arguments))


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Judged by the training loss, with --force."""
    return grid(tmp_path_factory.mktemp("trap"), "trap", "objective.metric=train/loss", "--force")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The same, judged by the default objective."""
    return grid(tmp_path_factory.mktemp("honest"), "honest")


REASON = "train/loss, which shrinks without anything being learnt: data.target_scale changes from trial to trial"


def test_without_force_the_trap_is_refused_and_nothing_is_created(tmp_path: Path) -> None:
    said = sweep(tmp_path, "run", *GRID, "study.name=trap", "objective.metric=train/loss", status=2)
    assert "objective.metric: got train/loss" in said
    assert list(tmp_path.iterdir()) == []


def test_the_training_loss_chooses_the_largest_scale(trap: Ran) -> None:
    assert trap.study.best_params["data.target_scale"] == 64
    assert spearmanr(*trap.by_scale).statistic == pytest.approx(-1)


def test_the_default_objective_does_not_choose_a_scale_for_its_size(honest: Ran) -> None:
    assert honest.study.best_params["data.target_scale"] != 64
    assert spearmanr(*honest.by_scale).statistic > -0.9


def test_what_a_forced_study_writes_is_marked(trap: Ran, tmp_path: Path) -> None:
    assert trap.study.user_attrs["not_comparable"].startswith(REASON)
    results = OmegaConf.load(trap.root / "mlruns/studies/trap/optimization_results.yaml")
    assert results.not_comparable.startswith(REASON)
    assert f"# Not comparable: {REASON}" in export(trap.study, tmp_path / "conf").read_text()
    assert "Its trials are not comparable: train/loss" in trap.output
    assert "Not comparable: train/loss" in trap.output
    assert trap.status["not_comparable"].startswith(REASON)
    assert "Not comparable: train/loss" in sweep(trap.root, "status", "trap")


def test_nothing_that_a_study_writes_is_marked_which_compares(honest: Ran, tmp_path: Path) -> None:
    assert "not_comparable" not in honest.study.user_attrs
    assert "omparable" not in (honest.root / "mlruns/studies/honest/optimization_results.yaml").read_text()
    assert "omparable" not in export(honest.study, tmp_path / "conf").read_text()
    assert "omparable" not in honest.output
    assert honest.status["not_comparable"] is None


def test_the_mark_stays_when_the_study_goes_on_as_one_that_compares(trap: Ran) -> None:
    output = grid(trap.root, "trap", "hydra.sweeper.if_changed=go_on").output
    assert "Not comparable: train/loss" in output
    assert trap.study.user_attrs["not_comparable"].startswith(REASON)


def test_baselines_and_all_runs_bear_the_mark(application: Application) -> None:
    application.run(
        *("x=interval(-2,2)", "n=1", "hydra.sweeper.n_trials=2", "+hydra.sweeper.baselines.large=['n=50']"),
        *("hydra.sweeper.not_comparable='one, and \\'two\\': three'", "hydra.sweeper.tracking.uri=sqlite:///mlflow.db"),
    )
    reason = "one, and 'two': three"
    for name in ("s", "s.baselines"):
        study = load_study(open_storage(None, application.folder / "out"), name)
        assert study.user_attrs["not_comparable"] == reason
        for shown in (render(snapshot(study)), table(study), overview([snapshot(study)])):
            console = Console(file=io.StringIO(), width=200)
            console.print(shown)
            assert "ot comparable" in console.file.getvalue()  # type: ignore[attr-defined]
    client = MlflowClient(f"sqlite:///{application.folder}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'sweep'")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1 + 2 + 1
    for run in runs:
        assert run.data.tags["sweep.comparable"] == "false"
        assert run.data.tags["sweep.not_comparable"] == reason


def test_a_sibling_that_begins_later_bears_the_mark_of_its_study(application: Application) -> None:
    space = ("x=interval(-2,2)", "n=1", "hydra.sweeper.n_trials=1")
    application.run(*space, "hydra.sweeper.not_comparable=moving")
    application.run(*space, "+hydra.sweeper.baselines.large=['n=50']")
    sibling = load_study(open_storage(None, application.folder / "out"), "s.baselines")
    assert sibling.user_attrs["not_comparable"] == "moving"
