"""The group `hydra/sweeper/sampler`: Optuna's samplers, with Optuna's own keys and defaults.

Nothing of Optuna is loaded: Hydra reads these whenever any application starts. A seed of null is the study's doing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class TPESampler:
    """Tree-structured Parzen estimator: the default. A `group` of null is true where parameters are conditional."""

    _target_: str = "optuna.samplers.TPESampler"
    consider_prior: bool | None = None
    prior_weight: float | None = None
    consider_magic_clip: bool | None = None
    consider_endpoints: bool | None = None
    n_startup_trials: int = 10
    n_ei_candidates: int = 24
    gamma: Any = None
    weights: Any = None
    seed: int | None = None
    multivariate: bool | None = None
    group: bool | None = None
    warn_independent_sampling: bool | None = None
    constant_liar: bool = True
    constraints_func: Any = None


@dataclass
class MOTPESampler(TPESampler):
    """The multi-objective TPE of hydra-optuna-sweeper, which has long been TPE itself; its last key is gone."""

    n_ehvi_candidates: Any = None


@dataclass
class RandomSampler:
    """Independent uniform draws."""

    _target_: str = "optuna.samplers.RandomSampler"
    seed: int | None = None


@dataclass
class CmaEsSampler:
    """Covariance matrix adaptation evolution strategy, for numbers."""

    _target_: str = "optuna.samplers.CmaEsSampler"
    x0: Any = None
    sigma0: float | None = None
    n_startup_trials: int = 1
    independent_sampler: Any = None
    warn_independent_sampling: bool = True
    seed: int | None = None
    consider_pruned_trials: bool = False
    restart_strategy: str | None = None
    popsize: int | None = None
    inc_popsize: int = -1
    use_separable_cma: bool = False
    with_margin: bool = False
    lr_adapt: bool = False
    source_trials: Any = None


@dataclass
class GPSampler:
    """Bayesian optimization with a Gaussian process; needs torch."""

    _target_: str = "optuna.samplers.GPSampler"
    seed: int | None = None
    independent_sampler: Any = None
    n_startup_trials: int = 10
    deterministic_objective: bool = False
    constraints_func: Any = None
    warn_independent_sampling: bool = True


@dataclass
class NSGAIISampler:
    """Non-dominated sorting genetic algorithm II, for several objectives."""

    _target_: str = "optuna.samplers.NSGAIISampler"
    population_size: int = 50
    mutation: Any = None
    mutation_prob: float | None = None
    crossover: Any = None
    crossover_prob: float = 0.9
    swapping_prob: float = 0.5
    seed: int | None = None
    constraints_func: Any = None
    elite_population_selection_strategy: Any = None
    child_generation_strategy: Any = None
    after_trial_strategy: Any = None


@dataclass
class NSGAIIISampler:
    """Non-dominated sorting genetic algorithm III, for many objectives."""

    _target_: str = "optuna.samplers.NSGAIIISampler"
    population_size: int = 50
    mutation: Any = None
    mutation_prob: float | None = None
    crossover: Any = None
    crossover_prob: float = 0.9
    swapping_prob: float = 0.5
    seed: int | None = None
    constraints_func: Any = None
    reference_points: Any = None
    dividing_parameter: int = 3
    elite_population_selection_strategy: Any = None
    child_generation_strategy: Any = None
    after_trial_strategy: Any = None


@dataclass
class QMCSampler:
    """Quasi-Monte Carlo sequences; the study's seed is shared by its agents, so that no warning is wanted."""

    _target_: str = "optuna.samplers.QMCSampler"
    qmc_type: str = "sobol"
    scramble: bool = False
    seed: int | None = None
    independent_sampler: Any = None
    warn_asynchronous_seeding: Any = False
    warn_independent_sampling: bool = True


@dataclass
class GridSampler:
    """Every point of a discrete space, once, in an order of its own. A `search_space` of null is the study's."""

    _target_: str = "optuna.samplers.GridSampler"
    search_space: Any = None
    seed: int | None = None


@dataclass
class BruteForceSampler:
    """Every point of a discrete space, also of a conditional one."""

    _target_: str = "optuna.samplers.BruteForceSampler"
    seed: int | None = None
    avoid_premature_stop: bool = False


@dataclass
class PartialFixedSampler:
    """Some parameters fixed (`fixed_params`, by key), the others by another sampler."""

    _target_: str = "optuna.samplers.PartialFixedSampler"
    fixed_params: Any = None
    base_sampler: Any = "tpe"


SAMPLERS: dict[str, type] = {
    "tpe": TPESampler,
    "motpe": MOTPESampler,
    "random": RandomSampler,
    "cmaes": CmaEsSampler,
    "gp": GPSampler,
    "nsgaii": NSGAIISampler,
    "nsgaiii": NSGAIIISampler,
    "qmc": QMCSampler,
    "grid": GridSampler,
    "brute_force": BruteForceSampler,
    "partial_fixed": PartialFixedSampler,
}
"""By their names in the group."""
