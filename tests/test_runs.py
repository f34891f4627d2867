import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.data import get_source
from omegaconf import OmegaConf

from sweep.engine.trial import Trial
from sweep.tracking.addition import add_to_study, with_section
from sweep.tracking.calls import legal
from sweep.tracking.ended import Ended
from sweep.tracking.params import log10_params, run_params
from sweep.tracking.runs import reconcile, run_in, single_run, study_run
from sweep.tracking.store import Store, client
from sweep.tracking.tracker import Tracker, new_spool


def runs_of(store, kind="trial"):
    """The runs of one kind, by trial number or name."""
    found = client(store.uri).search_runs([store.experiment_id], f"tags.`sweep.kind` = '{kind}'")
    return {int(r.data.tags["sweep.trial"]) if kind == "trial" else r.info.run_name: r for r in found}


def points(store, run, name):
    return [(p.step, p.value) for p in client(store.uri).get_metric_history(run.info.run_id, name)]


def said(run):
    """The metrics of a run that its task spoke of."""
    return {name: v for name, v in run.data.metrics.items() if not name.startswith(("system/", "cost/"))}


def files(store, run, folder=None):
    return sorted(f.path for f in client(store.uri).list_artifacts(run.info.run_id, folder))


def test_a_trial_becomes_a_child_run_with_all_that_it_said(open_experiment, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)  # must not hijack
    store = open_experiment("child")
    parent = study_run(store, "quick", "id-1", {"n_trials": "1"})
    folder = tmp_path / "0"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("a: 1")
    (folder / "scatter.png").write_text("a picture")
    (folder / "console.log").write_text("x" * 6_000_000 + "\nthe end")
    (folder / "task.log").write_text("a line")
    (folder / "empty.log").write_text("")
    tracker = parent.tracker(tmp_path)
    tracker.begin(0, "quick 0", {"model.depth": "3", "long": "x" * 7000, "odd?key": "1"}, {"mine": "yes"}, folder)
    trial = Trial(0, lambda kind, payload: bool(tracker.write(0, kind, payload)))
    trial.report(-0.5, step=10)
    trial.log({"val/rmse": 2.0, "best/rmse": 2.0}, step=10)
    trial.log({"val/rmse": 3.0, "best/rmse": 2.0}, step=20)
    trial.describe(parameters=1234, network="dense")
    for _ in range(2):  # what is sent again changes nothing
        trial.use_dataset("frozen", "abc123", "evaluation", {"matrix": "float32 (3, 3)"}, size=500, range=[-2, 2])
    trial.use_dataset("stream", "def456", "training", size="endless")
    tracker.put(0, "seen", {"values": {"system/cpu_utilization_percentage": 50.0}, "step": 99})
    trial.attach(folder / "scatter.png", "plots")
    tracker.end(0, "COMPLETE", value=-0.6)
    assert tracker.close() == 0

    (run,) = runs_of(store).values()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "quick 0"
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == parent.run_id
    assert (tags["sweep.study"], tags["sweep.study_id"], tags["sweep.trial"]) == ("quick", "id-1", "0")
    assert (tags["sweep.state"], tags["mine"], tags["facts/network"]) == ("COMPLETE", "yes", "dense")
    assert {"mlflow.user", "mlflow.source.name", "mlflow.source.type"} <= set(tags)
    assert run.data.params["model.depth"] == "3"
    assert run.data.params["odd_key"] == "1"
    assert run.data.params["long"].endswith("… (cut: 7000 characters)")
    assert run.data.metrics == {
        **{"reported": -0.5, "val/rmse": 3.0, "best/rmse": 2.0},
        **{"facts/parameters": 1234.0, "objective": -0.6, "system/cpu_utilization_percentage": 50.0},
    }
    assert points(store, run, "objective") == [(20, -0.6)], "what was seen does not move it"
    assert points(store, run, "val/rmse") == [(10, 2.0), (20, 3.0)]
    assert files(store, run) == ["config", "logs", "plots"]
    assert files(store, run, "logs") == ["logs/console.log", "logs/task.log"]
    log = Path(client(store.uri).download_artifacts(run.info.run_id, "logs/console.log", tmp_path)).read_text()
    assert log.startswith(f"[the first 1,000,008 bytes are in {folder}/console.log]\n")
    assert log.endswith("x\nthe end")
    frozen, stream = sorted(run.inputs.dataset_inputs, key=lambda used: used.dataset.name)
    assert (frozen.dataset.name, frozen.dataset.digest) == ("frozen", "abc123")
    assert json.loads(frozen.dataset.profile) == {"size": 500, "range": [-2, 2]}
    assert json.loads(frozen.dataset.schema) == {"mlflow_colspec": [{"name": "matrix", "type": "float32 (3, 3)"}]}
    assert [(tag.key, tag.value) for tag in stream.tags] == [("mlflow.data.context", "training")]
    assert get_source(stream.dataset).to_dict() == {"tags": {}}
    assert files(store, run, "config") == ["config/config.yaml"]


