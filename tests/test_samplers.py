"""Every sampler of the group: its keys are Optuna's, it passes one test through a real sweep, and a seed fixes it."""

import importlib.util
import inspect
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from application import Application
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from omegaconf import OmegaConf

from sweep.engine import build
from sweep.engine import study as studies
from sweep.engine.errors import UserError
from sweep.engine.outcome import Outcome
from sweep.engine.proposal import propose
from sweep.engine.samplers import SAMPLERS
from sweep.engine.space import SearchSpace
from sweep.engine.storage import open_storage

PROGRAM = """
from dataclasses import dataclass
import hydra
from hydra.core.config_store import ConfigStore

@dataclass
class Config:
    x: float = 0.0
    n: int = 1
    rate: float = 0.1
    kind: str = "a"

ConfigStore.instance().store(name="config", node=Config)

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg):
    return cfg.x**2 + cfg.n + abs(cfg.rate - 0.01) + (cfg.kind == "b")

if __name__ == "__main__":
    main()
"""

MIXED = ("x=interval(-2,2)", "n=interval(1,6)", "rate=tag(log,interval(1e-4,1))", "kind=choice(a,b)")
DISCRETE = ("x=range(0,1,0.5)", "n=range(1,4)", "kind=choice(a,b)")
"""Twelve points."""

EARLY: dict[str, tuple[str, ...]] = {
    "tpe": ("n_startup_trials=4",),
    "gp": ("n_startup_trials=4",),
    "cmaes": ("popsize=4",),
    "nsgaii": ("population_size=4",),
    "nsgaiii": ("population_size=4",),
    "partial_fixed": ("fixed_params={x: 0.5}",),
}
"""Keys with which twelve trials are enough to get beyond the random ones."""

EXHAUSTIVE = ("grid", "brute_force")


def needs_torch(sampler: str) -> Any:
    missing = sampler == "gp" and importlib.util.find_spec("torch") is None
    return pytest.param(sampler, marks=pytest.mark.skipif(missing, reason="GPSampler needs torch: the extra gp"))


ALL = [needs_torch(name) for name in SAMPLERS if name != "motpe"]  # which is another name of tpe


def node(sampler: str, *keys: str) -> Any:
    """The option of the group with keys of the command line."""
    return OmegaConf.merge(OmegaConf.structured(SAMPLERS[sampler]), OmegaConf.from_dotlist(list(keys)))


