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

from conf.networks import DenseConfig, GatedConfig, ModelConfig, ResidualConfig
from conf.optimizers import AdamConfig, LionConfig, OptimizerConfig, RmspropConfig, SgdConfig
from conf.require import require
from data import rules
from data.matrices import MINIMUM_ACCEPTANCE, Determinant, acceptance
from data.targets import Compression, Target

POOL_BYTES = 2**32
"""What a pool's matrices and inverses may take."""


class Loss(Enum):
    """Losses that training can minimise. All but the last two are of trained units, entry by entry."""

    mse = "mse"
    mae = "mae"
    huber = "huber"
    log_cosh = "log_cosh"
    relative = "relative"
    residual = "residual"


class Precision(Enum):
    """Keras's dtype policies: in which numbers a network computes. Labels, output, loss and measures stay float32."""

    float32 = "float32"
    mixed_bfloat16 = "mixed_bfloat16"


class Direction(Enum):
    """Whether a smaller or a larger objective is the better one."""

    minimize = "minimize"
    maximize = "maximize"


class LogModel(Enum):
    """Whose models are logged to MLflow: that of the trial which leads its study, those of all, or none."""

    best = "best"
    all = "all"
    none = "none"


class Decay(Enum):
    """How the learning rate goes from its peak to the end of training."""

    constant = "constant"
    cosine = "cosine"
    linear = "linear"
    exponential = "exponential"


def _check_matrices(room: str, size: int, entry_range: list[float], determinant: Determinant) -> None:
    require(size >= 2, f"{room}.matrix_size", size, "an integer of at least 2")
    pair = len(entry_range) == 2 and all(map(math.isfinite, entry_range)) and entry_range[0] < entry_range[1]
    require(pair, f"{room}.entry_range", list(entry_range), "a pair [low, high] of finite numbers with low < high")
    try:
        rule = rules.named(determinant.rule)
    except ValueError as error:
        raise ValueError(f"{room}.{error}") from error
    value = determinant.value
    require(rule.accepts(value), f"{room}.determinant.value", value, f"{rule.allowed} with rule {determinant.rule}")
    bounds = (entry_range[0], entry_range[1])
    held = acceptance(size, bounds, Determinant("none", 0.0)) >= MINIMUM_ACCEPTANCE
    received = f"{list(entry_range)} with matrices of size {size}"
    require(held, f"{room}.entry_range", received, "entries whose determinants float32 can hold")
    share = acceptance(size, bounds, determinant)
    require(
        share >= MINIMUM_ACCEPTANCE,
        f"{room}.determinant.value",
        f"{value}, which keeps {share:.2%} of matrices with entries in {list(entry_range)}",
        f"a value that keeps at least {MINIMUM_ACCEPTANCE:.1%}",
    )


@dataclass
class DataConfig:
    """What is trained on: n×n matrices, endless or a pool of `num_samples`, and what is to be predicted of them."""

    matrix_size: int = 3
    entry_range: list[float] = field(default_factory=lambda: [-2.0, 2.0])
    determinant: Determinant = field(default_factory=Determinant)
    target: Target = Target.inverse
    target_scale: float = 5.0
    compression: Compression = Compression.none
    input_norm: bool = False
    num_samples: int | None = None
    validation_split: float = 0.0

    def __post_init__(self) -> None:
        _check_matrices("data", self.matrix_size, self.entry_range, self.determinant)
        ok = math.isfinite(self.target_scale) and self.target_scale > 0
        require(ok, "data.target_scale", self.target_scale, "a number above 0")
        count, split = self.num_samples, self.validation_split
        require(count is None or count >= 1, "data.num_samples", count, "null (endless) or an integer of at least 1")
        require(0 <= split < 1, "data.validation_split", split, "a share from 0 to below 1")
        if count is None:
            require(split == 0, "data.validation_split", split, "0, as the stream is endless (data.num_samples=null)")
        else:
            most = POOL_BYTES // (8 * self.matrix_size**2)
            require(count <= most, "data.num_samples", count, f"at most {most}: a pool is kept in memory")
            held_out = round(count * split)
            allowed = f"0, or a share that holds out some of {count} and leaves some to train on"
            require(held_out < count and (held_out > 0 or split == 0), "data.validation_split", split, allowed)


@dataclass
class EvaluationConfig:
    """What every trial is judged on: one frozen set in original units. Never interpolated from `data`.

    With `refine` above 0 the predictions are judged a second time, after as many Newton-Schulz steps, apart from the
    raw ones: as val/refined_….
    """

    matrix_size: int = 3
    entry_range: list[float] = field(default_factory=lambda: [-2.0, 2.0])
    determinant: Determinant = field(default_factory=Determinant)
    target: Target = Target.inverse
    size: int = 100_000
    seed: int = 2024
    refine: int = 0

    def __post_init__(self) -> None:
        _check_matrices("evaluation", self.matrix_size, self.entry_range, self.determinant)
        require(self.size >= 1, "evaluation.size", self.size, "an integer of at least 1")
        require(self.seed >= 0, "evaluation.seed", self.seed, "an integer of at least 0")
        require(self.refine >= 0, "evaluation.refine", self.refine, "an integer of at least 0")
        inverse = self.target is Target.inverse
        require(inverse or not self.refine, "evaluation.refine", self.refine, "0, as only inverses can be refined")