@pytest.mark.parametrize(
    ("state", "status"), [("COMPLETE", "FINISHED"), ("PRUNED", "KILLED"), ("FAIL", "FAILED"), ("STOPPED", "KILLED")]
)
def test_only_a_complete_trial_is_finished(open_experiment, tmp_path, state, status):
    store = open_experiment(f"ends {state}")
    tracker = Tracker(store, new_spool(tmp_path, store, tags={"sweep.kind": "run"}))
    tracker.begin(0, "a run", {})
    why, trace = ("", "") if state == "COMPLETE" else (f"because {state}", "Traceback: line 1")
    tracker.end(0, state, why, trace)
    assert tracker.close() == 0
    run = runs_of(store, "run")["a run"]
    assert run.info.status == status
    assert run.info.end_time >= run.info.start_time
    assert run.data.tags.get("sweep.reason", "") == why
    assert files(store, run) == (["traceback.txt"] if trace else [])


def test_what_is_not_finite_becomes_a_tag_and_the_last_finite_value_stays(open_experiment, tmp_path):
    store = open_experiment("nonfinite")
    with run_in(store, "a run", {}, tmp_path) as run:
        trial = Trial(send=run.send)
        trial.log({"train/loss": 0.5}, step=1)
        for step, value in enumerate((math.nan, math.inf, -math.inf), 2):
            trial.log({"train/loss": value}, step=step)
            trial.report(value, step=step)
        trial.describe(speed=math.nan)
        run.value = math.nan
    written = runs_of(store, "run")["a run"]
    assert said(written) == {"train/loss": 0.5}
    assert points(store, written, "train/loss") == [(1, 0.5)]
    assert written.data.tags["sweep.nonfinite/train/loss"] == "-inf at step 4"
    assert written.data.tags["sweep.nonfinite/reported"] == "-inf at step 4"


def test_several_objectives_and_constraints_are_metrics(open_experiment, tmp_path):
    store = open_experiment("objectives")
    tracker = Tracker(store, new_spool(tmp_path, store, tags={"sweep.kind": "run"}))
    tracker.begin(0, "a run", {})
    trial = Trial(0, lambda kind, payload: bool(tracker.write(0, kind, payload)))
    trial.log({"val/rmse": 2.0}, step=10)
    trial.set_constraint("memory", 0.5)
    trial.set_constraint("time", -math.inf)
    tracker.end(0, "COMPLETE", value=(0.25, 3.0))
    assert tracker.close() == 0
    run = runs_of(store, "run")["a run"]
    expected = {"val/rmse": 2.0, "constraint/memory": 0.5, "objective/1": 0.25, "objective/2": 3.0}
    assert run.data.metrics == expected
    assert points(store, run, "constraint/memory") == [(10, 0.5)]
    assert run.data.tags["sweep.nonfinite/constraint/time"] == "-inf at step 10"


def test_any_number_of_points_is_written_and_the_last_best_value_is_the_one_shown(open_experiment, tmp_path):
    store = open_experiment("many")
    with run_in(store, "a run", {f"p{i}": str(i) for i in range(150)}, tmp_path) as run:
        trial = Trial(send=run.send)
        for step in range(2500):
            trial.log({"train/loss": 1 / (step + 1)}, step=step)
        trial.log({"best/rmse": 3.0}, step=2400)
        trial.log({"best/rmse": 1.0}, step=1200)
    written = runs_of(store, "run")["a run"]
    assert points(store, written, "train/loss") == [(step, 1 / (step + 1)) for step in range(2500)]
    assert written.data.metrics["best/rmse"] == 1.0
    assert len(written.data.params) == 150


