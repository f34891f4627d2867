"""Any string at all is a search space or one clear error; what a search space draws, Hydra composes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import hydra
import optuna
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import MISSING, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import RandomSampler

from sweep.engine import literals
from sweep.engine.errors import UserError
from sweep.engine.space import SearchSpace


class Kind(Enum):
    flat = 1
    steep = 2


@dataclass
class Net:
    width: int = 1
    rate: float = 0.5


@dataclass
class Config:
    net: Net = field(default_factory=Net)
    whole: int = 1
    maybe: int | None = None
    number: float = 0.5
    perhaps: float | None = 0.5
    switch: bool = False
    text: str = "a"
    either: int | str = 1
    kind: Kind = Kind.flat
    wholes: list[int] = field(default_factory=lambda: [1])
    numbers: list[float] = field(default_factory=lambda: [0.5])
    table: dict[str, int] = field(default_factory=dict)
    anything: Any = 1
    size: Net = MISSING


TYPES: dict[str, tuple[type, ...]] = {
    "net.width": (int,),
    "net.rate": (float,),
    "whole": (int,),
    "maybe": (int, type(None)),
    "number": (float,),
    "perhaps": (float, type(None)),
    "switch": (bool,),
    "text": (str,),
    "either": (int, str),
    "kind": (Kind,),
}

store = ConfigStore.instance().store
store(name="space_properties", node=Config)
for option in ("small", "large"):
    store(group="size", name=option, node=Net(width=len(option)))

LOADER = ConfigLoaderImpl(create_config_search_path(None))
with hydra.initialize(version_base="1.3", config_path=None):
    CONFIG = hydra.compose("space_properties", return_hydra_config=True)


# The grammar: more of it than makes sense

keys = st.sampled_from(
    [*TYPES, "wholes", "numbers", "table", "anything", "+new", "++new.x", "+size", "~whole", "", "no"]
)
integers = st.one_of(st.integers(-20, 20), st.integers()).map(str)
floats = st.one_of(st.floats(-20, 20).map(lambda one: round(one, 2)), st.floats()).map(str)
words = st.sampled_from(
    ["flat", "steep", "small", "large", "true", "False", "null", "NULL", "nan", "inf", "a", "a.b", "1_000", "${whole}"]
)
unquoted = st.text("ab1 .-_/+$%*@?|:\\", min_size=1, max_size=6)
quoted = st.tuples(st.sampled_from("'\""), st.text(max_size=6)).map(lambda one: one[0] + one[1] + one[0])
scalars = st.one_of(integers, integers, floats, words, unquoted, quoted)
functions = st.sampled_from(
    ["choice", "range", "interval", "tag", "int", "float", "str", "bool", "sort", "shuffle", "glob", "eval"]
)
names = st.sampled_from(["", "", "", "start=", "stop=", "step=", "end=", "reverse=", "sweep=", "log,"])


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    some = st.lists(inner, max_size=3)
    arguments = st.lists(st.tuples(names, inner).map("".join), max_size=3)
    return st.one_of(
        some.map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(unquoted, inner).map(":".join), max_size=2).map(lambda items: "{" + ",".join(items) + "}"),
        st.tuples(functions, arguments).map(lambda one: f"{one[0]}({', '.join(one[1])})"),
    )


numeric = st.one_of(integers, floats)
sweeps = st.one_of(
    st.lists(st.one_of(integers, words), min_size=2, max_size=4).map(lambda items: f"choice({','.join(items)})"),
    st.lists(scalars, min_size=2, max_size=4).map(",".join),
    st.lists(numeric, min_size=2, max_size=3).map(lambda items: f"range({','.join(items)})"),
    st.tuples(numeric, numeric).map(lambda ends: f"interval({ends[0]},{ends[1]})"),
    st.tuples(numeric, numeric).map(lambda ends: f"tag(log,interval({ends[0]},{ends[1]}))"),
    st.lists(compound(scalars), min_size=2, max_size=3).map(",".join),
)
values = st.one_of(sweeps, st.recursive(scalars, compound, max_leaves=8), st.text())
valid_looking = st.tuples(keys, values).map("=".join)


@st.composite
def mangled(draw: Callable[[st.SearchStrategy[Any]], Any]) -> str:
    line: str = draw(valid_looking)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(line)))
        new = draw(st.sampled_from(["", *"()[]{}=,'\"\\$~+@:. \t\n\0é∞"]))
        line = line[:at] + new + line[at + draw(st.integers(0, 2)) :]
    return line


lines = st.one_of(valid_looking, valid_looking, mangled(), st.text())


def is_a_space_or_one_error(line: str) -> None:
    try:
        space = SearchSpace.read([line], {}, CONFIG, LOADER)
    except UserError:
        return
    assert bool(space.parameters) != bool(space.fixed)
    for parameter in space.parameters.values():
        assert isinstance(parameter.distribution, BaseDistribution)
        for value in parameter.extremes():
            assert parameter.read(value) == value or value != value  # or not a number
    assert all(isinstance(override, str) for override in space.suggest(trial()))


def comes_back_with_its_type(line: str) -> None:
    try:
        space = SearchSpace.read([line], {}, CONFIG, LOADER)
    except UserError:
        assume(False)
    assume(space.parameters)
    (parameter,) = space.parameters.values()
    # A key that is there cannot be added, one that is not there cannot be set: that is said when they are composed.
    assume(parameter.prefix == ("+" if parameter.key in ("new", "size") else "++" if parameter.key == "new.x" else ""))
    assume(parameter.key not in ("", "no"))
    assume(not (parameter.key == "size" and "/" in line))  # an option of a folder that only composing may know
    for overrides in [*space.points(), *(space.suggest(trial(seed)) for seed in range(3))]:
        config = LOADER.load_sweep_config(CONFIG, overrides)
        if "${" in line:
            continue  # what it points to has a type of its own
        if parameter.key == "size":
            options = literals.read(overrides[0].partition("=")[2])
            assert options == [] or config.size.width == len("small") == len("large")
            continue
        held = OmegaConf.select(config, parameter.key)
        if parameter.key in TYPES:
            assert type(held) in TYPES[parameter.key]
        set_to = literals.read(overrides[0].partition("=")[2])
        if isinstance(parameter.distribution, CategoricalDistribution) and not isinstance(set_to, list | dict):
            plain = getattr(held, "name", held)
            assert plain == set_to or (math.isnan(plain) and math.isnan(set_to))
            assert type(plain) is type(set_to)


def trial(seed: int = 0) -> optuna.Trial:
    return optuna.create_study(sampler=RandomSampler(seed=seed)).ask()


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Without a line for each of thousands of studies."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(verbosity)


quick = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
slow = {**quick, "derandomize": False}


@settings(max_examples=300, **quick)
@given(lines)
def test_any_string_is_a_space_or_one_error(line: str) -> None:
    is_a_space_or_one_error(line)


@settings(max_examples=15, **quick)
@example("either=1,'1'")
@example("+size=small,[],[small,large]")
@given(valid_looking)
def test_what_a_space_draws_hydra_composes_with_the_right_type(line: str) -> None:
    comes_back_with_its_type(line)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=10_000, **slow)
@given(lines)
def test_ten_thousand_strings(line: str) -> None:
    is_a_space_or_one_error(line)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=300, **slow)
@given(valid_looking)
def test_three_hundred_spaces_composed(line: str) -> None:
    comes_back_with_its_type(line)
