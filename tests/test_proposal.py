"""What becomes of a sampler's proposals: constraints are fulfilled, what was scored is not scored again."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import BruteForceSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import BaseTrial, FrozenTrial

from sweep.engine import study as studies
from sweep.engine.outcome import Outcome
from sweep.engine.proposal import propose
from sweep.engine.storage import open_storage


class Widths:
    """A search space of eight widths, some of which may be ruled out."""

    def __init__(self, allowed: Callable[[int], bool] = lambda _: True) -> None:
        self.allowed = allowed
        self.asked = 0

    def suggest(self, trial: BaseTrial) -> list[str]:
        self.asked += 1
        return [f"w={trial.suggest_int('w', 1, 8)}"]

    def violated(self, params: Mapping[str, Any]) -> str | None:
        return None if self.allowed(params["w"]) else "the rule"


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    return open_storage(None, tmp_path)


def begin(storage: BaseStorage, sampler: optuna.samplers.BaseSampler, n_trials: int, **points: int) -> optuna.Study:
    study = optuna.create_study(study_name="s", storage=storage, sampler=sampler)
    studies.top_up(study, n_trials, [points] if points else [])
    return study


def claim(study: optuna.Study, storage: BaseStorage) -> FrozenTrial:
    claimed = studies.claim(study, storage)
    assert claimed is not None
    return claimed


def score(study: optuna.Study, storage: BaseStorage, space: Any) -> FrozenTrial:
    claimed = claim(study, storage)
    proposal = propose(study, storage, claimed, space)
    assert proposal.known is None
    studies.close(study, storage, claimed.number, Outcome("COMPLETE", (float(proposal.trial.params["w"]),)))
    return study.trials[claimed.number]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("sampler", [RandomSampler, TPESampler, BruteForceSampler])
def test_what_is_proposed_is_written_and_differs_from_what_was_scored(storage: BaseStorage, sampler: Any) -> None:
    study = begin(storage, sampler(seed=0), 5)
    seen = [score(study, storage, Widths()).params["w"] for _ in range(5)]
    assert len(set(seen)) == 5
    assert all(1 <= width <= 8 for width in seen)


def test_overrides_are_those_of_the_params_that_were_written(storage: BaseStorage) -> None:
    study = begin(storage, RandomSampler(0), 1)
    claimed = claim(study, storage)
    proposal = propose(study, storage, claimed, Widths())
    assert proposal.overrides == [f"w={study.trials[claimed.number].params['w']}"]
    assert proposal.trial.params == study.trials[claimed.number].params


def test_a_space_that_is_all_scored_gives_the_known_trial(storage: BaseStorage) -> None:
    study = begin(storage, GridSampler({"w": [3]}), 2)
    first = score(study, storage, Widths())
    study.sampler = RandomSampler(0)
    space = Widths(lambda width: width == 3)
    study.set_user_attr(studies.EXHAUSTED, False)
    proposal = propose(study, storage, claim(study, storage), space)
    assert proposal.known is not None
    assert proposal.known.number == first.number
    assert proposal.trial.params == {"w": 3}
    assert space.asked >= 10


def test_a_repeat_that_is_asked_for_is_run(storage: BaseStorage) -> None:
    study = begin(storage, GridSampler({"w": [3]}), 2)
    score(study, storage, Widths())
    study.set_user_attr(studies.EXHAUSTED, False)
    assert propose(study, storage, claim(study, storage), Widths(), repeat=True).known is None


def test_a_decided_point_is_not_asked_for_again(storage: BaseStorage) -> None:
    study = begin(storage, RandomSampler(0), 2, w=3)
    score(study, storage, Widths())
    studies.top_up(study, 3, [{"w": 3}, {"w": 3.0}])
    again = studies.create_trial(state=optuna.trial.TrialState.WAITING, system_attrs={studies.FIXED_PARAMS: {"w": 3}})
    study.add_trial(again)
    storage.set_trial_state_values(study.trials[-1]._trial_id, optuna.trial.TrialState.RUNNING)
    space = Widths()
    proposal = propose(study, storage, study.trials[-1], space)
    assert proposal.known is not None
    assert space.asked == 1


def test_constraints_are_fulfilled_by_asking_on(storage: BaseStorage) -> None:
    study = begin(storage, RandomSampler(0), 2)
    assert {score(study, storage, Widths(lambda width: width in (2, 7))).params["w"] for _ in range(2)} == {2, 7}


def test_a_constraint_that_nothing_fulfils_is_named(storage: BaseStorage) -> None:
    study = begin(storage, RandomSampler(0), 1)
    proposal = propose(study, storage, claim(study, storage), Widths(lambda _: False))
    assert proposal.violated == "the rule"
    assert proposal.known is None


def test_a_point_that_runs_just_now_is_asked_for_later(storage: BaseStorage) -> None:
    study = begin(storage, RandomSampler(0), 2)
    only = Widths(lambda width: width == 4)
    first, second = claim(study, storage), claim(study, storage)
    propose(study, storage, first, only)
    assert propose(study, storage, second, only).running
    assert study.trials[second.number].params == {}
    studies.give_back(storage, second)
    assert [trial.number for trial in studies.waiting(study)] == [second.number]
    studies.close(study, storage, first.number, Outcome("COMPLETE", (4.0,)))
    proposal = propose(study, storage, claim(study, storage), only)
    assert proposal.known is not None
    assert proposal.known.number == first.number


def test_points_drawn_at_random_for_a_constraint_go_on_from_what_is_known(storage: BaseStorage) -> None:
    class Stubborn(RandomSampler):
        asked = 0

        def sample_independent(self, *_: Any) -> int:
            self.asked += 1
            return self.asked % 2 + 7  # 7 and 8 in turn, which no constraint allows

    study = begin(storage, Stubborn(), 6)
    seen = [score(study, storage, Widths(lambda width: width < 7)).params["w"] for _ in range(6)]
    assert len(set(seen)) > 3, "a draw that is known already is followed by others"
