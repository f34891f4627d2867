"""The keys of `hydra.sweeper`, and its groups, as Hydra knows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

from sweep.engine.pruners import PRUNERS
from sweep.engine.samplers import SAMPLERS


@dataclass
class TrackingSettings:
    """Where MLflow keeps the study's runs (nowhere unless `uri` is set), and which models: "best", "all" or "none"."""

    uri: str | None = None
    experiment: str = "sweep"
    artifacts: str = "mlruns/artifacts"
    log_model: Any = "best"


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
        n_agents: how many agents the launcher is given, one per machine.
        timeout: seconds of running time after which the study starts no further trial.
        patience: trials without a better one after which the study starts no further trial.
        trial_timeout: seconds after which a trial is ended.
        trial_memory: GiB of memory above which a trial is ended.
        max_retries: how often a trial is run again whose process died.
        max_failure_rate: share of attempts that may fail before the study is given up, looked at after ten.
        recycle_after: trials after which a slot gets a fresh process.
        recycle_memory: GiB of memory above which a slot gets a fresh process after its trial.
        repeat: whether params that were already scored are run again.
        if_changed: what to do with a study of this name whose fixed configuration was another: "refuse", "go_on" with
            it, or begin a "new" one, named with a number.
        enqueue: points of the search space that are tried first, each a mapping from key to value.
        baselines: overrides by name that are no points of the search space, run in the sibling study NAME.baselines.
        compared_by: keys that every baseline takes from the study, whatever its own overrides say.
        params: the search space, in Hydra's override grammar, by key.
        search_space: the search space as `hydra-optuna-sweeper` 1.1 had it.
        custom_search_space: dotted path of a function (config, trial) that suggests further params.
        when: conditions by key: a parameter exists only when another key has a value (or one of a list of values).
        constraints: expressions of params that every point must fulfil.
        roles: what the study asks about (`scientific`), what it only has to tune (`nuisance`) and what it holds still
            (`fixed`), as lists of keys.
        seed: what all seeds are derived from; null draws one.
        seed_key: the configuration key that is given each trial's seed, if any.
        threads_key: the configuration key that is given each trial's number of threads, if any.
        identity_excludes: keys that may change without making it another study.
        not_comparable: why the trials of the study cannot be compared by their values, if they cannot: a mark that
            everything it writes bears, and keeps.
        export: the name under which the best configuration is exported at the end, if at all.
        report: whether the report is made at the end: some seconds, and pictures.
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
    n_agents: int = 1
    timeout: float | None = None
    patience: int | None = None
    trial_timeout: float | None = None
    trial_memory: float | None = None
    max_retries: int = 3
    max_failure_rate: float = 0.5
    recycle_after: int = 50
    recycle_memory: float | None = None
    repeat: bool = False
    if_changed: str = "refuse"
    enqueue: list[Any] = field(default_factory=list)
    baselines: dict[str, Any] = field(default_factory=dict)
    compared_by: list[str] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    search_space: Any = None
    custom_search_space: str | None = None
    when: dict[str, Any] = field(default_factory=dict)
    constraints: list[str] = field(default_factory=list)
    roles: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    seed_key: str | None = None
    threads_key: str | None = None
    identity_excludes: list[str] = field(default_factory=list)
    not_comparable: str | None = None
    export: str | None = None
    report: bool = False
    tracking: TrackingSettings = field(default_factory=TrackingSettings)


def register(target: str) -> None:
    """Stores `hydra/sweeper=optuna` and its groups. `target` is the plugin class, which only the door may define."""
    store = ConfigStore.instance().store
    provider = "sweep"
    store(group="hydra/sweeper", name="optuna", node=Settings(_target_=target), provider=provider)
    for name, sampler in SAMPLERS.items():
        store(group="hydra/sweeper/sampler", name=name, node=sampler, provider=provider)
    for name, pruner in PRUNERS.items():
        store(group="hydra/sweeper/pruner", name=name, node=pruner, provider=provider)
