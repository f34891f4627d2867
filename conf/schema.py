"""Keys, types and bounds of every configuration group.

YAML gives values, these dataclasses say which keys exist, of which type, within which bounds. Hydra checks keys and
types while it composes; the bounds are checked by `__post_init__`, that is, by `OmegaConf.to_object(cfg)`, which
`check` calls before anything is created. Every error names the key, what was received and what is allowed.
"""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from data.matrices import MINIMUM_ACCEPTANCE, Determinant, acceptance
from models.activations import ACTIVATIONS


class Loss(Enum):
    """Losses that training can minimise, on scaled targets."""

    mse = "mse"
    mae = "mae"
    huber = "huber"


class Direction(Enum):
    """Whether a smaller or a larger objective is the better one."""

    minimize = "minimize"
    maximize = "maximize"


def require(ok: bool, key: str, received: object, allowed: str) -> None:
    """Raises ValueError with the one form that all errors of values have."""
    if not ok:
        raise ValueError(f"{key}: got {received}, allowed is {allowed}")


def _check_matrices(room: str, size: int, entry_range: list[float], determinant: Determinant) -> None:
    require(size >= 2, f"{room}.matrix_size", size, "an integer of at least 2")
    pair = len(entry_range) == 2 and all(map(math.isfinite, entry_range)) and entry_range[0] < entry_range[1]
    require(pair, f"{room}.entry_range", list(entry_range), "a pair [low, high] of finite numbers with low < high")
    threshold = determinant.value
    require(
        math.isfinite(threshold) and threshold >= 0, f"{room}.determinant.value", threshold, "a number of at least 0"
    )
    share = acceptance(size, (entry_range[0], entry_range[1]), determinant)
    require(
        share >= MINIMUM_ACCEPTANCE,
        f"{room}.determinant.value",
        f"{threshold}, which keeps {share:.2%} of matrices with entries in {list(entry_range)}",
        f"a threshold that keeps at least {MINIMUM_ACCEPTANCE:.1%}",
    )


@dataclass
class DataConfig:
    """What is trained on: endless n×n matrices and their inverses, divided by `target_scale`."""

    matrix_size: int = 3
    entry_range: list[float] = field(default_factory=lambda: [-2.0, 2.0])
    determinant: Determinant = field(default_factory=Determinant)
    target_scale: float = 5.0

    def __post_init__(self) -> None:
        _check_matrices("data", self.matrix_size, self.entry_range, self.determinant)
        ok = math.isfinite(self.target_scale) and self.target_scale > 0
        require(ok, "data.target_scale", self.target_scale, "a number above 0")


@dataclass
class EvaluationConfig:
    """What every trial is judged on: one frozen set in original units. Never interpolated from `data`."""

    matrix_size: int = 3
    entry_range: list[float] = field(default_factory=lambda: [-2.0, 2.0])
    determinant: Determinant = field(default_factory=Determinant)
    size: int = 100_000
    seed: int = 2024

    def __post_init__(self) -> None:
        _check_matrices("evaluation", self.matrix_size, self.entry_range, self.determinant)
        require(self.size >= 1, "evaluation.size", self.size, "an integer of at least 1")
        require(self.seed >= 0, "evaluation.seed", self.seed, "an integer of at least 0")


@dataclass
class ModelConfig:
    """What every network has. A network with further keys extends this class, or comes as YAML alone."""

    _target_: str = MISSING
    depth: int = MISSING
    width: int = MISSING
    activation: str = "relu"

    def __post_init__(self) -> None:
        require(self.depth >= 0, "model.depth", self.depth, "an integer of at least 0")
        require(self.width >= 1, "model.width", self.width, "an integer of at least 1")
        known = self.activation in ACTIVATIONS
        require(known, "model.activation", self.activation, f"one of {', '.join(ACTIVATIONS)}")


@dataclass
class ResidualConfig(ModelConfig):
    """Adds the two sizes that `models.residual` does not take from depth and width."""

    stem_width: int = 128
    layers_per_block: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.stem_width >= 1, "model.stem_width", self.stem_width, "an integer of at least 1")
        require(self.layers_per_block >= 1, "model.layers_per_block", self.layers_per_block, "an integer of at least 1")


