"""The sweeper as any Hydra application gets it: a small program, run for real, killed for real."""

import os
import re
import signal
from pathlib import Path

import optuna
import psutil
import pytest
from application import PROGRAM, Application, require_submitit
from omegaconf import OmegaConf
from optuna.trial import TrialState

from sweep.engine.outcome import stopped
from sweep.engine.placement import share_out
from sweep.engine.storage import open_storage
from sweep.engine.study import REPEAT_OF, attempts, first_attempt
from sweep.engine.sweeper import ended

SPACE = ("x=interval(-2,2)", "n=range(1,4)")
SIX = ("hydra.sweeper.n_trials=6", "hydra/sweeper/pruner=none", *SPACE)


def check_finished(application: Application, n_trials: int) -> None:
    """As many trials as asked for are complete, nothing runs, no folder was used twice, retries are the same trial."""
    trials = application.study.trials
    states = application.states()
    assert not {"RUNNING", "WAITING"} & set(states)
    ended_well = [first_attempt(trial) for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert sorted(ended_well) == list(range(n_trials))
    folders = [trial.user_attrs["output_dir"] for trial in trials if "output_dir" in trial.user_attrs]
    assert len(folders) == len(set(folders))
    for tries in attempts(application.study).values():
        # An attempt that was killed at once has no params, some of them, or all and no seed yet.
        assert all(trial.params.items() <= tries[-1].params.items() for trial in tries)
        assert len({trial.user_attrs["seed"] for trial in tries if "seed" in trial.user_attrs}) <= 1


def test_a_study_gives_what_the_old_sweeper_gave_and_every_trial_is_a_hydra_job(application: Application) -> None:
    output = application.run(*SIX)
    check_finished(application, 6)
    results = OmegaConf.load(application.folder / "out/optimization_results.yaml")
    assert results.name == "optuna"
    assert results.best_value == pytest.approx(application.study.best_value)
    assert dict(results.best_params) == application.study.best_params
    for trial in application.study.trials:
        folder = application.folder / "out" / str(trial.number)
        overrides = OmegaConf.load(folder / ".hydra/overrides.yaml")
        assert list(overrides) == [f"x={trial.params['x']}", f"n={trial.params['n']}"]
        assert "printed by the task" in (folder / "console.log").read_text()
    assert "6/6" in output
    assert "printed by the task" not in output


def test_the_same_command_gives_the_same_trials(application: Application, tmp_path: Path) -> None:
    application.run(*SIX, "hydra.sweeper.n_jobs=1")
    again = Application(tmp_path / "again") if (tmp_path / "again").mkdir() is None else application
    again.run(*SIX, "hydra.sweeper.n_jobs=1")
    one, other = ([(t.params, t.value) for t in each.study.trials] for each in (application, again))
    assert one == other


def test_a_killed_sweep_is_finished_by_the_same_command(application: Application) -> None:
    command = (*SIX, "seconds=2", "hydra.sweeper.tracking.uri=sqlite:///mlflow.db")
    for done in (1, 3):
        process = application.start(*command)
        application.until(lambda states, done=done: states.get("COMPLETE", 0) >= done and "RUNNING" in states)  # type: ignore[misc]
        process.kill()
        process.communicate()
    lost = application.states().get("RUNNING", 0)
    output = application.run(*command)
    check_finished(application, 6)
    assert "left" not in output
    orphans = [t for t in application.study.trials if t.user_attrs.get("reason", "").startswith("orphan")]
    assert len(orphans) >= lost
    check_mirror(application)
    assert application.run(*command).count("/6: trial") == 0, "a finished study has nothing left to run"


def check_mirror(application: Application) -> None:
    """MLflow has a finished run for the study, and one for every trial, as the study has it."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{application.folder}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'sweep'")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.data.tags["sweep.kind"] == "study"]
    assert parent.info.status == "FINISHED"
    children = {int(run.data.tags["sweep.trial"]): run for run in runs if run.data.tags["sweep.kind"] == "trial"}
    trials = application.study.trials
    assert sorted(children) == [trial.number for trial in trials]
    assert len(runs) == len(trials) + 1
    for trial in trials:
        run = children[trial.number]
        assert run.info.status == ("FINISHED" if trial.state.name == "COMPLETE" else "KILLED")
        assert run.data.metrics.get("objective") == trial.value
        history = client.get_metric_history(run.info.run_id, "reported")
        assert sorted((point.step, point.value) for point in history) == sorted(trial.intermediate_values.items())
    curve = client.get_metric_history(parent.info.run_id, "trials/done")
    assert [point.step for point in curve] == list(range(1, len(trials) + 1)), "it was continued, and doubles nothing"


def test_a_lower_budget_is_kept_on_resuming(application: Application) -> None:
    process = application.start(*SIX, "seconds=1")
    application.until(lambda states: states.get("RUNNING") == 2)
    process.kill()
    process.communicate()
    application.run(*SIX, "seconds=1", "hydra.sweeper.n_trials=3")
    assert application.states()["COMPLETE"] == 3


@pytest.mark.parametrize("event", ["report(1.0, step=-1)", "describe(size=[1])"])
def test_a_bad_event_fails_its_trial_and_not_the_study(application: Application, event: str) -> None:
    program = application.folder / "application.py"
    program.write_text(
        PROGRAM.replace('    print("printed', f'    cfg.n == 2 and current_trial().{event}\n    print("printed')
    )
    application.run(*SIX, "hydra/sweeper/sampler=random")
    failed = [trial for trial in application.study.trials if trial.state.name == "FAIL"]
    assert {trial.params["n"] for trial in failed} == {2}
    assert "RUNNING" not in application.states()


def test_what_an_agents_own_end_stopped_is_no_progress() -> None:
    """Or a study whose agents die of its trials would be begun again for ever."""
    study = optuna.create_study()
    ends = [("COMPLETE", {}), ("FAIL", {"reason": "ValueError: x"}), ("FAIL", {"reason": stopped().reason})]
    for state, attributes in ends:
        value = 1.0 if state == "COMPLETE" else None
        study.add_trial(optuna.trial.create_trial(state=TrialState[state], value=value, user_attrs=attributes))
    assert ended(study) == 2


def test_two_sweepers_that_start_together_do_not_double_the_study(application: Application) -> None:
    both = [application.start(*SIX, "seconds=0.5") for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 1], [0, 0])  # the second may come after the first
    assert not any("Traceback" in output for output in outputs)
    check_finished(application, 6)
    assert len(application.study.trials) == 6


def test_more_trials_extend_a_study(application: Application) -> None:
    application.run(*SIX)
    application.run(*SIX, "hydra.sweeper.n_trials=8")
    check_finished(application, 8)


def test_another_configuration_under_the_same_name_is_refused_and_nothing_is_lost(application: Application) -> None:
    application.run(*SIX)
    journal = (application.folder / "out/study.journal").read_bytes()
    output = application.run(*SIX, "seconds=0.1", status=1)
    assert "seconds: 0.0 -> 0.1" in output
    assert "Traceback" not in output
    assert (application.folder / "out/study.journal").read_bytes() == journal


def test_a_second_sweeper_is_refused_while_the_first_goes_on(application: Application) -> None:
    first = application.start(*SIX, "seconds=1")
    application.until(lambda states: "RUNNING" in states)
    output = application.run(*SIX, "seconds=1", status=1)
    assert f"process {first.pid}" in output
    assert "Traceback" not in output
    first.communicate(timeout=60)
    assert first.returncode == 0
    check_finished(application, 6)


def test_bad_trials_do_not_improve_by_repetition(application: Application) -> None:
    output = application.run(*SIX, "fault=raise", "hydra/sweeper/sampler=random")
    failed = [trial for trial in application.study.trials if trial.state.name == "FAIL"]
    assert failed
    assert len(application.study.trials) == 6
    assert {trial.params["n"] for trial in failed} == {2}
    assert failed[0].user_attrs["reason"] == "exception: ValueError: no such width"
    assert 'raise ValueError("no such width")' in output


def test_a_diverged_trial_is_pruned(application: Application) -> None:
    application.run(*SIX, "fault=diverge", "hydra/sweeper/sampler=random")
    diverged = [trial for trial in application.study.trials if trial.user_attrs.get("reason") == "diverged"]
    assert diverged
    assert {(trial.state.name, trial.params["n"]) for trial in diverged} == {("PRUNED", 2)}


def test_a_trial_whose_process_dies_is_run_again(application: Application) -> None:
    application.run(*SIX, "fault='die once'")
    check_finished(application, 6)
    dead = [trial for trial in application.study.trials if trial.state.name == "FAIL"]
    assert 1 <= len(dead) <= 2
    assert dead[0].user_attrs["reason"] == "crash: SIGSEGV"


def test_a_study_in_which_nothing_completes_says_why(application: Application) -> None:
    output = application.run(*SPACE, "hydra.sweeper.n_trials=2", "fault=die", "hydra.sweeper.max_retries=1", status=1)
    assert application.states() == {"FAIL": 4}
    assert "no trial is complete" in output
    assert "crash: SIGSEGV" in output
    assert "Traceback" not in output


def test_the_pruner_stops_trials(application: Application) -> None:
    application.run(*SPACE, "hydra.sweeper.n_trials=12", "hydra.sweeper.pruner.n_startup_trials=2")
    pruned = [trial for trial in application.study.trials if trial.state.name == "PRUNED"]
    assert pruned
    assert all(re.fullmatch(r"pruned at step \d", trial.user_attrs["reason"]) for trial in pruned)
    check_finished(application, 12)


def test_ctrl_c_lets_running_trials_end_and_the_same_command_goes_on(application: Application) -> None:
    process = application.start(*SIX, "seconds=1")
    application.until(lambda states: states.get("RUNNING") == 2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "left" in output
    assert set(application.states()) == {"COMPLETE", "WAITING"}
    application.run(*SIX, "seconds=1")
    assert application.states() == {"COMPLETE": 6}


def test_ctrl_c_twice_stops_at_once_and_loses_nothing(application: Application) -> None:
    process = application.start(*SIX, "seconds=20")
    application.until(lambda states: states.get("RUNNING") == 2)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    while "press Ctrl-C again" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    states = application.states()
    assert set(states) == {"FAIL", "WAITING"}
    stopped = [
        t for t in application.study.trials if t.user_attrs.get("reason") == "stopped: the study was interrupted"
    ]
    assert len(stopped) == states["FAIL"] == 2
    assert states["WAITING"] in (4, 5, 6), "the retries may be there already"


def test_a_request_to_stop_is_heard(application: Application) -> None:
    process = application.start(*SIX, "seconds=1")
    application.until(lambda states: states.get("RUNNING") == 2)
    application.study.set_user_attr("stop", True)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert application.states()["WAITING"] > 0


def test_children_leave_when_their_agent_is_killed(application: Application) -> None:
    process = application.start(*SIX, "seconds=60")
    application.until(lambda _: len(psutil.Process(process.pid).children()) == 2)
    children = psutil.Process(process.pid).children()
    assert all(os.getsid(child.pid) == child.pid for child in children), "a terminal's Ctrl-C does not reach them"
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["y=interval(0,1)"], "a key that does not exist"),
        (["deep.er=interval(0,1)"], "deep.er"),
        (["x=interval(1,0)"], "below its high end"),
        (["hydra.sweeper.n_trials=0", *SPACE], "hydra.sweeper.n_trials"),
        (["hydra.sweeper.direction=down", *SPACE], "minimize or maximize"),
        (["hydra.sweeper.study_name=a/b", *SPACE], "'a/b'"),
        (["hydra.sweeper.study_name=s.baselines", *SPACE], "which study s may have beside it"),
        (["x=1"], "no parameter that varies"),
        (["hydra.sweeper.pruner.n_startup_trials=-1", *SPACE], "hydra.sweeper.pruner"),
        (["hydra.sweeper.seed_key=n", *SPACE], "n: got a search space"),
        (["hydra.sweeper.n_agents=2", *SPACE], "hydra/launcher=basic"),
        (["hydra.sweeper.timeout=0", *SPACE], "hydra.sweeper.timeout: got 0.0"),
        (["hydra.sweeper.trial_memory=-1", *SPACE], "or null"),
        (["hydra.sweeper.max_failure_rate=2", *SPACE], "from 0 to 1"),
        (["hydra.sweeper.if_changed=ask", *SPACE], "refuse, go_on, new"),
        (["hydra.sweeper.direction=[]", *SPACE], "an empty list"),
        (["hydra.sweeper.enqueue=[{x:7}]", *SPACE], "hydra.sweeper.enqueue[0]"),
        (["hydra/sweeper/sampler=grid", *SPACE], "x: got an interval"),
    ],
)
def test_what_cannot_be_run_is_one_message_and_leaves_nothing(
    application: Application, arguments: list[str], said: str
) -> None:
    output = application.run(*arguments, status=1)
    assert said in output
    assert "Traceback" not in output
    assert not (application.folder / "out").exists()


def test_params_that_were_scored_are_not_run_again(application: Application) -> None:
    space = ("n=range(1,4)", "hydra/sweeper/sampler=random", "hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=9")
    output = application.run(*space)
    trials = application.study.trials
    run = [trial for trial in trials if "output_dir" in trial.user_attrs]
    told = [trial for trial in trials if REPEAT_OF in trial.user_attrs]
    assert sorted(trial.params["n"] for trial in run) == [1, 2, 3]
    assert len(told) == 6
    for trial in told:
        known = trials[trial.user_attrs[REPEAT_OF]]
        assert (trial.params, trial.value, trial.state.name) == (known.params, known.value, "COMPLETE")
    assert "9 complete" in output
    assert not (application.folder / "out" / str(told[0].number)).exists()


def test_params_are_run_again_if_that_is_asked_for(application: Application) -> None:
    application.run("n=range(1,3)", "hydra.sweeper.repeat=true", "hydra.sweeper.n_trials=5")
    trials = application.study.trials
    assert all("output_dir" in trial.user_attrs and REPEAT_OF not in trial.user_attrs for trial in trials)
    assert len({trial.user_attrs["seed"] for trial in trials}) == 5


def test_a_changed_study_is_begun_anew_beside_the_old_one(application: Application) -> None:
    application.run(*SIX)
    before = (application.folder / "out/study.journal").read_bytes()
    changed = (*SIX, "fault=other", "hydra.sweeper.if_changed=new")
    for _ in range(2):
        application.run(*changed)
        assert (application.folder / "out/study.journal").read_bytes() == before
        other = optuna.load_study(study_name="s-2", storage=open_storage(None, application.folder / "out-2"))
        assert [trial.state.name for trial in other.trials] == ["COMPLETE"] * 6
        assert all(trial.user_attrs["output_dir"].startswith(f"{application.folder}/out-2/") for trial in other.trials)
    assert not (application.folder / "out-3").exists()


def test_a_changed_study_is_gone_on_with_if_that_is_asked_for(application: Application) -> None:
    application.run(*SIX)
    application.run(*SIX, "fault=other", "hydra.sweeper.if_changed=go_on", "hydra.sweeper.n_trials=8")
    trials = application.study.trials
    assert [("fault=other" in trial.user_attrs["overrides"]) for trial in trials] == [False] * 6 + [True] * 2
    assert application.study.user_attrs["changes"][0]["changes"] == ["fault: none -> other"]


def test_a_study_ends_when_its_patience_is_spent_and_goes_on_with_more(application: Application) -> None:
    lines = ("x=interval(-2,2)", "hydra.sweeper.enqueue=[{x:0}]", "hydra.sweeper.n_jobs=1", "hydra.sweeper.n_trials=20")
    output = application.run(*lines, "seconds=0.6", "hydra/sweeper/pruner=none", "hydra.sweeper.patience=3")
    assert "hydra.sweeper.patience: " in output
    assert "brought nothing better" in output
    assert 4 <= application.states()["COMPLETE"] <= 8, "the study is looked at every second"
    assert application.states()["WAITING"] > 0


def test_a_study_ends_when_its_time_is_spent(application: Application) -> None:
    output = application.run(*SPACE, "seconds=1", "hydra.sweeper.n_trials=200", "hydra.sweeper.timeout=3")
    assert "hydra.sweeper.timeout: " in output
    assert application.states()["WAITING"] > 150
    assert "RUNNING" not in application.states()
    again = application.run(*SPACE, "seconds=1", "hydra.sweeper.n_trials=200", "hydra.sweeper.timeout=3")
    assert "hydra.sweeper.timeout: " in again
    assert ": trial " not in again, "what is spent is spent"


def test_a_trial_that_breaks_its_constraint_is_not_the_best(application: Application) -> None:
    program = application.folder / "application.py"
    constraint = '    current_trial().set_constraint("width", 2 - cfg.n)\n'
    program.write_text(PROGRAM.replace('    print("printed', f'{constraint}    print("printed'))
    application.run(*SIX, "hydra/sweeper/sampler=random", "hydra.sweeper.enqueue=[{x:0,n:1}]")
    best = OmegaConf.load(application.folder / "out/optimization_results.yaml")
    trials = application.study.trials
    assert min(trials, key=lambda trial: trial.value).params == {"x": 0.0, "n": 1}, "without the constraint"
    assert best.best_params.n >= 2
    assert best.best_value == min(trial.value for trial in trials if trial.params["n"] >= 2)
    assert all(trial.constraints == {"width": 2 - trial.params["n"]} for trial in trials)


def test_the_samplers_seed_is_the_studys_if_it_is_the_only_one(application: Application) -> None:
    application.run(*SIX, "hydra.sweeper.seed=null", "hydra.sweeper.sampler.seed=123")
    assert application.study.user_attrs["seed"] == 123


def test_agents_share_a_study(application: Application) -> None:
    require_submitit()
    agents = ("hydra/launcher=submitit_local", "hydra.launcher.submitit_folder=submitted", "hydra.sweeper.n_agents=2")
    application.run(*SIX, "seconds=2", *agents, "hydra.sweeper.n_jobs=1", "hydra.sweeper.n_trials=8")
    check_finished(application, 8)
    trials = application.study.trials
    assert len({trial.user_attrs["agent"] for trial in trials}) == 2
    assert len({tuple(trial.params.values()) for trial in trials}) == 8, "no two suggest the same"


def test_cores_are_shared_out() -> None:
    assert share_out([0, 1], 2) == [{0}, {1}]
    assert share_out([0, 1, 2, 3, 4], 2) == [{0, 1}, {2, 3}]
    assert share_out([0], 3) == [{0}, {0}, {0}]


BREAKS = """
from threading import current_thread

watching = lambda: current_thread().name == 'supervisor'
from sweep.engine import budget
from sweep.results.curves import Curves

def broken(*_):
    raise ValueError("defect")

"""


@pytest.mark.parametrize(
    ("line", "states", "state"),
    [
        ("Curves.update = broken", {"COMPLETE": 6}, "finished"),
        ("budget.hopeless = lambda study, _: watching() and study.best_trials and broken()", None, "failed"),
    ],
)
def test_an_error_of_the_sweepers_own_leaves_no_run_open(
    application: Application, line: str, states: dict[str, int] | None, state: str
) -> None:
    """One in what shows the study costs it nothing else; one in what looks after it ends it."""
    from mlflow import MlflowClient

    (application.folder / "application.py").write_text(PROGRAM.replace("if __name__", f"{BREAKS}{line}\nif __name__"))
    tracked = "hydra.sweeper.tracking.uri=sqlite:///mlflow.db"
    output = application.run(*SIX, "seconds=1", tracked, status=0 if state == "finished" else 1)
    assert "defect" in output
    assert states is None or application.states() == states
    client = MlflowClient(f"sqlite:///{application.folder}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'sweep'")
    runs = client.search_runs([experiment.experiment_id])
    assert "RUNNING" not in {run.info.status for run in runs}
    (parent,) = [run for run in runs if run.data.tags["sweep.kind"] == "study"]
    assert (parent.info.status, parent.data.tags["sweep.state"]) == (state.upper(), state)
