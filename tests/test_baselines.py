"""What a study is compared with although it is no point of its search space: run for real, in the sibling study."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from application import Application
from hydra.core.override_parser.overrides_parser import OverridesParser
from mlflow import MlflowClient
from omegaconf import OmegaConf

from sweep.engine import baselines as engine
from sweep.engine.configurations import Configurations
from sweep.engine.errors import UserError
from sweep.engine.settings import Settings
from sweep.engine.storage import open_storage
from sweep.results.snapshot import snapshot

THREE = ("x=interval(-2,2)", "n=range(1,4)", "hydra.sweeper.n_trials=3", "hydra/sweeper/pruner=none")
TWO = "+hydra.sweeper.baselines={tenth:['x=0.1'],large:['x=0','n=50']}"

SLOW = [f"+hydra.sweeper.baselines.{name}=['seconds=2','x={x}']" for x, name in enumerate("abc")]


def baseline(name: str, *overrides: str) -> str:
    quoted = ",".join(f"'{override}'" for override in overrides)
    return f"+hydra.sweeper.baselines.{name}=[{quoted}]"


def baselines(application: Application) -> list[optuna.trial.FrozenTrial]:
    """The trials of the sibling study."""
    return optuna.load_study(study_name="s.baselines", storage=open_storage(None, application.folder / "out")).trials


def test_baselines_run_in_a_sibling_study_once(application: Application) -> None:
    application.run(*THREE, TWO)
    trials = baselines(application)
    assert [(t.value, t.params) for t in trials] == [(pytest.approx(1.01), {}), (50.0, {})]
    assert [t.user_attrs["configuration"]["name"] for t in trials] == ["tenth", "large"]
    for trial, overrides in zip(trials, (["x=0.1"], ["x=0", "n=50"]), strict=True):
        folder = application.folder / "out/baselines" / str(trial.number)
        assert trial.user_attrs["output_dir"] == str(folder)
        assert list(OmegaConf.load(folder / ".hydra/overrides.yaml")) == overrides
        assert (folder / "console.log").exists()
    own = application.study.trials
    assert [set(t.params) for t in own] == [{"x", "n"}] * 3, "of which a baseline would rob the samplers"
    best = OmegaConf.load(application.folder / "out/optimization_results.yaml")
    assert best.best_value == min(t.value for t in own if t.value is not None)

    application.run(*THREE, TWO)
    assert len(baselines(application)) == 2
    assert len(application.study.trials) == 3


def test_baselines_can_be_added_and_an_edited_one_is_another_trial(application: Application) -> None:
    application.run(*THREE, baseline("tenth", "x=0.1"))
    application.run(*THREE, TWO)
    assert [t.value for t in baselines(application)] == [pytest.approx(1.01), 50.0]
    application.run(*THREE, TWO.replace("n=50", "n=60"))
    assert [t.value for t in baselines(application)] == [pytest.approx(1.01), 50.0, 60.0]
    application.run(*THREE)
    assert len(baselines(application)) == 3, "none is asked for, none is lost"


def test_runs_of_baselines_are_under_the_run_of_the_study(application: Application) -> None:
    uri = f"sqlite:///{application.folder}/mlflow.db"
    application.run(*THREE, TWO, "hydra.sweeper.tracking.uri=sqlite:///mlflow.db")
    sibling = optuna.load_study(study_name="s.baselines", storage=open_storage(None, application.folder / "out"))
    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'sweep'")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.data.tags["sweep.kind"] == "study"]
    assert parent.data.tags["sweep.study_id"] == application.study.user_attrs["id"]
    theirs = [run for run in runs if run.data.tags["sweep.study_id"] == sibling.user_attrs["id"]]
    assert {run.data.metrics["objective"] for run in theirs} == {t.value for t in sibling.trials}
    for run in theirs:
        assert run.data.tags["sweep.study"] == "s.baselines"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == "FINISHED"
    assert len(runs) == 1 + 3 + 2
    assert sibling.user_attrs["tracking_uri"] == application.study.user_attrs["tracking_uri"] == uri
    assert parent.info.status == "FINISHED"


def test_a_baseline_has_its_own_overrides_alone_but_is_judged_as_the_study_is(application: Application) -> None:
    space = ("x=interval(-2,2)", "n=3", "seconds=0.04", "hydra.sweeper.n_trials=2")
    application.run(*space, "hydra.sweeper.compared_by=[seconds]", baseline("a", "seconds=0.4", "x=1"))
    (trial,) = baselines(application)
    config = OmegaConf.load(application.folder / "out/baselines/0/.hydra/config.yaml")
    assert (config.x, config.n, config.seconds) == (1.0, 1, 0.04)
    assert trial.value == 2.0


def test_no_baseline_is_pruned(application: Application) -> None:
    """Optuna's default pruner would begin to with the sixth."""
    six = [baseline(f"b{n}", f"n={n}", "seconds=0") for n in (1, 1, 1, 1, 1, 900)]
    six = [text.replace("b1=", f"b1{index}=") for index, text in enumerate(six)]
    application.run("x=interval(-2,2)", "hydra.sweeper.n_trials=1", "hydra.sweeper.n_jobs=1", *six)
    assert [t.state.name for t in baselines(application)] == ["COMPLETE"] * 6


def test_ctrl_c_twice_during_the_baselines_is_an_interruption_and_no_failure(application: Application) -> None:
    process = application.start(*THREE, *SLOW)
    application.until(lambda _: _running(application) == 2)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    while "press Ctrl-C again" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "no trial is complete" not in output
    assert {t.user_attrs["reason"] for t in baselines(application) if t.state.name == "FAIL"} == {
        "stopped: the study was interrupted"
    }


