"""Several objectives and constraints, from the trials of a study to what its people get."""

import io
import json
import threading

import optuna
import pytest
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console

from sweep.engine.command import Command
from sweep.engine.errors import UserError
from sweep.engine.storage import open_storage
from sweep.engine.study import is_feasible
from sweep.results import summary
from sweep.results.export import export, export_front
from sweep.results.front import front, front_table, objective_names
from sweep.results.leaderboard import ranked, table
from sweep.results.progress import overview, render
from sweep.results.snapshot import snapshot
from sweep.results.story import Story
from sweep.tracking.runs import study_run
from sweep.tracking.store import client


class Supervisor:
    """What the end of a study asks its supervisor."""

    spent: str | None = None
    hopeless: str | None = None
    interrupted = threading.Event()


@pytest.fixture
def add(tmp_path):
    """Adds a trial with these values to a study, and what Hydra leaves in its output directory."""

    def added(study, values, state=TrialState.COMPLETE, constraints=None, **attributes):
        number = len(study.get_trials(deepcopy=False))
        folder = tmp_path / "trials" / str(number)
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "config.yaml").write_text(f"x: {number}")
        hydra = {"hydra": {"runtime": {"choices": {}}, "overrides": {"task": []}}}
        (folder / ".hydra" / "hydra.yaml").write_text(json.dumps(hydra))
        trial = create_trial(
            state=state,
            values=values,
            params={"model.x": float(number)},
            distributions={"model.x": FloatDistribution(0, 100)},
            user_attrs={"output_dir": str(folder), **attributes},
            constraints=constraints,
        )
        study.add_trial(trial)

    return added


@pytest.fixture
def several(tmp_path, add):
    """An error and a size, both to be small: 6, 1 and 3 are on the front, best error first."""
    study = optuna.create_study(
        study_name="planted", directions=["minimize", "minimize"], storage=open_storage(None, tmp_path / "several")
    )
    add(study, [0.5, 50.0])  # beaten by 1
    add(study, [0.4, 40.0])
    add(study, None, TrialState.PRUNED)
    add(study, [0.9, 10.0])
    add(study, [0.1, 10.0], constraints={"memory": 0.5})  # beats all, but is infeasible
    add(study, [0.4, 40.0], repeat_of=1)
    made_with = {"commit": "abc with changes"}
    add(study, [0.3, 60.0], constraints={"memory": -0.5, "time": 0.0}, made_with=made_with)
    return study


@pytest.fixture
def infeasible(study, add):
    add(study, [0.2], constraints={"memory": 3.0})
    add(study, [0.9], constraints={"memory": 0.25, "time": -1.0})
    return study


def drawn(renderable, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def numbers(trials):
    return [trial.number for trial in trials]


def test_a_trial_is_feasible_if_no_constraint_is_above_zero(several):
    assert [is_feasible(trial) for trial in several.trials] == [True, True, True, True, False, True, True]


def test_the_front_is_of_feasible_trials_that_were_run(several):
    assert numbers(front(several)) == [6, 1, 3]
    assert set(numbers(front(several))) <= set(numbers(several.best_trials))


def test_every_direction_counts(add):
    study = optuna.create_study(directions=["maximize", "minimize"])
    for values in ([1.0, 1.0], [2.0, 2.0], [0.5, 1.5], [3.0, 2.5]):
        add(study, values)
    assert numbers(front(study)) == [3, 1, 0]


def test_neither_infeasible_nor_repeated_trials_are_ranked(study, add, infeasible):
    assert ranked(study) == []
    add(study, [0.5], metrics={"val/rmse": 2.0})
    add(study, [0.5], repeat_of=2, metrics={"val/rmse": 2.0})
    assert numbers(ranked(study)) == numbers(ranked(study, "val/rmse")) == numbers(front(study)) == [2]
    assert "4 complete; 2 infeasible" in " ".join(drawn(table(study)).split())


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_shows_every_objective_and_which_way_it_is_better(several, width):
    text = drawn(front_table(several), width)
    assert max(map(len, text.splitlines())) <= width
    for part in ("planted: Pareto front", "value 1 (min)", "value 2 (min)", "6 complete, 1 pruned; 1 infeasible"):
        assert part in text
    rows = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit() and "complete" not in line]
    assert rows == [["1", "6", "0.3", "60", "6"], ["2", "1", "0.4", "40", "1"], ["3", "3", "0.9", "10", "3"]]


def test_objectives_have_the_names_that_optuna_knows(several, study):
    assert objective_names(study) == ["objective"]
    assert objective_names(several) == ["value 1", "value 2"]
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        several.set_metric_names(["error", "size"])
    assert "error (min)" in drawn(front_table(several))


def test_a_snapshot_has_the_front_instead_of_a_best(several):
    seen = snapshot(several)
    assert seen.best is None
    assert [(point.trial, point.values) for point in seen.front] == [
        (6, (0.3, 60.0)),
        (1, (0.4, 40.0)),
        (3, (0.9, 10.0)),
    ]
    assert json.loads(json.dumps(seen.to_json()["front"][1])) == {
        "trial": 1,
        "values": [0.4, 40.0],
        "params": {"model.x": 1.0},
    }
    assert "Pareto front of 3: 6, 1, 3" in drawn(render(seen))
    assert "front of 3" in drawn(overview([seen]))


def test_what_is_infeasible_is_never_shown_as_the_best(infeasible):
    assert snapshot(infeasible).best is None
    assert "best" not in drawn(render(snapshot(infeasible)))


