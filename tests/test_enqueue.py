"""Points of the search space that a study tries first, in studies that are run for real."""

import pytest
from application import Application
from omegaconf import OmegaConf

SPACE = ("x=interval(-2,2)", "n=range(1,4)")
ONE_SLOT = ("hydra.sweeper.n_jobs=1", "hydra/sweeper/pruner=none", *SPACE)


def enqueue(*points: str) -> str:
    return f"hydra.sweeper.enqueue=[{','.join(points)}]"


def test_points_are_tried_first_in_their_order(application: Application) -> None:
    command = (*ONE_SLOT, "hydra.sweeper.n_trials=4", enqueue("{x:0.5,n:3}", "{x:-1,n:1}"))
    application.run(*command)
    trials = application.study.trials
    assert [trial.params for trial in trials[:2]] == [{"x": 0.5, "n": 3}, {"x": -1.0, "n": 1}]
    assert [trial.value for trial in trials[:2]] == [3.25, 2.0]
    assert len(trials) == 4, "they are part of the budget"
    config = OmegaConf.load(application.folder / "out/1/.hydra/config.yaml")
    assert (config.x, config.n) == (-1.0, 1)


def test_what_a_point_leaves_out_the_sampler_draws(application: Application) -> None:
    application.run(*ONE_SLOT, "hydra.sweeper.n_trials=3", enqueue("{n:3}", "{n:3}"))
    trials = application.study.trials
    assert len(trials) == 3
    assert trials[0].params["n"] == 3
    assert -2 <= trials[0].params["x"] <= 2
    assert trials[0].params["x"] not in (0.0, trials[1].params["x"])


def test_a_point_that_was_tried_is_not_tried_again_and_a_new_one_goes_first(application: Application) -> None:
    first = "{x:0.5,n:3}"
    application.run(*ONE_SLOT, "hydra.sweeper.n_trials=2", enqueue(first))
    application.run(*ONE_SLOT, "hydra.sweeper.n_trials=2", enqueue(first))
    assert len(application.study.trials) == 2
    output = application.run(*ONE_SLOT, "hydra.sweeper.n_trials=4", enqueue(first, "{x:1,n:2}"))
    assert [trial.params for trial in application.study.trials].count({"x": 0.5, "n": 3}) == 1
    assert application.study.trials[2].params == {"x": 1.0, "n": 2}
    assert application.states() == {"COMPLETE": 4}, output


def test_a_budget_below_the_number_of_points_holds(application: Application) -> None:
    points = enqueue("{x:0,n:1}", "{x:0,n:2}", "{x:0,n:3}")
    application.run(*ONE_SLOT, "hydra.sweeper.n_trials=2", points)
    assert [t.params["n"] for t in application.study.trials if t.state.name == "COMPLETE"] == [1, 2]
    application.run(*ONE_SLOT, "hydra.sweeper.n_trials=3", points)
    assert [t.params["n"] for t in application.study.trials if t.state.name == "COMPLETE"] == [1, 2, 3]


@pytest.mark.parametrize("sampler", ["grid", "brute_force", "qmc"])
def test_a_sampler_with_a_plan_of_its_own_takes_a_point(application: Application, sampler: str) -> None:
    space = ("n=range(1,4)", "x=choice(0,1)")
    application.run(
        *space,
        f"hydra/sweeper/sampler={sampler}",
        "hydra.sweeper.n_trials=6",
        "hydra.sweeper.n_jobs=1",
        enqueue("{n:3,x:1}"),
    )
    trials = application.study.trials
    assert trials[0].params == {"n": 3, "x": 1}
    assert "RUNNING" not in application.states()
    assert "FAIL" not in application.states()


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("{y:1}", "hydra.sweeper.enqueue[0]"),
        ("{n:9}", "hydra.sweeper.enqueue[0]"),
        ("{n:2.5}", "hydra.sweeper.enqueue[0]"),
        ("{x:high}", "hydra.sweeper.enqueue[0]"),
        ("7", "a mapping from keys of the search space to values"),
        ("{}", "a mapping from keys of the search space to values"),
    ],
)
def test_what_is_no_point_is_one_message_and_leaves_nothing(application: Application, point: str, said: str) -> None:
    output = application.run(*ONE_SLOT, enqueue(point), status=1)
    assert said in output
    assert "Traceback" not in output
    assert not (application.folder / "out").exists()