def test_ctrl_c_during_the_baselines_stops_before_the_study(application: Application) -> None:
    process = application.start(*THREE, *SLOW)
    application.until(lambda _: _running(application) == 2)
    seen = snapshot(application.study)
    assert (seen.done, seen.n_trials, seen.slots, seen.baselines) == (0, 3, 2, (0, 3)), "what is to come is known"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert [t.state.name for t in baselines(application)] == ["COMPLETE", "COMPLETE", "WAITING"]
    assert set(application.states()) <= {"WAITING"}
    application.run(*THREE, *SLOW)
    assert [t.state.name for t in baselines(application)] == ["COMPLETE"] * 3
    assert application.states() == {"COMPLETE": 3}


def test_a_sweep_that_was_killed_during_the_baselines_runs_them_again(application: Application) -> None:
    process = application.start(*THREE, *SLOW)
    application.until(lambda _: _running(application) == 2)
    process.kill()
    process.communicate()
    application.run(*THREE, *SLOW)
    trials = baselines(application)
    assert [t.state.name for t in trials] == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert sorted(t.value for t in trials if t.value is not None) == [1.0, 2.0, 5.0]
    assert application.states() == {"COMPLETE": 3}


def _running(application: Application) -> int:
    try:
        return sum(trial.state.name == "RUNNING" for trial in baselines(application))
    except KeyError:  # the sibling is just being made
        return 0


def test_a_baseline_that_fails_does_not_cost_the_study_its_own_trials(application: Application) -> None:
    application.run(*THREE, baseline("bad", "fault=raise", "n=2"), baseline("good", "x=0"))
    assert [t.state.name for t in baselines(application)] == ["FAIL", "COMPLETE"]
    assert application.states() == {"COMPLETE": 3}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{'a/b':['x=1']}", "a/b"),
        ("{a:[x]}", "hydra.sweeper.baselines.a"),
        ("{a:[['x=1']]}", "hydra.sweeper.baselines.a"),
        ("{a:['depth=1']}", "depth"),
        ("{a:['x=far']}", "x"),
    ],
)
def test_what_cannot_be_run_is_one_message_and_leaves_nothing(application: Application, given: str, said: str) -> None:
    output = application.run(*THREE, f"+hydra.sweeper.baselines={given}", status=1)
    assert said in output
    assert "Traceback" not in output
    assert not (application.folder / "out").exists()


def read(
    given: Any, config: dict[str, Any] | None = None, fixed: tuple[str, ...] = (), **settings: Any
) -> Configurations:
    known = OmegaConf.create({**vars(Settings()), "baselines": given, **settings})
    return engine.read(known, OmegaConf.create(config or {}), fixed)


@pytest.mark.parametrize("name", ["", "a b", "../a", "-a", "ä"])
def test_a_name_is_one_that_a_run_can_have(name: str) -> None:
    with pytest.raises(UserError, match="a name of letters"):
        read({name: ["x=1"]})


@pytest.mark.parametrize("given", [None, 1, "x", ["x"], [1], [["x=1"]], {"x": 1}])
def test_a_baseline_is_a_list_of_overrides(given: Any) -> None:
    with pytest.raises(UserError, match=r"hydra\.sweeper\.baselines\.a: got .* a list of overrides"):
        read({"a": given})


def test_a_baseline_has_its_own_overrides_those_of_storage_and_what_it_is_judged_by() -> None:
    found = read(
        {"a": "x=1", "b": ["+experiment=question", "~y=1"]},
        {"judge": {"size": [2, 3], "none": None}, "store": {"uri": "here"}},
        ("n=3", "store.uri=here", "store=big"),
        identity_excludes=["store"],
        compared_by=["judge"],
    )
    judged = ("judge.size=[2,3]", "judge.none=null")
    stored = ("store.uri=here", "store=big")
    assert found.overrides == {"a": (*stored, "x=1", *judged), "b": (*stored, "+experiment=question", "~y=1", *judged)}
    assert found.fixed == stored


@pytest.mark.parametrize(
    "value", ["it's a, b", "1", "null", "", 1e-7, True, None, [], ["1", "a,b", [2.0]], [{"k": "1"}]]
)
def test_what_it_is_judged_by_has_the_value_that_the_study_has(value: Any) -> None:
    found = read({"a": "x=1"}, {"judge": {"by": value}}, compared_by=["judge.by"])
    (override,) = OverridesParser.create().parse_overrides([found.overrides["a"][-1]])
    assert override.key_or_group == "judge.by"
    assert OmegaConf.create({"by": override.value()}) == {"by": value}


def test_it_is_judged_by_what_there_is() -> None:
    with pytest.raises(UserError, match=r"hydra\.sweeper\.compared_by: got judge\.of"):
        read({"a": "x=1"}, {"judge": {"by": 1}}, compared_by=["judge.of"])
    assert read({}, compared_by=["judge"]).overrides == {}, "and by nothing where nothing is compared"


def test_a_request_to_stop_a_study_reaches_those_beside_it(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "mlruns/studies/s")
    all_of_them = [optuna.create_study(study_name=name, storage=storage) for name in ("s", "s.baselines", "s.confirm")]
    subprocess.run([sys.executable, "-m", "sweep", "--root", str(tmp_path), "stop", "s"], check=True)
    assert [study.user_attrs["stop"] for study in all_of_them] == [True, True, True]