def test_the_whole_front_is_exported_and_what_left_it_goes(several, add, tmp_path):
    conf = tmp_path / "conf"
    paths = export_front(several, conf)
    assert [path.name for path in paths] == [f"planted-front-{n}.yaml" for n in (1, 2, 3)]
    assert ["# Trial: 6" in paths[0].read_text(), "x: 1" in paths[1].read_text()] == [True, True]
    for line in ("# Objective: value 1 = 0.3", "# Objective: value 2 = 60.0", "# Constraint: memory = -0.5"):
        assert line in paths[0].read_text().splitlines()
    mine = conf / "experiment" / "planted-front-9.yaml"
    mine.write_text("# @package _global_\n")
    add(several, [0.35, 5.0])  # better than 1 and 3
    assert [path.name for path in export_front(several, conf)] == ["planted-front-1.yaml", "planted-front-2.yaml"]
    left = sorted(path.name for path in (conf / "experiment").iterdir())
    assert left == ["planted-front-1.yaml", "planted-front-2.yaml", "planted-front-9.yaml"]


def test_a_front_is_exported_whole_or_not_at_all(several, tmp_path):
    (tmp_path / "trials" / "3" / ".hydra" / "config.yaml").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        export_front(several, tmp_path / "conf")
    assert not (tmp_path / "conf").exists()


def test_a_rank_is_a_place_on_the_front(several, tmp_path):
    assert "# Trial: 1," in export(several, tmp_path, rank=2).read_text()
    with pytest.raises(UserError, match="--rank: got 4, allowed is 1 to 3"):
        export(several, tmp_path, rank=4)


def test_a_repeated_trial_is_exported_as_the_one_that_was_run(several, tmp_path):
    assert "# Trial: 1," in export(several, tmp_path, trial=5).read_text()


def test_nothing_feasible_is_nothing_to_export(infeasible, tmp_path):
    with pytest.raises(UserError, match="--pareto: got a study without a front"):
        export_front(infeasible, tmp_path)
    with pytest.raises(UserError, match="no feasible trial is complete"):
        export(infeasible, tmp_path)


def test_the_results_of_several_objectives_are_all_solutions(several, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sweep.results.export.checkout", lambda: None)
    summary.close(several, tmp_path, None, "mine", 0, Supervisor())
    results = OmegaConf.to_container(OmegaConf.load(tmp_path / "optimization_results.yaml"))
    assert list(results) == ["name", "solutions"]
    assert results["solutions"][1] == {
        **{"params": {"model.x": 1.0}, "values": [0.4, 40.0], "trial": 1},
        **{"output_dir": str(tmp_path / "trials" / "1"), "mlflow_run_id": None},
    }
    shown = capsys.readouterr().out
    assert "Pareto front" in shown
    assert (
        "experiment/mine-front-3.yaml\nTrain the first again: sweep run --config-dir . +experiment=mine-front-1"
        in shown
    )


def test_the_results_of_one_objective_are_the_old_keys_and_ours(study, add, tmp_path):
    add(study, [0.5])
    add(study, [0.1], constraints={"memory": 1.0})
    summary.close(study, tmp_path, None, None, 0, Supervisor())
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / "optimization_results.yaml")) == {
        **{"name": "optuna", "best_params": {"model.x": 0.0}, "best_value": 0.5},
        **{"trial": 0, "output_dir": str(tmp_path / "trials" / "0"), "mlflow_run_id": None},
    }


def test_mlflow_has_every_objective_and_constraint_and_the_results_name_its_runs(several, open_experiment, tmp_path):
    store = open_experiment("several")
    parent = study_run(store, "planted", "id-front", {})
    hydra = {"sweep": {"dir": "out"}, "sweeper": {"study_name": "planted", "n_jobs": 1}, "overrides": {"task": []}}
    command = Command(("python", "fit.py"), ("-m",), str(tmp_path))
    story = Story(several, parent.page(tmp_path), command, OmegaConf.create({"hydra": hydra}), tmp_path)
    story.begin(None)
    summary.close(several, tmp_path, story, None, 0, Supervisor())
    solution = OmegaConf.load(tmp_path / "optimization_results.yaml").solutions[0]
    run = client(store.uri).get_run(solution.mlflow_run_id)
    assert run.data.tags["sweep.trial"] == "6"
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    assert "value 1 = **0.3**\n\nvalue 2 = **60**" in run.data.tags["mlflow.note.content"]
    assert run.data.metrics == {"objective/1": 0.3, "objective/2": 60, "constraint/memory": -0.5, "constraint/time": 0}
    whole = client(store.uri).get_run(parent.run_id)
    assert whole.info.status == "FINISHED"
    assert whole.data.metrics["trials/front"] == 3


def test_a_study_without_a_feasible_trial_ends_with_the_nearest(infeasible, tmp_path):
    message = "Study planted: none of its 2 complete trials is feasible.*Nearest: trial 1, memory = 0.25, time = -1"
    with pytest.raises(CompactHydraException, match=message):
        summary.close(infeasible, tmp_path, None, None, 0, Supervisor())
    assert not (tmp_path / "optimization_results.yaml").exists()


def test_a_study_that_was_given_up_fails_with_what_it_has(several, tmp_path):
    given_up = Supervisor()
    given_up.hopeless = "hydra.sweeper.max_failure_rate: 6 of 10 attempts failed"
    with pytest.raises(CompactHydraException, match=r"Study planted: hydra\.sweeper\.max_failure_rate: 6 of 10"):
        summary.close(several, tmp_path, None, None, 0, given_up)
    assert (tmp_path / "optimization_results.yaml").exists()


def test_a_study_whose_time_is_spent_says_so(several, tmp_path, capsys):
    several.add_trial(create_trial(state=TrialState.WAITING))
    enough = Supervisor()
    enough.spent = "hydra.sweeper.timeout: it has run for 60 s, allowed are 60 s"
    summary.close(several, tmp_path, None, None, 0, enough)
    assert "No further trial was begun. hydra.sweeper.timeout" in capsys.readouterr().out
