"""A study's identity, budget, retries and seeds."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from sweep.engine import outcome as outcomes
from sweep.engine import study as studies
from sweep.engine.errors import UserError
from sweep.engine.outcome import Outcome

COMPLETE = Outcome("COMPLETE", (1.0,))


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    from sweep.engine.storage import open_storage

    return open_storage(None, tmp_path)


def make(storage: BaseStorage, **changes: Any) -> optuna.Study:
    given: dict[str, Any] = {
        "name": "s",
        "directions": ["minimize"],
        "fixed": {"a": 1, "b.c": "x"},
        "space": {"w": "range(1,9)"},
        "seed": 0,
    }
    return studies.create_or_resume(storage, **{**given, **changes})


def end(study: optuna.Study, storage: BaseStorage, outcome: Outcome) -> int:
    trial = studies.claim(study, storage)
    assert trial is not None
    trial.suggest_int("w", 1, 8)
    assert studies.close(study, storage, trial.number, outcome)
    return trial.number


def test_the_same_configuration_resumes_the_study(storage: BaseStorage) -> None:
    assert make(storage).user_attrs["id"] == make(storage).user_attrs["id"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fixed": {"a": 2, "b.c": "x"}}, "a: 1 -> 2"),
        ({"fixed": {"a": 1}}, "b.c: x -> not there"),
        ({"space": {"w": "range(1,10)"}}, "w: range(1,9) -> range(1,10)"),
        ({"directions": ["maximize"]}, "direction"),
        ({"seed": 1}, "seed: 0 -> 1"),
    ],
)
def test_another_configuration_is_refused_with_what_differs(storage: BaseStorage, change: Any, said: str) -> None:
    make(storage)
    with pytest.raises(UserError, match="then -> now") as error:
        make(storage, **change)
    assert said in str(error.value)


def test_a_study_of_another_program_is_refused(storage: BaseStorage) -> None:
    optuna.create_study(study_name="s", storage=storage).ask()
    with pytest.raises(UserError, match="no other program"):
        make(storage)


def test_a_study_that_was_killed_while_it_was_made_is_made_again(storage: BaseStorage) -> None:
    optuna.create_study(study_name="s", storage=storage)
    assert make(storage).user_attrs["identity"]["fixed"] == {"a": 1, "b.c": "x"}


def test_a_seed_that_was_not_given_is_drawn_once(storage: BaseStorage) -> None:
    assert make(storage, seed=None).user_attrs["seed"] == make(storage, seed=None).user_attrs["seed"]


def test_the_fixed_part_leaves_out_what_may_change() -> None:
    config = OmegaConf.create({"hydra": {"x": 1}, "a": {"b": 1, "c": [1, 2]}, "paths": {"root": "/"}, "d": "${a.b}"})
    assert studies.fixed_part(config, ["paths", "a.b"]) == {"a.c": [1, 2], "d": "${a.b}"}


def test_the_budget_is_topped_up_and_claimed_exactly(storage: BaseStorage) -> None:
    study = make(storage)
    assert studies.top_up(study, 3) == 3
    assert studies.top_up(study, 3) == 0
    assert studies.top_up(study, 5) == 2
    claimed = [studies.claim(study, storage) for _ in range(6)]
    assert [trial.number for trial in claimed if trial is not None] == [0, 1, 2, 3, 4]
    assert claimed[5] is None


def test_a_trial_is_closed_once(storage: BaseStorage) -> None:
    study = make(storage)
    studies.top_up(study, 1)
    number = end(study, storage, COMPLETE)
    assert not studies.close(study, storage, number, outcomes.orphaned())
    assert study.trials[number].state == TrialState.COMPLETE
    assert study.trials[number].value == 1.0


def test_a_retry_keeps_params_and_seed_and_counts_as_the_same_trial(storage: BaseStorage) -> None:
    study = make(storage)
    studies.top_up(study, 2)
    number = end(study, storage, outcomes.died(-9))
    (failed,) = studies.retries(study, max_retries=1)
    assert failed.number == number
    studies.retry(study, failed)
    assert studies.retries(study, max_retries=1) == []
    assert studies.top_up(study, 2) == 0
    end(study, storage, COMPLETE)
    again = end(study, storage, COMPLETE)
    assert again != number
    first, second = study.trials[number], study.trials[again]
    assert first.params == second.params
    assert studies.trial_seed(study, first) == studies.trial_seed(study, second)
    assert studies.outstanding(study, max_retries=1) == 0


def test_an_attempt_that_died_before_it_had_its_params_hands_them_on(storage: BaseStorage) -> None:
    study = make(storage)
    studies.top_up(study, 1)
    end(study, storage, outcomes.orphaned())
    params = study.trials[0].params
    for _ in range(2):
        (failed,) = studies.retries(study, max_retries=1)
        studies.retry(study, failed)
        claimed = studies.claim(study, storage)
        assert claimed is not None
        studies.close(study, storage, claimed.number, outcomes.orphaned())
    (failed,) = studies.retries(study, max_retries=1)
    assert failed.params == {}
    studies.retry(study, failed)
    end(study, storage, Outcome("COMPLETE", (1.0,)))
    assert study.trials[-1].params == params


def test_deaths_are_retried_within_bounds_interruptions_always_errors_never(storage: BaseStorage) -> None:
    study = make(storage)
    studies.top_up(study, 1)
    for outcome, due in [
        (outcomes.orphaned(), 1),
        (outcomes.stopped(), 1),
        (outcomes.died(1), 1),
        (outcomes.orphaned(), 1),
        (outcomes.died(-11), 0),
    ]:
        end(study, storage, outcome)
        failed = studies.retries(study, max_retries=1)
        assert len(failed) == due
        for trial in failed:
            studies.retry(study, trial)
    studies.top_up(study, 2)
    end(study, storage, outcomes.raised(ValueError("no")))
    assert studies.retries(study, max_retries=1) == []


def test_seeds_differ_between_trials_and_studies(storage: BaseStorage) -> None:
    study, other = make(storage), make(storage, name="t", seed=1)
    for each in (study, other):
        studies.top_up(each, 3)
    seeds = [studies.trial_seed(each, trial) for each in (study, other) for trial in each.trials]
    assert len(set(seeds)) == 6
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert studies.sampler_seed(study, 0) != studies.sampler_seed(study, 1)