def test_what_mlflow_refuses_is_counted_said_once_and_holds_nothing_up(open_experiment, tmp_path, caplog):
    store = open_experiment("refused")
    tracker = Tracker(store, new_spool(tmp_path, store, tags={"sweep.kind": "run"}))
    tracker.begin(0, "a run", {})
    for step in range(20):
        tracker.write(0, "metrics", {"values": {"a": 1.0}, "step": step})
        tracker.write(0, "artifact", {"path": "/no/such/file", "folder": ""})
    tracker.write(7, "metrics", {"values": {"a": 1.0}, "step": 0})  # never began
    tracker.end(0, "COMPLETE")
    assert tracker.close() == 21
    run = runs_of(store, "run")["a run"]
    assert run.info.status == "FINISHED"
    assert len(points(store, run, "a")) == 20
    said = [record.message for record in caplog.records if "refused" in record.message]
    assert len(said) == 2
    assert "/no/such/file" in said[0]
    assert any("21 events are not in MLflow" in record.message for record in caplog.records)


def test_a_store_that_never_answers_costs_no_more_than_the_time_given(unused_port, tmp_path, caplog):
    store = Store(f"http://me:secret@127.0.0.1:{unused_port}", "sweep", "1")
    tracker = Tracker(store, new_spool(tmp_path, store))
    tracker.begin(0, "a run", {})
    tracker.write(0, "metrics", {"values": {"a": 1.0}, "step": 0})
    tracker.end(0, "COMPLETE")
    assert not tracker.flush(0.01)
    assert tracker.close(0.1) == 4
    assert "secret" not in caplog.text + tracker.path.read_text()
    assert sum("is away" in record.message for record in caplog.records) <= 1


def test_a_study_that_goes_on_keeps_its_run(open_experiment, tmp_path):
    store = open_experiment("resume")
    parent = study_run(store, "quick", "id-2", {"n_trials": "12", "sampler": "tpe"})
    other = study_run(store, "quick", "id-3", {})
    note = Path(store.uri.removeprefix("sqlite:///")).with_name("board.csv")
    note.write_text("1,2")
    page = parent.page(tmp_path)
    page.begin()
    page.metrics({"trials/done": 11, "best/objective": -1.0}, 12)
    page.attach(note, "results")
    page.describe("# A study")
    page.tags({"state": "good"})
    page.end("FINISHED")
    assert page.close() == 0
    first = client(store.uri).get_run(parent.run_id)
    assert first.info.status == "FINISHED"
    assert first.data.metrics == {"trials/done": 11, "best/objective": -1.0}
    assert first.data.tags["state"] == "good"
    assert first.data.tags["mlflow.note.content"] == "# A study"
    assert files(store, first, "results") == ["results/board.csv"]

    again = study_run(store, "quick", "id-2", {"n_trials": "20", "sampler": "tpe", "pruner": "median"})
    assert again == parent != other
    page = again.page(tmp_path)
    assert (parent.step, again.step, page.step) == (-1, 12, 12)
    page.begin()
    assert page.close() == 0
    run = client(store.uri).get_run(parent.run_id)
    assert run.info.status == "RUNNING"
    assert run.data.params == {"n_trials": "12", "sampler": "tpe", "pruner": "median"}
    assert run.data.tags["sweep.now.n_trials"] == "20"


KILLED = """
import json, os, sys, time
from sweep.tracking.runs import StudyRun
from sweep.tracking.store import Store
store = Store(*json.loads(sys.argv[1]))
tracker = StudyRun(store, sys.argv[2], "quick", "id-4").tracker(sys.argv[3])
for number in range(3):
    tracker.begin(number, f"quick {number}", {}, folder=sys.argv[3])
    tracker.put(number, "tags", {"mlflow.note.content": f"**Trial {number}** is running.\\n\\nas it was"})
    tracker.write(number, "metrics", {"values": {"val/rmse": 1.5}, "step": 1})
assert tracker.flush()
print("written", flush=True)
time.sleep(600)
"""


