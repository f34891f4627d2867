"""Every pruner of the group: its keys are Optuna's, and through a real sweep it gives up what was planted to be bad."""

import inspect
from typing import Any

import optuna
import pytest
from application import Application
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial

from sweep.engine import build
from sweep.engine.errors import UserError
from sweep.engine.pruners import PRUNERS

STEPS = 6
GOOD = 4
"""How many of the eight values of n are good."""

PROGRAM = f"""
from dataclasses import dataclass
import hydra
from hydra.core.config_store import ConfigStore
from sweep import current_trial

@dataclass
class Config:
    n: int = 0
    sign: int = 1

ConfigStore.instance().store(name="config", node=Config)

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg):
    for step in range({STEPS}):  # the good ones descend together, the others are worse from the start and rise
        value = 1 - step / 10 if cfg.n < {GOOD} else 10 + cfg.n + step
        current_trial().report(cfg.sign * value, step=step)
    return cfg.sign * value

if __name__ == "__main__":
    main()
"""

CASES = [
    ("median", ["n_startup_trials=2"], 1),
    ("percentile", ["n_startup_trials=2", "percentile=50"], 1),
    ("successive_halving", ["min_resource=1", "reduction_factor=2"], 2),
    ("hyperband", ["min_resource=1", f"max_resource={STEPS}"], 4),
    ("patient", ["patience=1"], 3),
    ("patient", ["patience=1", "wrapped_pruner={_target_:optuna.pruners.MedianPruner,n_startup_trials:2}"], 3),
    ("threshold", ["upper=5"], 1),
    ("wilcoxon", [], 4),
    ("none", [], STEPS),
]
"""Pruners, the keys with which eight trials of six steps are enough, and the reports of a bad trial until its end."""


def node(pruner: str, *keys: str) -> Any:
    """The option of the group with keys of the command line."""
    return OmegaConf.merge(OmegaConf.structured(PRUNERS[pruner]), OmegaConf.from_dotlist(list(keys)))


@pytest.mark.parametrize("pruner", PRUNERS)
def test_the_keys_and_defaults_are_optunas(pruner: str) -> None:
    option = OmegaConf.to_container(OmegaConf.structured(PRUNERS[pruner]))
    assert isinstance(option, dict)
    module, _, name = str(option.pop("_target_")).rpartition(".")
    assert module == "optuna.pruners"
    parameters = inspect.signature(getattr(optuna.pruners, name)).parameters
    assert set(option) == set(parameters)
    for key, parameter in parameters.items():
        if parameter.default is not parameter.empty:
            assert option[key] == parameter.default, key


def planted(application: Application, *arguments: str) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """Sweeps over the good trials and then the bad ones, and returns both."""
    (application.folder / "application.py").write_text(PROGRAM)
    points = ",".join(f"{{n:{n}}}" for n in range(8))
    said = application.run(
        *arguments, "n=range(0,8)", "hydra.sweeper.n_trials=8", f"hydra.sweeper.enqueue=[{points}]",
        "hydra.sweeper.n_jobs=2",
    )  # fmt: skip
    assert "Traceback" not in said
    trials = application.study.trials
    good, bad = ([trial for trial in trials if (trial.params["n"] >= GOOD) == worse] for worse in (False, True))
    assert (len(good), len(bad)) == (GOOD, 8 - GOOD)
    return good, bad


def assert_pruned(good: list[FrozenTrial], bad: list[FrozenTrial], reports: int) -> None:
    """Every good trial was let through to its end, every bad one ended early."""
    assert [(trial.state.name, len(trial.intermediate_values)) for trial in good] == [("COMPLETE", STEPS)] * len(good)
    assert {trial.state.name for trial in bad} == {"PRUNED"}
    assert max(len(trial.intermediate_values) for trial in bad) <= reports


@pytest.mark.parametrize(
    ("pruner", "keys", "reports"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_conformance_through_a_real_sweep(application: Application, pruner: str, keys: list[str], reports: int) -> None:
    arguments = [f"hydra.sweeper.pruner.{key}" for key in keys]
    good, bad = planted(application, f"hydra/sweeper/pruner={pruner}", *arguments)
    if pruner == "none":
        assert {trial.state.name for trial in good + bad} == {"COMPLETE"}
    else:
        assert_pruned(good, bad, reports)


def test_worse_is_the_other_way_round_when_more_is_better(application: Application) -> None:
    pruner = ["hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=2"]
    assert_pruned(*planted(application, *pruner, "hydra.sweeper.direction=maximize", "sign=-1"), reports=1)


def test_a_pruned_trial_keeps_what_it_reported(application: Application) -> None:
    _, bad = planted(application, "hydra/sweeper/pruner=threshold", "hydra.sweeper.pruner.upper=15.5")
    for trial in bad:
        reported = [10 + trial.params["n"] + step for step in range(STEPS)]
        upto = next(count for count, value in enumerate(reported, 1) if value > 15.5)
        assert trial.intermediate_values == dict(enumerate(map(float, reported[:upto])))
        assert trial.value == reported[upto - 1], "a pruned trial's value is the last it reported, for the samplers"


def test_no_pruner_at_all_is_optunas_default() -> None:
    assert build.pruner(None) is None


def test_a_pruner_within_a_pruner_by_its_name() -> None:
    built = build.pruner(node("patient", "wrapped_pruner=median"))
    assert isinstance(built, optuna.pruners.PatientPruner)
    assert isinstance(built._wrapped_pruner, optuna.pruners.MedianPruner)


def test_a_node_of_the_users_own_works() -> None:
    built = build.pruner({"_target_": "optuna.pruners.PercentilePruner", "percentile": 10.0})
    assert isinstance(built, optuna.pruners.PercentilePruner)


@pytest.mark.parametrize(
    ("given", "named", "said"),
    [
        (node("threshold"), "pruner", "lower or upper"),
        (node("percentile", "percentile=200"), "pruner", "200"),
        (node("hyperband", "min_resource=0"), "pruner", "min_resource"),
        (node("hyperband", "reduction_factor=1"), "pruner", "reduction_factor"),
        (node("hyperband", "min_resource=8", "max_resource=4"), "pruner.max_resource", "at least"),
        (node("hyperband", "max_resource=many"), "pruner", "many"),
        ({"_target_": "optuna.pruners.HyperbandPruner", "min_resource": "auto"}, "pruner", "auto"),
        (node("successive_halving", "min_resource=many"), "pruner", "many"),
        (node("wilcoxon", "p_threshold=2"), "pruner", "2"),
        (node("patient", "wrapped_pruner=meadian"), "pruner.wrapped_pruner", "median"),
        ({"_target_": "optuna.pruners.MedianPruner", "n_startup": 3}, "pruner.n_startup", "n_startup_trials"),
        ({"_target_": "optuna.samplers.TPESampler"}, "pruner._target_", "BasePruner"),
        ({"_target_": "optuna.integration.Pruner"}, "pruner._target_", "optuna.pruners"),
        ({"n_startup_trials": 3}, "pruner", "_target_"),
    ],
)
def test_what_does_not_fit_is_one_error_that_names_its_key(given: Any, named: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        build.pruner(given)
    text = str(error.value)
    assert named in text.partition(":")[0]
    assert said in text
    assert "\n" not in text.strip()
