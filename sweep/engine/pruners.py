"""The group `hydra/sweeper/pruner`: Optuna's pruners, with Optuna's own keys and defaults.

Nothing of Optuna is loaded: Hydra reads these whenever any application starts. Percentile and patience, which have no
default there, are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class MedianPruner:
    """Stops a trial whose best value so far is worse than the median of the others at the same step."""

    _target_: str = "optuna.pruners.MedianPruner"
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class PercentilePruner:
    """Stops a trial whose best value so far is not among the best `percentile` percent at the same step."""

    _target_: str = "optuna.pruners.PercentilePruner"
    percentile: Any = 25.0
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class SuccessiveHalvingPruner:
    """Asynchronous successive halving (ASHA)."""

    _target_: str = "optuna.pruners.SuccessiveHalvingPruner"
    min_resource: Any = "auto"
    reduction_factor: int = 4
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0


@dataclass
class HyperbandPruner:
    """Hyperband: several brackets of successive halving."""

    _target_: str = "optuna.pruners.HyperbandPruner"
    min_resource: int = 1
    max_resource: Any = "auto"
    reduction_factor: int = 3
    bootstrap_count: int = 0


@dataclass
class PatientPruner:
    """Stops a trial that has not improved for `patience` steps, if `wrapped_pruner` would stop it too."""

    _target_: str = "optuna.pruners.PatientPruner"
    wrapped_pruner: Any = None
    patience: Any = 5
    min_delta: float = 0.0


@dataclass
class ThresholdPruner:
    """Stops a trial whose value is out of bounds."""

    _target_: str = "optuna.pruners.ThresholdPruner"
    lower: float | None = None
    upper: float | None = None
    n_warmup_steps: int = 0
    interval_steps: int = 1


@dataclass
class WilcoxonPruner:
    """Stops a trial that a signed-rank test finds worse than the best, step by step."""

    _target_: str = "optuna.pruners.WilcoxonPruner"
    p_threshold: float = 0.1
    n_startup_steps: int = 2


@dataclass
class NopPruner:
    """Lets every trial run to its end."""

    _target_: str = "optuna.pruners.NopPruner"


PRUNERS: dict[str, type] = {
    "median": MedianPruner,
    "percentile": PercentilePruner,
    "successive_halving": SuccessiveHalvingPruner,
    "hyperband": HyperbandPruner,
    "patient": PatientPruner,
    "threshold": ThresholdPruner,
    "wilcoxon": WilcoxonPruner,
    "none": NopPruner,
}
"""By their names in the group."""