def test_what_is_found_out_later_is_added_to_a_study_that_has_ended(open_experiment, tmp_path):
    store = open_experiment("added")
    parent = study_run(store, "quick", "id-9", {})
    page = parent.page(tmp_path)
    page.describe("# A study\n\n## Best\n\nthis")
    page.end("KILLED")
    assert page.close() == 0
    table = tmp_path / "confirm.csv"
    table.write_text("1,2")
    for text in ("first", "second"):
        assert add_to_study(parent, "Confirmed", text, {"test/rmse": 0.5, "none": float("nan")}, [(table, "confirm")])
    assert add_to_study(parent, "From plain to the best", "third", {}, [])
    run = client(store.uri).get_run(parent.run_id)
    assert run.info.status == "KILLED"
    assert run.data.metrics == {"test/rmse": 0.5}
    assert run.data.tags["mlflow.note.content"].split("\n\n") == [
        "# A study", "## Best", "this", "## Confirmed", "second", "## From plain to the best", "third\n"
    ]  # fmt: skip
    assert files(store, run, "confirm") == ["confirm/confirm.csv"]


@pytest.mark.parametrize("note", ["", "text", "## Other\n\ntext\n", "## Confirmed\n\nold\n"])
def test_a_section_is_there_once(note):
    made = with_section(with_section(note, "Confirmed", "new"), "Confirmed", "newer")
    assert made.count("## Confirmed") == 1
    assert made.endswith("## Confirmed\n\nnewer\n")
    assert ("text" in made) == ("text" in note)


def test_a_section_stands_before_what_is_fixed_which_is_what_is_cut(open_experiment, tmp_path):
    store = open_experiment("long")
    parent = study_run(store, "quick", "id-10", {})
    page = parent.page(tmp_path)
    about = "It is done.\n\n## Confirmed\n\nold\n\n### What is fixed\n\n```\n"
    page.describe(about + "data.key: 1\n" * 600)
    assert page.close() == 0
    for text in ("new", "newer, " * 100):
        assert add_to_study(parent, "Confirmed", text, {}, [])
    note = client(store.uri).get_run(parent.run_id).data.tags["mlflow.note.content"]
    assert note.startswith(f"It is done.\n\n## Confirmed\n\n{text.strip()}\n\n### What is fixed\n\n```\ndata.key: 1\n")
    assert note.count("What is fixed") == 1
    assert len(note) <= 8000