def space(*lines: str, **settings: Any) -> SearchSpace:
    config = OmegaConf.create({"x": 0.0, "n": 1, "rate": 0.1, "kind": "a"})
    return SearchSpace.read(lines, settings, config, ConfigLoaderImpl(create_config_search_path(None)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_keys_and_defaults_are_optunas(sampler: str) -> None:
    option = OmegaConf.to_container(OmegaConf.structured(SAMPLERS[sampler]))
    assert isinstance(option, dict)
    module, _, name = str(option.pop("_target_")).rpartition(".")
    assert module == "optuna.samplers"
    parameters = inspect.signature(getattr(optuna.samplers, name)).parameters
    ours = {"group", "warn_asynchronous_seeding", "search_space", "fixed_params", "base_sampler"}
    assert set(option) - build.GONE == set(parameters)
    for key in set(parameters) - ours:
        assert option[key] == parameters[key].default, key


@pytest.mark.parametrize("sampler", ALL)
def test_conformance_through_a_real_sweep(application: Application, sampler: str) -> None:
    (application.folder / "application.py").write_text(PROGRAM)
    lines = DISCRETE if sampler in EXHAUSTIVE else MIXED
    arguments = [
        f"hydra/sweeper/sampler={sampler}",
        *(f"hydra.sweeper.sampler.{key}" for key in EARLY.get(sampler, ())),
    ]
    # What tries every value goes on where it was when the study does, and ends before its budget.
    for n_trials in (5, 30) if sampler in EXHAUSTIVE else (10,):
        said = application.run(*arguments, *lines, f"hydra.sweeper.n_trials={n_trials}", "hydra.sweeper.n_jobs=2")
    assert "Traceback" not in said
    assert said.count("`kind` in Trial#") <= 1, "what Optuna says at every trial is said once"
    trials = [trial for trial in application.study.trials if trial.state.is_finished()]
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    points = [tuple(trial.params[line.partition("=")[0]] for line in lines) for trial in trials]
    assert len(set(points)) == len(points), "no point is tried twice"
    if sampler in EXHAUSTIVE:
        assert set(points) == {(x, n, kind) for x in (0.0, 0.5) for n in (1, 2, 3) for kind in "ab"}
        return
    assert len(points) == 10
    for trial, (x, n, rate, kind) in zip(trials, points, strict=True):
        assert -2 <= x <= 2
        assert n in range(1, 7)
        assert isinstance(n, int)
        assert 1e-4 <= rate <= 1
        assert kind in ("a", "b")
        assert trial.value == pytest.approx(x**2 + n + abs(rate - 0.01) + (kind == "b"))
    if sampler == "partial_fixed":
        assert {x for x, *_ in points} == {0.5}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("sampler", ALL)
def test_one_seed_and_one_slot_give_the_same_trials(tmp_path: Path, sampler: str) -> None:
    mixed = space(*(DISCRETE if sampler in EXHAUSTIVE else MIXED))

    def tried(seed: int, folder: str) -> list[dict[str, Any]]:
        storage = open_storage(None, tmp_path / folder)
        built = build.sampler(node(sampler, *EARLY.get(sampler, ())), seed, mixed, study_seed=seed)
        study = optuna.create_study(study_name="s", storage=storage, sampler=built)
        studies.top_up(study, 12)
        for number in range(12):
            claimed = studies.claim(study, storage)
            assert claimed is not None
            params = propose(study, storage, claimed, mixed).trial.params
            score = params["x"] ** 2 + params["n"] + math.log10(params.get("rate", 1)) + (params["kind"] == "b")
            studies.close(study, storage, number, Outcome("COMPLETE", (score,)))
        return [trial.params for trial in study.trials]

    first = tried(7, "first")
    assert tried(7, "again") == first
    assert tried(8, "other") != first


def test_motpe_is_tpe() -> None:
    built = build.sampler(node("motpe", "n_ehvi_candidates=24"), 1, None, study_seed=1)
    assert type(built) is optuna.samplers.TPESampler


OLD_KEYS: dict[str, dict[str, Any]] = {
    "tpe": {
        "consider_prior": True,
        "prior_weight": 1.0,
        "consider_magic_clip": True,
        "consider_endpoints": False,
        "n_startup_trials": 10,
        "n_ei_candidates": 24,
        "multivariate": False,
        "warn_independent_sampling": True,
    },
    "random": {},
    "cmaes": {
        "x0": {"x": 0.1},
        "sigma0": 0.3,
        "independent_sampler": None,
        "warn_independent_sampling": True,
        "consider_pruned_trials": False,
        "restart_strategy": "ipop",
        "inc_popsize": 2,
        "use_separable_cma": False,
        "source_trials": None,
    },
    "nsgaii": {
        "population_size": 50,
        "mutation_prob": None,
        "crossover_prob": 0.9,
        "swapping_prob": 0.5,
        "constraints_func": None,
    },
    "motpe": {
        "consider_prior": True,
        "prior_weight": 1.0,
        "consider_magic_clip": True,
        "consider_endpoints": False,
        "n_startup_trials": 10,
        "n_ehvi_candidates": 24,
    },
    "qmc": {
        "qmc_type": "halton",
        "scramble": False,
        "independent_sampler": None,
        "warn_asynchronous_seeding": True,
        "warn_independent_sampling": True,
    },
    "grid": {},
}
"""The options and keys of hydra-optuna-sweeper 1.4, the seed apart."""


@pytest.mark.parametrize("sampler", OLD_KEYS)
def test_every_key_of_old_is_taken_without_a_word_of_optunas(sampler: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old = OmegaConf.merge(node(sampler), OLD_KEYS[sampler], {} if sampler == "grid" else {"seed": 1})
        built = build.sampler(old, 1, space("x=range(0,1,0.5)"), study_seed=1)
    assert f"optuna.samplers.{type(built).__name__}" == old._target_


def test_a_key_that_optuna_has_dropped_is_one_warning_and_a_line_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    build._say_once.cache_clear()
    old = node("motpe", "n_ehvi_candidates=24", "consider_endpoints=true", "prior_weight=0.5")
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        for agent in range(3):
            build.sampler(old, agent, None, study_seed=1)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert sum("n_ehvi_candidates" in line for line in said) == 1
    assert sum("consider_endpoints" in line and "prior_weight" in line for line in said) == 1
    assert len(said) == 2


CONDITIONAL = {"when": {"n": {"kind": "a"}}}


@pytest.mark.parametrize("sampler", EXHAUSTIVE)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_what_exists_only_sometimes_is_tried_as_often_as_it_exists(tmp_path: Path, sampler: str) -> None:
    some = space("n=range(1,4)", "kind=choice(a,b)", **CONDITIONAL)
    storage = open_storage(None, tmp_path)
    study = optuna.create_study(
        study_name="s", storage=storage, sampler=build.sampler(node(sampler), 1, some, study_seed=1)
    )
    studies.top_up(study, 20)
    run = []
    while claimed := studies.claim(study, storage):
        proposal = propose(study, storage, claimed, some)
        run += [] if proposal.known else [tuple(proposal.trial.params.values())]
        studies.close(study, storage, claimed.number, Outcome("COMPLETE", (1.0,)))
    assert sorted(run) == [("a", 1), ("a", 2), ("a", 3), ("b",)]


def test_tpe_groups_parameters_only_if_some_exist_only_sometimes() -> None:
    def grouped(some: SearchSpace, *keys: str) -> bool:
        built = build.sampler(node("tpe", *keys), 1, some, study_seed=1)
        assert isinstance(built, optuna.samplers.TPESampler)
        return built._group

    plain, conditional = space("n=range(1,4)"), space("n=range(1,4)", "kind=choice(a,b)", **CONDITIONAL)
    assert not grouped(plain)
    assert grouped(conditional)
    assert not grouped(conditional, "group=false")
    assert not grouped(conditional, "multivariate=false")


@pytest.mark.parametrize("path", ["optuna.samplers.TPESampler", "optuna.samplers.MOTPESampler"])
def test_a_node_of_the_users_own_works(path: str) -> None:
    built = build.sampler({"_target_": path, "n_startup_trials": 3}, 1, None, study_seed=1)
    assert isinstance(built, optuna.samplers.TPESampler)


class OpenSampler(optuna.samplers.RandomSampler):
    """A class of the user's, which passes its keys on."""

    def __init__(self, **keys: Any) -> None:
        super().__init__(**keys)


def test_a_class_of_the_users_own_may_take_any_keys() -> None:
    path = f"{OpenSampler.__module__}.{OpenSampler.__name__}"
    assert isinstance(build.sampler({"_target_": path, "seed": 1}, 1, None, study_seed=1), OpenSampler)
    with pytest.raises(UserError, match="unexpected keyword argument 'sead'"):
        build.sampler({"_target_": path, "sead": 1}, 1, None, study_seed=1)


def test_samplers_within_samplers_are_built_and_seeded() -> None:
    own = node("cmaes", "independent_sampler._target_=optuna.samplers.RandomSampler")
    draws = []
    for seed in (1, 1, 2):
        built = build.sampler(own, seed, None, study_seed=0)
        assert isinstance(built, optuna.samplers.CmaEsSampler)
        inner = built._independent_sampler
        assert isinstance(inner, optuna.samplers.RandomSampler)
        draws.append(inner._rng.rng.random())
    assert draws[0] == draws[1] != draws[2]


def test_a_class_by_its_path_where_optuna_takes_an_object() -> None:
    own = node("nsgaii", "crossover._target_=optuna.samplers.nsgaii.SBXCrossover", "crossover.eta=20")
    assert isinstance(build.sampler(own, 1, None, study_seed=1), optuna.samplers.NSGAIISampler)


@pytest.mark.parametrize(
    ("given", "named", "said"),
    [
        ({"_target_": "optuna.integration.SkoptSampler"}, "sampler._target_", "optuna.samplers"),
        ({"_target_": "optuna.integration.CmaEsSampler"}, "sampler._target_", "optuna.samplers"),
        ({"_target_": "optuna.samplers.TPESample"}, "sampler._target_", "TPESample"),
        ({"_target_": "optuna.pruners.MedianPruner"}, "sampler._target_", "BaseSampler"),
        ({"_target_": "builtins.print"}, "sampler._target_", "BaseSampler"),
        ({"_target_": 3}, "sampler._target_", "3"),
        ({"n_startup_trials": 3}, "sampler", "_target_"),
        ("tpee", "sampler", "tpee"),
        ({"_target_": "optuna.samplers.TPESampler", "n_startup": 3}, "sampler.n_startup", "n_startup_trials"),
        ({"_target_": "optuna.samplers.NSGAIISampler", "population_size": 1}, "sampler", "population_size"),
        ({"_target_": "optuna.samplers.RandomSampler", "seed": "x"}, "sampler", "int64"),
        ({"_target_": "optuna.samplers.QMCSampler", "qmc_type": "magic"}, "sampler", "magic"),
        (
            {"_target_": "optuna.samplers.CmaEsSampler", "independent_sampler": "randon"},
            "independent_sampler",
            "random",
        ),
        ({"_target_": "optuna.samplers.NSGAIISampler", "crossover": {"_target_": "no.such"}}, "sampler", "no.such"),
        ({"_target_": "optuna.samplers.PartialFixedSampler", "base_sampler": "tpe"}, "fixed_params", "nothing"),
    ],
)
def test_what_does_not_fit_is_one_error_that_names_its_key(given: Any, named: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        build.sampler(given, 1, None, study_seed=1)
    text = str(error.value)
    assert named in text.partition(":")[0]
    assert said in text
    assert "\n" not in text.strip()


@pytest.mark.parametrize("sampler", EXHAUSTIVE)
def test_what_tries_every_value_refuses_an_interval(sampler: str) -> None:
    with pytest.raises(UserError, match="a choice or a range") as error:
        build.sampler(node(sampler), 1, space("n=range(1,4)", "x=interval(0,1)"), study_seed=1)
    assert "x" in str(error.value)


def test_a_grid_takes_values_of_its_own_for_an_interval() -> None:
    own = node("grid", "search_space.x=[0.0,0.25]")
    built = build.sampler(own, 1, space("n=range(1,4)", "x=interval(0,1)"), study_seed=1)
    assert isinstance(built, optuna.samplers.GridSampler)
    assert len(built._all_grids) == 6


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("search_space.x=3", "a list"),
        ("search_space=3", "a mapping"),
        ("search_space.x=[9]", "9"),
        ("search_space.y=[1]", "y"),
    ],
)
def test_a_grid_takes_no_values_that_the_space_does_not_have(key: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        build.sampler(node("grid", key), 1, space("n=range(1,4)", "x=interval(0,1)"), study_seed=1)
    assert str(error.value).startswith("hydra.sweeper.sampler.search_space")


def test_a_grid_that_no_memory_holds_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="at most 1,000,000"):
        build.sampler(node("grid"), 1, space("n=range(0,100000)", "x=range(0,1000,0.01)"), study_seed=1)


@pytest.mark.parametrize("fixed", ["fixed_params={y: 1}", "fixed_params={x: 9}", "fixed_params={n: 1.5}"])
def test_only_points_of_the_space_can_be_fixed(fixed: str) -> None:
    with pytest.raises(UserError, match="fixed_params"):
        build.sampler(node("partial_fixed", fixed), 1, space("x=interval(-2,2)", "n=range(1,4)"), study_seed=1)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is there")
def test_gp_without_torch_says_how_to_get_it() -> None:
    with pytest.raises(UserError, match=r"sweep\[gp\]"):
        build.sampler(node("gp"), 1, None, study_seed=1)