@dataclass
class ScheduleConfig:
    """Linear warm-up from 0 over the share `warmup` of all steps, then `decay` to the share `final` of the peak."""

    decay: Decay = Decay.constant
    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.warmup < 1, "schedule.warmup", self.warmup, "a share of the steps from 0 to below 1")
        require(0 <= self.final <= 1, "schedule.final", self.final, "a share of the learning rate from 0 to 1")
        falls = self.decay is not Decay.exponential or self.final > 0
        require(falls, "schedule.final", self.final, "above 0 with exponential decay, which never comes to 0")


@dataclass
class TrainConfig:
    """How long, in which batches and towards which loss a trial trains."""

    batch_size: int = 1024
    max_steps: int | None = 2000
    epochs: int | None = None
    validate_every: int = 200
    patience: int | None = None
    loss: Loss = Loss.mse
    precision: Precision = Precision.float32
    checkpoint_every: int | None = None
    resume: str | None = None
    steps_per_execution: int = 50
    jit_compile: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        for key in ("batch_size", "validate_every", "steps_per_execution"):
            require(getattr(self, key) >= 1, f"train.{key}", getattr(self, key), "an integer of at least 1")
        optional = {
            "max_steps": "where train.epochs counts",
            "epochs": "where train.max_steps counts",
            "patience": "no early stop",
            "checkpoint_every": "no checkpoints",
            "threads": "all there are",
        }
        for key, meaning in optional.items():
            value = getattr(self, key)
            allowed = f"null ({meaning}) or an integer of at least 1"
            require(value is None or value >= 1, f"train.{key}", value, allowed)
        steps, epochs = self.max_steps, self.epochs
        require(
            steps is not None or epochs is not None, "train.max_steps", steps, "an integer, as train.epochs is null"
        )
        require(
            steps is None or epochs is None, "train.epochs", epochs, f"null, or train.max_steps=null (it is {steps})"
        )


@dataclass
class ObjectiveConfig:
    """The number that a study optimises, at its best validation: a measure in original units, or a loss.

    Losses (train/loss, val/loss) are in the units that the network is trained in.
    """

    metric: str = "val/log10_rel_error"
    direction: Direction = Direction.minimize


@dataclass
class TrackingConfig:
    """Where MLflow keeps runs (`uri`; null tracks nothing), under which of its experiments, and whose models."""

    uri: str | None = None
    experiment: str = "sweep"
    log_model: LogModel = LogModel.best


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
class ExpectsConfig:
    """What a run of an exported configuration is compared with at its end; it changes nothing of the run.

    Attributes:
        of: the trial, in words.
        metric: its objective.
        value: what it was.
        configuration: names the configuration: see `sweep.results.expectation.digest`.
        evaluation: names what it was judged on.
        made_with: commit, versions and processor.
    """

    of: str = MISSING
    metric: str = MISSING
    value: float = MISSING
    configuration: str = MISSING
    evaluation: str | None = None
    made_with: dict[str, str] = field(default_factory=dict)


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
    expects: ExpectsConfig | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "an integer of at least 0")
        mine, judge = self.data.matrix_size, self.evaluation.matrix_size
        require(mine == judge, "evaluation.matrix_size", judge, f"data.matrix_size, which is {mine}")
        target, judged = self.data.target, self.evaluation.target
        require(target is judged, "evaluation.target", judged.name, f"data.target, which is {target.name}")
        finite = self.data.num_samples is not None
        require(
            finite or self.train.epochs is None, "train.epochs", self.train.epochs, "null, as the stream is endless"
        )
        solvable = self.train.loss is not Loss.residual or target is Target.inverse
        require(solvable, "train.loss", "residual", f"another one, as data.target is {target.name}")


def register() -> None:
    """Makes the schemas known to Hydra, under the names that the YAML files list as their first default.

    They are in a group of their own, so that `glob(*)` over a group meets only what can be chosen.
    """
    store = ConfigStore.instance().store
    store(name="schema", node=Config)
    schemas: dict[str, dict[str, type]] = {
        "schema/model": {"base": ModelConfig, "dense": DenseConfig, "residual": ResidualConfig, "gated": GatedConfig},
        "schema/optimizer": {
            "base": OptimizerConfig,
            "adam": AdamConfig,
            "lion": LionConfig,
            "rmsprop": RmspropConfig,
            "sgd": SgdConfig,
        },
        "schema": {
            "data": DataConfig,
            "schedule": ScheduleConfig,
            "train": TrainConfig,
            "evaluation": EvaluationConfig,
            "objective": ObjectiveConfig,
            "tracking": TrackingConfig,
            "storage": StorageConfig,
        },
    }
    for group, nodes in schemas.items():
        for name, node in nodes.items():
            store(group=group, name=name, node=node)


register()