def test_runs_that_a_kill_left_open_are_closed_as_their_trials_ended(open_experiment, tmp_path):
    store = open_experiment("killed")
    parent = study_run(store, "quick", "id-4", {})
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("a: 1")
    place = json.dumps([store.uri, store.experiment, store.experiment_id])
    command = [sys.executable, "-c", KILLED, place, parent.run_id, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout.readline() == "written\n"
        agent.send_signal(signal.SIGKILL)
    states = {
        0: Ended("FAIL", "orphan: its agent is gone", folder=str(tmp_path)),
        1: Ended("PRUNED", "pruned at step 1"),
        9: Ended("COMPLETE", "", (0.5,), {"x": "3"}, {"best/rmse": 2.0}, {10: 0.7, 20: 0.5}, commit="abc"),
    }
    done, again = (reconcile(parent, states, ["val/rmse"]) for _ in range(2))
    assert (done.closed, done.made) == (2, 1)
    assert again == type(done)(done.runs, 0, 0)
    runs = runs_of(store)
    assert {n: r.info.status for n, r in runs.items()} == {0: "FAILED", 1: "KILLED", 2: "RUNNING", 9: "FINISHED"}
    assert runs[9].data.metrics == {"objective": 0.5, "best/rmse": 2.0, "reported": 0.5}
    assert runs[9].data.params == {"x": "3"}
    notes = {number: run.data.tags["mlflow.note.content"] for number, run in runs.items()}
    assert notes[0] == "**Trial 0 of study quick** failed: orphan: its agent is gone\n\nas it was"
    assert "val/rmse = **0.5**" in notes[9]
    assert [run.data.tags.get("mlflow.source.git.commit") for run in runs.values()].count("abc") == 1
    assert runs[9].data.tags["mlflow.source.git.commit"] == "abc"
    assert "| x | 3 |" in notes[9]
    assert runs[9].data.tags["mlflow.parentRunId"] == parent.run_id
    assert done.runs == {number: run.info.run_id for number, run in runs.items()}
    assert runs[0].data.tags["sweep.reason"] == "orphan: its agent is gone"
    assert runs[0].data.metrics == {"val/rmse": 1.5}
    assert files(store, runs[0], "config") == ["config/config.yaml"]


def test_a_store_that_is_gone_does_not_break_the_end_of_a_study(open_experiment, unused_port, tmp_path, caplog):
    store = Store(f"http://127.0.0.1:{unused_port}", "sweep", "1")
    parent = study_run(open_experiment("gone"), "quick", "id-5", {})
    gone = type(parent)(store, parent.run_id, "quick", "id-5")
    page = gone.page(tmp_path)
    page.end("FINISHED")
    assert page.close(0.1) == 2
    assert page.waiting == 2
    assert reconcile(gone, {0: Ended("COMPLETE")}) is None
    assert "MLflow has not got the runs of study quick" in caplog.text


def test_a_single_run_ends_as_its_task_did(open_experiment, tmp_path):
    store = open_experiment("single")
    with run_in(store, "good", {"a": "1"}, tmp_path) as run:
        run.value = 0.25
    with pytest.raises(ZeroDivisionError), run_in(store, "bad", {}, tmp_path):
        _ = 1 / 0
    with pytest.raises(KeyboardInterrupt), run_in(store, "stopped", {}, tmp_path):
        raise KeyboardInterrupt
    runs = runs_of(store, "run")
    statuses = {name: run.info.status for name, run in runs.items()}
    assert statuses == {"good": "FINISHED", "bad": "FAILED", "stopped": "KILLED"}
    assert said(runs["good"]) == {"objective": 0.25}
    assert {"system/cpu_utilization_percentage", "cost/seconds"} < set(runs["bad"].data.metrics)
    assert "objective = **0.25**" in runs["good"].data.tags["mlflow.note.content"]
    assert "ZeroDivisionError: division by zero\n" in runs["bad"].data.tags["mlflow.note.content"]
    assert "**Run stopped** was interrupted" in runs["stopped"].data.tags["mlflow.note.content"]
    assert runs["bad"].data.tags["sweep.reason"] == "exception: ZeroDivisionError: division by zero"
    assert "mlflow.parentRunId" not in runs["good"].data.tags


def test_nothing_is_tracked_where_no_store_is_named():
    with single_run(OmegaConf.create({"tracking": {"uri": None}})) as run:
        assert run.send("metrics", {"values": {"a": 1.0}, "step": 0}) is False


def test_params_are_flat_resolved_and_without_places(compose):
    params = run_params(compose("optimizer.learning_rate=1e-3", "data.entry_range=[-1,1]"))
    assert params["optimizer.learning_rate"] == "0.001"
    assert params["log10_learning_rate"] == "-3.0"
    assert "log10_width" not in params
    assert params["data.entry_range"] == "[-1.0, 1.0]"
    assert params["model.depth"] == "3"
    assert params["train.loss"] == "mse"
    assert params["train.threads"] == "null"
    assert not [key for key in params if key.partition(".")[0] in ("paths", "tracking", "storage", "hydra")]


def test_params_on_a_log_scale_have_their_log10_under_names_that_do_not_clash(compose):
    config = OmegaConf.create(
        {"a": {"rate": 10, "size": 3}, "b": {"rate": 0.1}, "c": 0, "d": "x", "learning_rate": 1e-3}
    )
    params = run_params(config, log_scaled=["a.rate", "b.rate", "a.size", "c", "d", "not.there"])
    assert {key: value for key, value in params.items() if key.startswith("log10")} == {
        "log10_a.rate": "1.0",
        "log10_b.rate": "-1.0",
        "log10_size": "0.477121",
        "log10_learning_rate": "-3.0",
    }
    assert log10_params({"b.rate": 100}, ["a.rate", "b.rate"]) == {"log10_b.rate": "2.0"}, "as in the other trials"


def test_params_that_cannot_be_resolved_are_as_written():
    config = OmegaConf.create({"a": "???", "b": "${nowhere}", "c": {}, "d": [1, {"e": None}], "f": True})
    assert run_params(config) == {"a": "???", "b": "${nowhere}", "c": "{}", "d": '[1, {"e": null}]', "f": "true"}


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("val/rmse", "val/rmse"),
        ("a//../b", "a/b"),
        ("/a", "a"),
        ("", "_"),
        ("db@x=1%", "db_x_1_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_names_become_such_as_mlflow_takes(name, taken):
    assert legal(name) == taken
