"""Hydra's grammar as search spaces: what each form becomes, and what comes back when it is composed."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import hydra
import optuna
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler

import conf.schema  # noqa: F401 - makes the schemas known to Hydra
from sweep.engine import legacy_space
from sweep.engine.errors import UserError
from sweep.engine.space import SearchSpace

Read = Callable[..., SearchSpace]


@pytest.fixture(scope="module")
def loader() -> ConfigLoader:
    return ConfigLoaderImpl(create_config_search_path("pkg://conf"))


@pytest.fixture(scope="module")
def config() -> DictConfig:
    with pytest.MonkeyPatch.context() as patch, hydra.initialize_config_module("conf", version_base="1.3"):
        patch.setenv("SWEEP_ROOT", "nowhere")
        return hydra.compose("config", ["study.name=test"], return_hydra_config=True)


@pytest.fixture
def read(config: DictConfig, loader: ConfigLoader) -> Read:
    """Reads a space of these arguments and keys of `hydra.sweeper`."""
    return lambda *arguments, **settings: SearchSpace.read(arguments, settings, config, loader)


@pytest.fixture
def composed(config: DictConfig, loader: ConfigLoader, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DictConfig]:
    """Composes the configuration of a trial as the engine does."""
    monkeypatch.setenv("SWEEP_ROOT", "nowhere")
    return lambda overrides: loader.load_sweep_config(config, ["study.name=test", *overrides])


def trials(count: int) -> list[optuna.Trial]:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    return [study.ask() for _ in range(count)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("model.width=range(16,257,16)", IntDistribution(16, 256, step=16)),
        ("model.depth=range(3)", IntDistribution(0, 2)),
        ("model.depth=range(1,3)", IntDistribution(1, 2)),
        ("model.depth=range(1.0,3.0)", IntDistribution(1, 2)),
        ("model.depth=range(5,1,-2)", IntDistribution(3, 5, step=2)),
        ("model.depth=shuffle(range(1,4))", IntDistribution(1, 3)),
        ("model.depth=sort(range(1,4),reverse=true)", IntDistribution(1, 3)),
        ("model.depth=interval(1,8)", IntDistribution(1, 8)),
        ("train.threads=interval(1,8)", IntDistribution(1, 8)),  # Optional[int]
        ("model.width=tag(log,interval(16,256))", IntDistribution(16, 256, log=True)),
        ("model.width=tag(log,range(16,257))", IntDistribution(16, 256, log=True)),
        ("model.width=int(interval(1.5,8.5))", IntDistribution(1, 8)),
        ("+unknown=interval(1,8)", FloatDistribution(1.0, 8.0)),  # no schema: as Hydra has it
        ("+unknown=int(interval(1,8))", IntDistribution(1, 8)),
        ("++unknown=range(1,8)", IntDistribution(1, 7)),
        ("data.target_scale=range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("data.target_scale=range(0.1,0.4,0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("data.target_scale=range(1,4)", FloatDistribution(1.0, 3.0, step=1.0)),
        ("data.target_scale=float(range(1,4))", FloatDistribution(1.0, 3.0, step=1.0)),
        ("data.target_scale=interval(1,20)", FloatDistribution(1.0, 20.0)),
        ("optimizer.learning_rate=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("optimizer.learning_rate=choice(1,2.5)", CategoricalDistribution([1.0, 2.5])),
        ("train.loss=choice(mse,mae)", CategoricalDistribution(["mse", "mae"])),
        ("train.loss=sort(mse,mae)", CategoricalDistribution(["mae", "mse"])),
        ("train.loss=shuffle(mse,mae)", CategoricalDistribution(["mse", "mae"])),
        ("train.threads=null,1", CategoricalDistribution([None, 1])),
        ("model.width=64,128,64", CategoricalDistribution([64, 128])),
        ("model.width=int(1.5,2.5)", CategoricalDistribution([1, 2])),
        ("train.jit_compile=true,false", CategoricalDistribution([True, False])),
        ("train.jit_compile=choice(1,no)", CategoricalDistribution([True, False])),
        ("objective.metric=choice(1,2)", CategoricalDistribution(["1", "2"])),
        ("objective.metric=choice('a, b',\"c\")", CategoricalDistribution(["a, b", "c"])),
        ("data.entry_range=choice([-1,1],[-2,2])", CategoricalDistribution(["[-1,1]", "[-2,2]"])),
        ("data.entry_range=[-1,1],[-1.0,1.0]", CategoricalDistribution(["[-1,1]"])),
        ("data.determinant={rule:none},{value:1}", CategoricalDistribution(["{rule:none}", "{value:1}"])),
        ("+unknown=choice(1,true,'true',1.0)", CategoricalDistribution([1, "true", "'true'", "1.0"])),
        ("model=choice(dense,residual)", CategoricalDistribution(["dense", "residual"])),
        ("schedule=glob(*)", CategoricalDistribution(["constant", "cosine", "exponential", "linear"])),
        ("schedule=glob([c*,l*],exclude=cos*)", CategoricalDistribution(["constant", "linear"])),
        ("model@teacher=choice(dense,gated)", CategoricalDistribution(["dense", "gated"])),
    ],
)
def test_every_form_of_the_grammar_becomes_its_distribution(read: Read, line: str, expected: Any) -> None:
    (parameter,) = read(line).parameters.values()
    assert parameter.distribution == expected
    kinds = [list(map(type, getattr(one, "choices", ()))) for one in (parameter.distribution, expected)]
    assert kinds[0] == kinds[1]


def test_what_does_not_vary_is_fixed_and_the_command_line_wins_over_params(read: Read) -> None:
    params = {"model.depth": "range(1,4)", "seed": 7, "data.entry_range": [-1, 1], "train.threads": None}
    arguments = ["train.loss=mae", "~hydra.foo", "+a.b=' x'", "model.depth=3"]
    space = read(*arguments, params=params)
    assert not space.parameters
    assert sorted(space.fixed) == sorted(["data.entry_range=[-1,1]", "train.threads=null", "seed=7", *arguments])
    assert read("~model.depth", params={"model.depth": "range(1,4)"}).fixed == ("~model.depth",)
    assert read("model.depth=range(1,9)", params={"model.depth": 3}).describe() == {"model.depth": "range(1,9)"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("model.width=interval(9,3)", "below its high end"),
        ("model.width=range(9,3)", "start must come before stop"),
        ("model.depth=interval(1.5,3)", "must be integers"),
        ("model.depth=range(1,3,0.5)", "takes integers"),
        ("model.depth=interval(1,1e300)", "2**53"),
        ("model.depth=interval(1,inf)", "finite"),
        ("data.target_scale=interval(-1e308,1e308)", "too far apart"),
        ("optimizer.learning_rate=tag(log,interval(0,1))", "begins above 0"),
        ("optimizer.learning_rate=tag(log,range(0.1,0.5,0.1))", "log"),
        ("model.width=range(1,9,0)", "step must not be 0"),
        ("model.width=choice(", "grammar"),
        ("model.width=choice(null,1)", "key=null,1"),
        ("model.width=null,1", "an integer, not null"),
        ("model.width=choice(16,wide)", "an integer, not wide"),
        ("model.width=choice(1.5,2)", "an integer, not 1.5"),
        ("train.threads=choice(1,x)", "an integer or null, not x"),
        ("train.jit_compile=choice(true,2)", "true or false, not 2"),
        ("train.loss=choice(mse,mea)", "one of mse, mae, huber, log_cosh, relative, residual"),
        ("train.loss=interval(1,2)", "one of mse"),
        ("objective.metric=range(1,3)", "a choice"),
        ("data.entry_range=choice([1,2],3)", "not 3"),
        ("data.determinant=choice({rule:none},{rul:none})", "rul"),
        ("model=choice(dense,gatde)", "did you mean gated?"),
        ("model=interval(1,2)", "choice of dense"),
        ("schedule=null,cosine", "not null"),
        ("model=glob(nothing*)", "nothing to choose from"),
        ("model.width=1,range(1,3)", "a sweep inside"),
        ("data.entry_range=[range(1,3)]", "a sweep inside"),
        ("model.width=range(1,nan)", "finite"),
        ("model.activation=choice(relu,'???')", "not '???'"),
    ],
)
def test_a_space_that_makes_no_sense_is_one_error_that_names_its_key(read: Read, line: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        read(line)
    key, _, received = line.partition("=")
    assert key in str(error.value)
    assert received in str(error.value)
    assert said in str(error.value)


def test_sampled_values_come_back_through_hydra_with_the_right_types(
    read: Read, composed: Callable[..., DictConfig]
) -> None:
    space = read(
        "model.width=tag(log,interval(16,256))",
        "model.depth=choice(1,2)",
        "optimizer.learning_rate=tag(log,interval(1e-5,1e-2))",
        "optimizer.beta_1=choice(0,0.5)",
        "data.entry_range=choice([-1,1],[-2.5,2.5])",
        "data.target_scale=range(1,4)",
        "train.threads=null,2",
        "train.jit_compile=1,0",
        "train.loss=mae,mse",
        "model.activation=choice('relu',tanh)",
        "objective.metric=choice(1,true,'null','a\\'b, c')",
        "schedule=choice(cosine,linear)",
        "+extra={a:'1'},{a:2}",
        "+text=choice('1',yes)",
        "train.batch_size=7",
    )
    seen = set()
    for trial in trials(16):
        config = composed(space.suggest(trial))
        assert config.model.width == trial.params["model.width"]
        assert isinstance(config.model.width, int)
        assert config.optimizer.learning_rate == trial.params["optimizer.learning_rate"]
        assert config.optimizer.beta_1 == trial.params["optimizer.beta_1"]
        assert isinstance(trial.params["optimizer.beta_1"], float)
        assert list(config.data.entry_range) in ([-1.0, 1.0], [-2.5, 2.5])
        assert isinstance(config.data.target_scale, float)
        assert config.train.threads in (None, 2)
        assert config.train.jit_compile is trial.params["train.jit_compile"]
        assert config.train.loss.name == trial.params["train.loss"]
        assert config.objective.metric == trial.params["objective.metric"]
        assert config.objective.metric in ("1", "True", "null", "a'b, c")
        assert config.schedule.decay.name == trial.params["schedule"]
        assert config.extra.a in ("1", 2)
        assert config.text in ("1", "yes")
        assert config.train.batch_size == 7
        seen.add((tuple(config.data.entry_range), config.train.threads, config.model.activation))
    assert len(seen) > 2


def test_a_range_of_fractions_shows_no_dust(read: Read) -> None:
    space = read("data.target_scale=range(0,1,0.1)")
    texts = {space.suggest(trial)[0].partition("=")[2] for trial in trials(100)}
    assert texts == {f"0.{digit}" for digit in range(10)}


def test_groups_in_other_packages_and_keys_without_a_schema(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "config.yaml").write_text(
        "defaults:\n  - _self_\n  - db@student: a\n  - db@teacher: a\nx: 1\nsizes: [1]\n"
    )
    for name in "ab":
        (tmp_path / "db" / f"{name}.yaml").write_text(f"name: {name}\n")
    loader = ConfigLoaderImpl(create_config_search_path(str(tmp_path)))
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = hydra.compose("config", return_hydra_config=True)
    lines = ["db@teacher=glob(*)", "x=interval(-1,1)", "sizes=choice([1,2],[64])", "++y.z=1,2", "+db@third=b,a"]
    space = SearchSpace.read(lines, {}, config, loader)
    for trial in trials(4):
        composed = loader.load_sweep_config(config, space.suggest(trial))
        assert composed.student.name == "a"
        assert composed.teacher.name == trial.params["db@teacher"]
        assert composed.third.name == trial.params["db@third"]
        assert composed.x == trial.params["x"]  # although it was an integer
        assert composed.y.z == trial.params["y.z"]
        assert list(composed.sizes) in ([1, 2], [64])


def test_the_same_space_is_the_same_on_another_machine(read: Read) -> None:
    space = read(
        "model=choice(dense,gated)",
        params={"model.expansion": "interval(1,4)"},
        when={"model.expansion": {"model": "gated"}},
        constraints=["model.expansion < 4 or seed == 0"],
    )
    again = cloudpickle.loads(cloudpickle.dumps(space))
    assert again == space
    assert [space.suggest(trial) for trial in trials(4)] == [again.suggest(trial) for trial in trials(4)]


def test_constraints_see_no_dust_either(read: Read) -> None:
    space = read("data.target_scale=range(0,1,0.1)", constraints=["data.target_scale <= 0.3"])
    assert space.violated({"data.target_scale": 0.1 + 0.2}) is None


# Conditions


MOMENTUM = {"optimizer.momentum": {"optimizer": ["sgd", "rmsprop"]}}


def test_a_conditional_parameter_is_there_only_when_it_exists(read: Read, composed: Callable[..., DictConfig]) -> None:
    params = {"optimizer.momentum": "interval(0,0.9)", "optimizer": "choice(adam,sgd,rmsprop)"}
    space = read(params=params, when=MOMENTUM)
    assert space.conditional
    assert list(space.parameters) == ["optimizer", "optimizer.momentum"]
    seen = set()
    for trial in trials(12):
        config = composed(space.suggest(trial))
        assert ("optimizer.momentum" in trial.params) == (trial.params["optimizer"] != "adam")
        assert config.optimizer.get("momentum") == trial.params.get("optimizer.momentum")
        seen.add(trial.params["optimizer"])
    assert seen == {"adam", "sgd", "rmsprop"}


def test_conditions_make_chains_and_a_whole_chain_may_be_missing(read: Read) -> None:
    when = {
        "optimizer.nesterov": {"optimizer.momentum": [0.5, 0.9]},
        "optimizer.momentum": {"optimizer": "sgd"},
    }
    params = {
        "optimizer.nesterov": "choice(true,false)",
        "optimizer.momentum": "choice(0,0.5,0.9)",
        "optimizer": "choice(adam,sgd)",
    }
    space = read(params=params, when=when)
    assert list(space.parameters) == ["optimizer", "optimizer.momentum", "optimizer.nesterov"]
    keys = set()
    for trial in trials(30):
        space.suggest(trial)
        keys.add(frozenset(trial.params))
    momentum = frozenset({"optimizer", "optimizer.momentum"})
    assert keys == {frozenset({"optimizer"}), momentum, momentum | {"optimizer.nesterov"}}


@pytest.mark.parametrize(("optimizer", "there"), [("adam", False), ("sgd", True)])
def test_a_condition_of_what_is_fixed_holds_for_all_trials_or_for_none(read: Read, optimizer: str, there: bool) -> None:
    params = {"optimizer.momentum": "interval(0,1)", "model.width": "range(1,4)", "optimizer": optimizer}
    space = read(params=params, when=MOMENTUM)
    assert ("optimizer.momentum" in space.parameters) is there
    assert not space.conditional
    train = read("model.depth=1,2", when={"model.depth": {"train.batch_size": [1024, 7]}})
    assert list(train.parameters) == ["model.depth"]


def test_a_condition_may_name_what_this_study_leaves_out(read: Read) -> None:
    space = read("optimizer=adam,sgd", "optimizer.momentum=interval(0,1)", when=MOMENTUM)
    assert space.parameters["optimizer.momentum"].when == {"optimizer": ("sgd",)}


def test_a_fixed_override_with_a_condition_is_set_only_where_it_holds(read: Read) -> None:
    space = read(params={"optimizer": "choice(adam,sgd)", "optimizer.momentum": 0.9}, when=MOMENTUM)
    for trial in trials(8):
        assert ("optimizer.momentum=0.9" in space.suggest(trial)) == (trial.params["optimizer"] == "sgd")


def test_a_key_that_another_option_brings_is_typed_by_it(read: Read) -> None:
    for when in ({}, {"model.expansion": {"model": "gated"}}):
        space = read("model=choice(dense,gated)", "model.expansion=interval(1,4)", when=when)
        assert space.distributions()["model.expansion"] == IntDistribution(1, 4)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"a": {"b": 1}}, "a key that is no parameter"),
        ({"model.depth": {"model.wdith": 1}}, "did you mean model.width"),
        ({"model.depth": {"model.width": 5}}, "an integer from 1 to 3"),
        ({"model.depth": {"train.loss": ["mse", "mea"]}}, "'mea'"),
        ({"model.depth": {"train.loss": "huber"}}, "one of mse, mae"),
        ({"model.depth": {"schedule": "cosin"}}, "did you mean cosine"),
        ({"model.depth": {"data.target_scale": "x"}}, "a number"),
        ({"model.depth": {"model.depth": 1}}, "a circle of model.depth"),
        ({"model.depth": {"train.loss": "mse"}, "train.loss": {"model.depth": 1}}, "a circle"),
        ({"model.depth": "mse"}, "a mapping"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(read: Read, when: Any, said: str) -> None:
    with pytest.raises(UserError, match=r"hydra.sweeper.when") as error:
        read("model.width=range(1,4)", "model.depth=range(1,4)", "train.loss=mse,mae", when=when)
    assert said in str(error.value)


# Constraints


@pytest.mark.parametrize(
    ("constraint", "params", "holds"),
    [
        ("model.depth * model.width <= 8", {"model.depth": 2, "model.width": 4}, True),
        ("model.depth * model.width <= 8", {"model.depth": 3, "model.width": 4}, False),
        ("1 <= model.depth < 3 and not train.loss == 'mse'", {"model.depth": 2, "train.loss": "mae"}, True),
        ("1 <= model.depth < 3 and not train.loss == 'mse'", {"model.depth": 2, "train.loss": "mse"}, False),
        ("max(model.depth, abs(-3), 1) == 3 or false", {"model.depth": 2}, True),
        ("model.depth ** 2 + 1 > -model.width % 3", {"model.depth": 2, "model.width": 1}, True),
        ("train.batch_size // model.depth == 512", {"model.depth": 2}, True),
        ("model == 'dense' and train.threads == null", {}, True),
        ("model.depth * model.width <= 8", {"model.depth": 100}, True),  # width does not exist at this point
    ],
)
def test_constraints_are_evaluated_over_params_and_the_configuration(
    read: Read, constraint: str, params: dict[str, Any], holds: bool
) -> None:
    space = read("model.width=range(1,9)", "model.depth=range(1,9)", "train.loss=mse,mae", constraints=[constraint])
    assert space.violated(params) == (None if holds else constraint)


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        ("1 / model.depth > 0", "division by zero"),
        ("9.0 ** 9 ** 9 ** 9 > model.depth", "range"),
        ("(model.depth - 1) ** 0.5 > 0", "domain"),
        ("model.depth < 'a'", "not supported"),
        ("'a' * 1000000000 == model.depth", "no number"),
    ],
)
def test_a_constraint_that_cannot_be_evaluated_is_broken_with_the_reason(
    read: Read, constraint: str, reason: str
) -> None:
    broken = read("model.depth=range(0,9)", constraints=[constraint]).violated({"model.depth": 0})
    assert broken is not None
    assert broken.startswith(constraint)
    assert reason in broken


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        ("model.depth <", "invalid syntax"),
        ("model.depth", "nothing is compared"),
        ("model.dept < 3", "did you mean model.depth"),
        ("data.entry_range == 1", "which is"),
        ("__import__('os').system('true') == 0", "is not allowed"),
        ("(lambda: 1)() == 1", "is not allowed"),
        ("[x for x in 'a'] == 1", "is not allowed"),
        ("model.depth.__class__ == 1", "not there"),
        ("min() == 1", "is not allowed"),
        ("1 == f'{seed}'", "is not allowed"),
        ("optimizer.epsilon < 1", "changes with optimizer"),
        ("(" * 500 + "1" + ")" * 500 + " == 1", "comparison"),
        (7, "comparison"),
    ],
)
def test_a_constraint_that_makes_no_sense_is_refused(read: Read, constraint: Any, said: str) -> None:
    with pytest.raises(UserError, match=r"hydra.sweeper.constraints\[0\]") as error:
        read("model.depth=range(1,9)", "optimizer=adam,sgd", constraints=[constraint])
    assert said in str(error.value)


# Points


def values_of(points: list[list[str]], key: str) -> set[str]:
    return {line.partition("=")[2] for point in points for line in point if line.startswith(f"{key}=")}


def test_points_touch_both_ends_and_every_choice(read: Read) -> None:
    space = read("model.depth=range(1,6)", "data.entry_range=choice([-1,1],[-2,2],[-4,4])", "seed=3")
    points = list(space.points())
    assert len(points) == 3
    assert all(point[0] == "seed=3" and len(point) == 3 for point in points)
    assert values_of(points, "model.depth") == {"1", "5"}
    assert values_of(points, "data.entry_range") == {"[-1,1]", "[-2,2]", "[-4,4]"}
    assert len(list(read("seed=" + ",".join(map(str, range(99)))).points())) == 64
    assert list(read("seed=3").points()) == []


def test_points_fulfil_conditions_and_constraints(read: Read, composed: Callable[..., DictConfig]) -> None:
    params = {
        "model.depth": "range(1,101)",
        "model.width": "range(1,101)",
        "optimizer": "choice(adam,sgd,rmsprop)",
        "optimizer.momentum": "choice(0,0.5,0.9)",
    }
    space = read(params=params, when=MOMENTUM, constraints=["model.depth * model.width <= 150"])
    points = list(space.points())
    for point in points:
        config = composed(point)
        assert config.model.depth * config.model.width <= 150
    assert values_of(points, "model.depth") == values_of(points, "model.width") >= {"1", "100"}
    assert values_of(points, "optimizer.momentum") == {"0.0", "0.5", "0.9"}
    assert values_of(points, "optimizer") == {"adam", "sgd", "rmsprop"}


def test_points_reach_what_needs_two_things_at_once(read: Read) -> None:
    when = {"data.target_scale": {"model.width": [1, 2], "model.depth": [2]}, "model.depth": {"model.width": [2, 3]}}
    space = read("model.width=1,2,3", "model.depth=1,2", "data.target_scale=1,2", when=when)
    assert values_of(list(space.points()), "data.target_scale") == {"1.0", "2.0"}


def test_constraints_that_no_point_fulfils_are_refused(read: Read) -> None:
    with pytest.raises(UserError, match=r"model.depth > 9"):
        list(read("model.depth=range(1,9)", constraints=["model.depth > 9"]).points())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"model.width": 32}, {"model.width": 32}),
        ({"model.width": "32"}, {"model.width": 32}),
        ({"optimizer.learning_rate": 1}, {"optimizer.learning_rate": 1.0}),
        ({"data.target_scale": 0.3}, {"data.target_scale": 0.3}),
        ({"data.entry_range": [-1, 1]}, {"data.entry_range": "[-1,1]"}),
        ({"data.entry_range": "[-1.0, 1]"}, {"data.entry_range": "[-1,1]"}),
        ({"train.threads": None, "train.jit_compile": True}, {"train.threads": None, "train.jit_compile": True}),
        ({"train.threads": "null"}, {"train.threads": None}),
        ({"objective.metric": 1}, {"objective.metric": "1"}),
        ({"optimizer": "sgd", "optimizer.momentum": "0.5"}, {"optimizer": "sgd", "optimizer.momentum": 0.5}),
        ({"optimizer.momentum": 0.5}, {"optimizer.momentum": 0.5}),  # its optimizer is sampled
    ],
)
def test_a_point_is_read_as_values_of_the_distributions(points_of: SearchSpace, given: Any, expected: Any) -> None:
    point = points_of.read_point("enqueue[0]", given)
    assert point == expected
    assert {key: type(value) for key, value in point.items()} == {key: type(value) for key, value in expected.items()}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model.wdith": 1}, "did you mean model.width"),
        ({"model.width": 8}, "an integer from 16 to 64 in steps of 16"),
        ({"model.width": 17}, "in steps of 16"),
        ({"model.width": 16.5}, "an integer"),
        ({"model.width": True}, "an integer"),
        ({"model.width": "wide"}, "an integer"),
        ({"optimizer.learning_rate": 2}, "a number from 0.0 to 1.0"),
        ({"optimizer.learning_rate": float("nan")}, "a number"),
        ({"data.entry_range": [-1, 2]}, "one of [-1,1], [-2,2]"),
        ({"train.jit_compile": 5}, "one of true, false"),
        ({"optimizer": "adam", "optimizer.momentum": 0.5}, "a point where optimizer is one of sgd, rmsprop"),
    ],
)
def test_what_is_no_point_is_refused(points_of: SearchSpace, given: Any, said: str) -> None:
    with pytest.raises(UserError, match=r"enqueue\[0\]") as error:
        points_of.read_point("enqueue[0]", given)
    assert said in str(error.value)


@pytest.fixture
def points_of(read: Read) -> SearchSpace:
    return read(
        "model.width=range(16,65,16)",
        "optimizer.learning_rate=interval(0,1)",
        "data.target_scale=range(0,1,0.1)",
        "data.entry_range=choice([-1,1],[-2,2])",
        "train.threads=null,1",
        "train.jit_compile=true,false",
        "objective.metric=1,2",
        "optimizer=choice(adam,sgd,rmsprop)",
        "optimizer.momentum=interval(0,1)",
        when=MOMENTUM,
    )


# Search spaces in Python, and of old


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    program = """
        def width(config, trial):
            most = 2 * trial.params["model.depth"] if config.seed == 0 else 0
            trial.suggest_int("model.width", 1, most)
            trial.suggest_categorical("data.entry_range", ["[-1, 1]", "[-2, 2]"])
            trial.suggest_categorical("+note", ["a=b, c"])
            trial.suggest_categorical("train.threads", [None])

        def fixed(config, trial):
            trial.suggest_int("seed", 1, 2)

        def wrong(config, trial):
            trial.params["nothing"]

        number = 1
    """
    name = f"custom_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text("\n".join(line[8:] for line in program.splitlines()))
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_function_suggests_further_params(read: Read, module: str, composed: Callable[..., DictConfig]) -> None:
    space = read("model.depth=range(1,4)", custom_search_space=f"{module}.width")
    assert space.conditional
    for trial in trials(5):
        config = composed(cloudpickle.loads(cloudpickle.dumps(space)).suggest(trial))
        assert config.model.width == trial.params["model.width"] <= 2 * config.model.depth
        assert list(config.data.entry_range) in ([-1.0, 1.0], [-2.0, 2.0])
        assert config.note == "a=b, c"
    points = list(space.points())
    assert values_of(points, "model.depth") == {"1", "3"}
    assert len(values_of(points, "model.width")) == len(values_of(points, "data.entry_range")) == 2, "both ends"
    alone = list(read("model.depth=choice(2)", custom_search_space=f"{module}.width").points())
    assert len(values_of(alone, "data.entry_range")) == 2, "a single point is asked about twice"
    assert all(composed(point).note == "a=b, c" for point in points)
    assert space.describe()["custom_search_space"] == f"{module}.width"
    assert space.read_point("enqueue[0]", {"model.depth": 1, "model.width": 2}) == {"model.depth": 1, "model.width": 2}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("{module}.nothing", "dotted path"),
        ("{module}.number", "dotted path"),
        ("no_such_module.f", "dotted path"),
        ("", None),
        ("{module}.fixed", "suggests seed"),
        ("{module}.wrong", "KeyError"),
    ],
)
def test_a_function_that_does_not_fit_is_refused(read: Read, module: str, path: str, said: str | None) -> None:
    def use() -> None:
        read("model.depth=1,2", "seed=3", custom_search_space=path.format(module=module)).suggest(trials(1)[0])

    if said is None:
        use()
        return
    with pytest.raises(UserError, match=r"hydra.sweeper.custom_search_space") as error:
        use()
    assert said in str(error.value)


OLD = {
    "model.width": {"type": "int", "low": 16, "high": 64, "step": 16},
    "optimizer.learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "data.target_scale": {"type": "float", "low": 0, "high": 1, "step": 0.5},
    "train.loss": {"type": "categorical", "choices": ["mse", "mae"]},
    "+note": {"type": "categorical", "choices": [1, "1"]},
}


def test_the_search_space_of_old_is_taken_with_one_line(
    read: Read, composed: Callable[..., DictConfig], caplog: pytest.LogCaptureFixture
) -> None:
    legacy_space.warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            space = read("train.loss=mae", search_space=OmegaConf.create(OLD))
    assert len([record for record in caplog.records if "deprecated" in record.message]) == 1
    assert space.distributions() == {
        "model.width": IntDistribution(16, 64, step=16),
        "optimizer.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "data.target_scale": FloatDistribution(0.0, 1.0, step=0.5),
        "note": CategoricalDistribution([1, "1"]),
    }
    assert space.fixed == ("train.loss=mae",)
    assert composed(space.suggest(trials(1)[0])).note in (1, "1")
    both = read(search_space=OLD, params={"model.depth": "range(1,3)"})
    assert list(both.parameters) == ["model.depth"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "integer", "low": 1, "high": 2}, "one of int, float, categorical"),
        ({"type": "int", "low": 1}, "low and high"),
        ({"type": "int", "low": 3, "high": 1}, "Optuna"),
        ({"type": "int", "low": 1, "hihg": 2}, "did you mean high"),
        ({"type": "categorical"}, "a list"),
        ({"type": "categorical", "choices": ["wide"]}, "an integer"),
        (7, "a mapping"),
    ],
)
def test_a_distribution_of_old_that_makes_no_sense_is_refused(read: Read, given: Any, said: str) -> None:
    with pytest.raises(UserError, match=r"hydra.sweeper.search_space.model.width") as error:
        read(search_space={"model.width": given})
    assert said in str(error.value)
