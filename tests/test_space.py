"""Hydra's grammar as search spaces: what each form becomes, and what comes back when it is composed."""

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sweep.engine.errors import UserError
from sweep.engine.space import SearchSpace


@pytest.fixture
def loader() -> ConfigLoader:
    return ConfigLoaderImpl(create_config_search_path("pkg://conf"))


@pytest.fixture
def parse(compose: Callable[..., DictConfig], loader: ConfigLoader) -> Callable[..., SearchSpace]:
    config = compose()
    return lambda *arguments, **params: SearchSpace.parse(arguments, params.get("params", {}), config, loader)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("model.width=range(16,257,16)", IntDistribution(16, 256, step=16)),
        ("model.depth=range(1,3)", IntDistribution(1, 2)),
        ("model.depth=range(5,1,-2)", IntDistribution(3, 5, step=2)),
        ("model.depth=shuffle(range(1,4))", IntDistribution(1, 3)),
        ("model.depth=interval(1,8)", IntDistribution(1, 8)),
        ("model.width=tag(log,interval(16,256))", IntDistribution(16, 256, log=True)),
        ("model.width=tag(log,range(16,257))", IntDistribution(16, 256, log=True)),
        ("model.width=int(interval(1.5,8.5))", IntDistribution(1, 8)),
        ("data.target_scale=range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("data.target_scale=range(0.1,0.4,0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("data.target_scale=interval(1,20)", FloatDistribution(1.0, 20.0)),
        ("optimizer.learning_rate=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("train.loss=choice(mse,mae)", CategoricalDistribution(["mse", "mae"])),
        ("train.threads=null,1", CategoricalDistribution([None, 1])),
        ("model.width=64,128", CategoricalDistribution([64, 128])),
        ("train.jit_compile=true,false", CategoricalDistribution([True, False])),
        ("data.entry_range=choice([-1,1],[-2,2])", CategoricalDistribution(["[-1,1]", "[-2,2]"])),
        ("model=choice(dense,residual)", CategoricalDistribution(["dense", "residual"])),
        ("schedule=glob(*)", CategoricalDistribution(["constant", "cosine", "exponential", "linear"])),
    ],
)
def test_every_form_of_the_grammar_becomes_its_distribution(parse: Any, line: str, expected: Any) -> None:
    (parameter,) = parse(line).parameters.values()
    assert parameter.distribution == expected


def test_what_does_not_vary_is_fixed_and_the_command_line_wins_over_params(parse: Any) -> None:
    space = parse("train.loss=mae", "~hydra.foo", "model.depth=3", params={"model.depth": "range(1,4)", "seed": 7})
    assert not space.parameters
    assert sorted(space.fixed) == ["model.depth=3", "seed=7", "train.loss=mae", "~hydra.foo"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("model.width=interval(9,3)", "below its high end"),
        ("model.width=range(9,3)", "start must come before stop"),
        ("model.depth=interval(1.5,3)", "must be integers"),
        ("optimizer.learning_rate=tag(log,interval(0,1))", "begins above 0"),
        ("optimizer.learning_rate=tag(log,range(0.1,0.5,0.1))", "log"),
        ("model.width=range(1,9,0)", "step must not be 0"),
        ("model.width=choice(", "grammar"),
        ("model.width=choice(null,1)", "key=null,1"),
        ("model=glob(nothing*)", "nothing to choose from"),
    ],
)
def test_a_space_that_makes_no_sense_is_one_error_that_names_its_key(parse: Any, line: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse(line)
    key, _, received = line.partition("=")
    assert key in str(error.value)
    assert received in str(error.value)
    assert said in str(error.value)


def test_sampled_values_come_back_through_hydra_with_the_right_types(
    parse: Any, compose: Callable[..., DictConfig]
) -> None:
    space = parse(
        "model.width=tag(log,interval(16,256))",
        "optimizer.learning_rate=tag(log,interval(1e-5,1e-2))",
        "data.entry_range=choice([-1,1],[-2.5,2.5])",
        "train.threads=null,2",
        "model.activation=choice('relu',tanh)",
        "train.loss=mae",
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(8):
        trial = study.ask()
        config = compose(*space.suggest(trial))
        assert config.model.width == trial.params["model.width"]
        assert isinstance(config.model.width, int)
        assert config.optimizer.learning_rate == trial.params["optimizer.learning_rate"]
        assert list(config.data.entry_range) in ([-1.0, 1.0], [-2.5, 2.5])
        assert config.train.threads in (None, 2)
        assert config.train.loss.name == "mae"
        seen.add((tuple(config.data.entry_range), config.train.threads, config.model.activation))
    assert len(seen) > 2


def test_extremes_touch_both_ends_and_every_choice(parse: Any) -> None:
    space = parse("model.depth=range(1,6)", "data.entry_range=choice([-1,1],[-2,2],[-4,4])")
    assert space.parameters["model.depth"].extremes() == [1, 5]
    assert space.parameters["data.entry_range"].extremes() == ["[-1,1]", "[-2,2]", "[-4,4]"]
