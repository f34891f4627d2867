"""What makes a study the same study, what is refused, and what is gone on with."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.storages import BaseStorage

from sweep.engine.errors import UserError
from sweep.engine.identity import ChangedError, Identity, create_or_resume, fixed_part
from sweep.engine.storage import open_storage


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    return open_storage(None, tmp_path)


WIDTH: dict[str, BaseDistribution] = {"w": IntDistribution(1, 8)}
ACTIVATION: dict[str, BaseDistribution] = {"a": CategoricalDistribution(["relu", "tanh"])}


def make(storage: BaseStorage, seed: int | None = 0, go_on: bool = False, **changes: Any) -> optuna.Study:
    given: dict[str, Any] = {
        "fixed": {"a": 1, "b.c": "x"},
        "space": {"w": "range(1,9)"},
        "distributions": {**WIDTH, **ACTIVATION},
        "directions": ["minimize"],
    }
    return create_or_resume(storage, "s", Identity(**{**given, **changes}), seed, go_on)


def test_the_same_configuration_resumes_the_study(storage: BaseStorage) -> None:
    assert make(storage).user_attrs["id"] == make(storage).user_attrs["id"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fixed": {"a": 2, "b.c": "x"}}, "a: 1 -> 2"),
        ({"fixed": {"a": 1}}, "b.c: x -> not there"),
        ({"space": {"w": "range(1,10)"}}, "w: range(1,9) -> range(1,10)"),
        ({"directions": ["maximize"]}, "direction: ['minimize'] -> ['maximize']"),
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
    assert fixed_part(config, ["paths", "a.b"]) == {"a.c": [1, 2], "d": "${a.b}"}


def test_a_refusal_can_be_told_from_other_errors(storage: BaseStorage) -> None:
    make(storage)
    with pytest.raises(ChangedError, match="if_changed"):
        make(storage, fixed={})


def test_a_changed_study_is_gone_on_with_and_says_since_when(storage: BaseStorage) -> None:
    identifier = make(storage).user_attrs["id"]
    study = make(storage, go_on=True, fixed={"a": 2, "b.c": "x"})
    assert study.user_attrs["id"] == identifier
    assert [entry["changes"] for entry in study.user_attrs["changes"]] == [["a: 1 -> 2"]]
    make(storage, fixed={"a": 2, "b.c": "x"})
    with pytest.raises(ChangedError, match="a: 2 -> 1"):
        make(storage)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"directions": ["maximize"]}, "minimize, as study 's' has"),
        ({"distributions": {**WIDTH, "a": CategoricalDistribution(["relu", "gelu"])}, "space": {}}, "the same choices"),
        ({"distributions": {**ACTIVATION, "w": CategoricalDistribution([1, 2])}, "space": {}}, "IntDistribution"),
    ],
)
def test_what_optuna_cannot_hold_is_not_gone_on_with(storage: BaseStorage, change: Any, said: str) -> None:
    study = make(storage)
    study.tell(study.ask({**WIDTH, **ACTIVATION}), 1.0)
    with pytest.raises(UserError) as error:
        make(storage, go_on=True, **change)
    assert said in str(error.value)
    assert make(storage).user_attrs["identity"]["directions"] == ["minimize"], "nothing was changed"


def test_wider_bounds_are_gone_on_with(storage: BaseStorage) -> None:
    study = make(storage)
    study.tell(study.ask({**WIDTH, **ACTIVATION}), 1.0)
    make(storage, go_on=True, space={"w": "range(1,99)"}, distributions={**ACTIVATION, "w": IntDistribution(1, 98)})
