"""The keys of `hydra.sweeper`, its samplers and its pruners, as Hydra knows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class TrackingSettings:
    """Where MLflow keeps the study's runs: nowhere unless `uri` is set."""

    uri: str | None = None
    experiment: str = "sweep"
    artifacts: str = "mlruns/artifacts"


@dataclass
class Settings:
    """`hydra.sweeper`.

    Attributes:
        sampler: Optuna's, from `hydra/sweeper/sampler`.
        pruner: Optuna's, from `hydra/sweeper/pruner`.
        direction: "minimize" or "maximize"; a list of them for several objectives.
        objective: what the objective is called where people read it.
        storage: URL of Optuna's storage; null is a journal file in `hydra.sweep.dir`.
        study_name: null names the study after the job and the time.
        n_trials: how many trials the study has in total, retries apart.
        n_jobs: trials that one agent runs at once.
        max_retries: how often a trial is run again whose process died or whose agent is gone.
        params: the search space, in Hydra's override grammar, by key.
        seed: what all seeds are derived from; null draws one.
        seed_key: the configuration key that is given each trial's seed, if any.
        threads_key: the configuration key that is given each trial's number of threads, if any.
        identity_excludes: keys that may change without making it another study.
        export: the name under which the best configuration is exported at the end, if at all.
        tracking: MLflow.
    """

    _target_: str = ""
    _recursive_: bool = False
    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"sampler": "tpe"}, {"pruner": "median"}])
    sampler: Any = None
    pruner: Any = None
    direction: Any = "minimize"
    objective: str = "objective"
    storage: str | None = None
    study_name: str | None = None
    n_trials: int = 20
    n_jobs: int = 2
    max_retries: int = 3
    params: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    seed_key: str | None = None
    threads_key: str | None = None
    identity_excludes: list[str] = field(default_factory=list)
    export: str | None = None
    tracking: TrackingSettings = field(default_factory=TrackingSettings)


@dataclass
class TPE:
    """Tree-structured Parzen estimator: Optuna's default sampler, with Optuna's defaults."""

    _target_: str = "optuna.samplers.TPESampler"
    seed: int | None = None
    n_startup_trials: int = 10
    n_ei_candidates: int = 24


@dataclass
class RandomSampler:
    """Independent uniform draws."""

    _target_: str = "optuna.samplers.RandomSampler"
    seed: int | None = None


@dataclass
class MedianPruner:
    """Stops a trial whose best value so far is worse than the median of the others at the same step."""

    _target_: str = "optuna.pruners.MedianPruner"
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class NoPruner:
    """Lets every trial run to its end."""

    _target_: str = "optuna.pruners.NopPruner"


def register(target: str) -> None:
    """Stores `hydra/sweeper=optuna` and its groups. `target` is the plugin class, which only the door may define."""
    store = ConfigStore.instance().store
    provider = "sweep"
    store(group="hydra/sweeper", name="optuna", node=Settings(_target_=target), provider=provider)
    for name, sampler in {"tpe": TPE, "random": RandomSampler}.items():
        store(group="hydra/sweeper/sampler", name=name, node=sampler, provider=provider)
    for name, pruner in {"median": MedianPruner, "none": NoPruner}.items():
        store(group="hydra/sweeper/pruner", name=name, node=pruner, provider=provider)