@dataclass
class OptimizerConfig:
    """A Keras optimizer; the schedule replaces `learning_rate` by its curve when the optimizer is built."""

    _target_: str = MISSING
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        ok = math.isfinite(self.learning_rate) and self.learning_rate > 0
        require(ok, "optimizer.learning_rate", self.learning_rate, "a number above 0")


@dataclass
class AdamConfig(OptimizerConfig):
    """Adam, with the defaults of Keras."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.beta_1 < 1, "optimizer.beta_1", self.beta_1, "a number from 0 to below 1")
        require(0 <= self.beta_2 < 1, "optimizer.beta_2", self.beta_2, "a number from 0 to below 1")
        require(self.epsilon > 0, "optimizer.epsilon", self.epsilon, "a number above 0")


class Decay(Enum):
    """How the learning rate goes from its peak to the end of training."""

    constant = "constant"
    cosine = "cosine"


@dataclass
class ScheduleConfig:
    """Linear warm-up from 0 over the share `warmup` of all steps, then `decay` to the share `final` of the peak."""

    decay: Decay = Decay.constant
    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.warmup < 1, "schedule.warmup", self.warmup, "a share of the steps from 0 to below 1")
        require(0 <= self.final <= 1, "schedule.final", self.final, "a share of the learning rate from 0 to 1")


@dataclass
class TrainConfig:
    """How long, in which batches and towards which loss a trial trains."""

    batch_size: int = 1024
    max_steps: int = 2000
    validate_every: int = 200
    loss: Loss = Loss.mse
    steps_per_execution: int = 50
    jit_compile: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        for key in ("batch_size", "max_steps", "validate_every", "steps_per_execution"):
            require(getattr(self, key) >= 1, f"train.{key}", getattr(self, key), "an integer of at least 1")
        ok = self.threads is None or self.threads >= 1
        require(ok, "train.threads", self.threads, "null (all there are) or an integer of at least 1")


@dataclass
class ObjectiveConfig:
    """The number that a study optimises: a metric at its best validation, in original units."""

    metric: str = "val/log10_rel_error"
    direction: Direction = Direction.minimize


@dataclass
class TrackingConfig:
    """Where MLflow keeps runs (`uri`; null tracks nothing) and under which of its experiments."""

    uri: str | None = None
    experiment: str = "sweep"


@dataclass
class StorageConfig:
    """Where Optuna keeps a study: null is a journal file in the study's own folder."""

    url: str | None = None


@dataclass
class StudyConfig:
    """Name (the study's folder, and what the other commands call it) and what it is for."""

    name: str = MISSING
    description: str = ""


@dataclass
class PathsConfig:
    """Where things are kept. `root` comes from SWEEP_ROOT, which the command line sets to the checkout."""

    root: str = MISSING
    mlruns: str = MISSING


@dataclass
class Config:
    """The whole configuration of one training run."""

    data: DataConfig = MISSING
    model: Any = MISSING  # any network's YAML: a new network needs no edit here
    optimizer: Any = MISSING  # any Keras optimizer's YAML
    schedule: ScheduleConfig = MISSING
    train: TrainConfig = MISSING
    evaluation: EvaluationConfig = MISSING
    objective: ObjectiveConfig = MISSING
    tracking: TrackingConfig = MISSING
    storage: StorageConfig = MISSING
    study: StudyConfig = MISSING
    paths: PathsConfig = MISSING
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "an integer of at least 0")
        mine, judge = self.data.matrix_size, self.evaluation.matrix_size
        require(mine == judge, "evaluation.matrix_size", judge, f"data.matrix_size, which is {mine}")


def register() -> None:
    """Makes the schemas known to Hydra, under the names that the YAML files list as their first default."""
    store = ConfigStore.instance().store
    store(name="schema", node=Config)
    store(group="data", name="schema", node=DataConfig)
    store(group="model", name="schema", node=ModelConfig)
    store(group="model", name="residual_schema", node=ResidualConfig)
    store(group="optimizer", name="schema", node=OptimizerConfig)
    store(group="optimizer", name="adam_schema", node=AdamConfig)
    store(group="schedule", name="schema", node=ScheduleConfig)
    store(group="train", name="schema", node=TrainConfig)
    store(group="evaluation", name="schema", node=EvaluationConfig)
    store(group="objective", name="schema", node=ObjectiveConfig)
    store(group="tracking", name="schema", node=TrackingConfig)
    store(group="storage", name="schema", node=StorageConfig)


register()
