"""A study's trials: budget, claims, retries and seeds."""

from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from sweep.engine import outcome as outcomes
from sweep.engine import seeds
from sweep.engine import study as studies
from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.outcome import Outcome

COMPLETE = Outcome("COMPLETE", (1.0,))


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    from sweep.engine.storage import open_storage

    return open_storage(None, tmp_path)


def make(storage: BaseStorage, name: str = "s", seed: int = 0) -> optuna.Study:
    return create_or_resume(storage, name, Identity({}, {}, {}, ["minimize"]), seed)


def end(study: optuna.Study, storage: BaseStorage, outcome: Outcome) -> int:
    claimed = studies.claim(study, storage)
    assert claimed is not None
    optuna.Trial(study, claimed._trial_id).suggest_int("w", 1, 8)
    assert studies.close(study, storage, claimed.number, outcome)
    return claimed.number


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
    again = end(study, storage, COMPLETE)
    end(study, storage, COMPLETE)
    assert again != number
    first, second = study.trials[number], study.trials[again]
    assert first.params == second.params
    assert seeds.trial_seed(study, first) == seeds.trial_seed(study, second)
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
    drawn = [seeds.trial_seed(each, trial) for each in (study, other) for trial in each.trials]
    assert len(set(drawn)) == 6
    assert all(0 <= seed < 2**31 for seed in drawn)
    assert seeds.sampler_seed(study, 0) != seeds.sampler_seed(study, 1)


def test_enqueued_points_are_tried_first_and_once_and_are_within_the_budget(storage: BaseStorage) -> None:
    study = make(storage)
    studies.top_up(study, 3)
    end(study, storage, COMPLETE)
    for _ in range(2):
        studies.top_up(study, 3, [{"w": 7}])
    end(study, storage, COMPLETE)
    assert study.trials[3].params == {"w": 7}
    assert study.trials[3].state == TrialState.COMPLETE
    end(study, storage, COMPLETE)
    assert studies.claim(study, storage) is None
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) == 3
    studies.top_up(study, 4, [{"w": 7}])
    end(study, storage, COMPLETE)
    assert studies.claim(study, storage) is None


def test_a_sampler_with_nothing_left_ends_the_study_but_for_what_has_a_point(storage: BaseStorage) -> None:
    study = make(storage)
    study.sampler = optuna.samplers.GridSampler({"w": [3, 4]})
    studies.top_up(study, 9)
    numbers = [end(study, storage, COMPLETE) for _ in range(2)]
    assert {study.trials[number].params["w"] for number in numbers} == {3, 4}
    assert studies.claim(study, storage) is None
    assert studies.outstanding(study, max_retries=1) == 0
    studies.top_up(study, 9, [{"w": 5}])
    number = end(study, storage, COMPLETE)
    assert study.trials[number].params == {"w": 5}
    assert studies.claim(study, storage) is None


def test_a_retry_of_what_never_had_params_leaves_them_to_the_sampler(storage: BaseStorage) -> None:
    study = make(storage)
    study.sampler = optuna.samplers.GridSampler({"w": [3]})
    studies.top_up(study, 1)
    claimed = studies.claim(study, storage)
    assert claimed is not None
    studies.close(study, storage, claimed.number, outcomes.orphaned())
    (failed,) = studies.retries(study, max_retries=0)
    studies.retry(study, failed)
    number = end(study, storage, COMPLETE)
    assert study.trials[number].params == {"w": 3}


def test_an_orphan_is_run_again_whatever_its_late_agent_writes(storage: BaseStorage) -> None:
    study = make(storage)
    studies.top_up(study, 1)
    number = end(study, storage, outcomes.raised(ValueError("no")))
    assert studies.retries(study, max_retries=0) == []
    study.add_trial(
        optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={studies.ORPHANED: True, "retry": "never"})
    )
    assert [trial.number for trial in studies.retries(study, max_retries=0)] == [number + 1]


def test_a_trial_that_was_given_back_is_not_closed_and_has_no_agent(storage: BaseStorage) -> None:
    study = make(storage)
    studies.top_up(study, 1)
    claimed = studies.claim(study, storage)
    assert claimed is not None
    storage.set_trial_user_attr(claimed._trial_id, "agent", "gone")
    studies.give_back(storage, claimed)
    assert study.trials[0].user_attrs["agent"] is None
    assert not studies.close(study, storage, 0, outcomes.orphaned())
    assert studies.claim(study, storage) is not None


def named(name: str, **more: int) -> dict[str, object]:
    return {"name": name, "overrides": [f"n={name}"], **more}


def test_named_configurations_are_run_once_each_and_what_nobody_asks_for_any_more_waits(storage: BaseStorage) -> None:
    study = make(storage)
    a, b, c = named("a"), named("b"), named("a", seed=7)
    assert studies.top_up(study, None, configurations=[a, b]) == 2
    assert studies.top_up(study, None, configurations=[a, c]) == 1
    assert [t.user_attrs[studies.CONFIGURATION] for t in studies.waiting(study)] == [a, c]
    assert studies.outstanding(study, 3) == 2
    assert end(study, storage, COMPLETE) == 0
    assert studies.unfinished(study, [a, b, c], 3) == [b, c]
    studies.top_up(study, None, configurations=[a, b, c])
    assert [t.number for t in studies.waiting(study)] == [1, 2]


def test_a_configuration_is_unfinished_until_no_retry_of_it_is_left(storage: BaseStorage) -> None:
    study, a = make(storage), named("a")
    studies.top_up(study, None, configurations=[a])
    end(study, storage, outcomes.died(-9))
    assert studies.unfinished(study, [a], max_retries=1) == [a]
    assert studies.unfinished(study, [a], max_retries=0) == []
    studies.retry(study, studies.retries(study, 1)[0])
    assert studies.unfinished(study, [a], max_retries=1) == [a]
    assert study.trials[1].user_attrs[studies.CONFIGURATION] == a
    end(study, storage, COMPLETE)
    assert studies.unfinished(study, [a], max_retries=1) == []


def test_to_ask_for_the_same_again_writes_nothing(storage: BaseStorage, tmp_path: Path) -> None:
    study = make(storage)
    studies.top_up(study, None, configurations=[named("a")])
    size = (tmp_path / "study.journal").stat().st_size
    studies.top_up(study, None, configurations=[named("a")])
    assert (tmp_path / "study.journal").stat().st_size == size


def test_a_configuration_may_have_a_seed_of_its_own(storage: BaseStorage) -> None:
    study = make(storage)
    studies.top_up(study, None, configurations=[named("a"), named("a", seed=7)])
    assert seeds.trial_seed(study, study.trials[1]) == 7
    assert seeds.trial_seed(study, study.trials[0]) != 7


def test_fresh_seeds_are_the_same_every_time_and_none_that_the_study_has(storage: BaseStorage) -> None:
    study = make(storage, seed=3)
    studies.top_up(study, 50)
    own = {seeds.trial_seed(study, trial) for trial in study.trials}
    confirm, ablate = seeds.fresh_seeds(study, 2, 20), seeds.fresh_seeds(study, 3, 20)
    assert confirm[:5] == seeds.fresh_seeds(study, 2, 5)
    assert len(own | set(confirm) | set(ablate)) == 50 + 20 + 20
    assert seeds.fresh_seeds(study, 2, 19, used={confirm[0]}) == confirm[1:]
    assert seeds.fresh_seeds(make(storage, "other", seed=4), 2, 5) != confirm[:5]
