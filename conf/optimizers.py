"""Keys and bounds of the optimizers: Keras's own names and defaults."""

import math
from dataclasses import dataclass

from omegaconf import MISSING

from conf.require import require


@dataclass
class OptimizerConfig:
    """What every Keras optimizer has. The schedule replaces `learning_rate` by its curve when it is built.

    With `use_ema` the weights are averaged over the steps (`ema_momentum` is what is left of the average after each),
    and the network is judged and saved with the averages; a batch normalisation keeps its own running statistics.
    """

    _target_: str = MISSING
    learning_rate: float = 1e-3
    weight_decay: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99

    def __post_init__(self) -> None:
        rate, decay, clip = self.learning_rate, self.weight_decay, self.global_clipnorm
        require(math.isfinite(rate) and rate > 0, "optimizer.learning_rate", rate, "a number above 0")
        ok = decay is None or (math.isfinite(decay) and decay >= 0)
        require(ok, "optimizer.weight_decay", decay, "null (none) or a number of at least 0")
        ok = clip is None or (math.isfinite(clip) and clip > 0)
        require(ok, "optimizer.global_clipnorm", clip, "null (no clipping) or a number above 0")
        _share("ema_momentum", self.ema_momentum)


@dataclass
class AdamConfig(OptimizerConfig):
    """Adam and its relatives: AdamW, Adamax, Nadam, Lamb."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        _share("beta_1", self.beta_1)
        _share("beta_2", self.beta_2)
        _positive("epsilon", self.epsilon)


@dataclass
class LionConfig(OptimizerConfig):
    """Lion."""

    beta_1: float = 0.9
    beta_2: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        # Keras itself refuses a beta_1 of 0.
        require(0 < self.beta_1 < 1, "optimizer.beta_1", self.beta_1, "a number above 0 and below 1")
        _share("beta_2", self.beta_2)


@dataclass
class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent, with momentum if it is above 0."""

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum <= 1, "optimizer.momentum", self.momentum, "a number from 0 to 1")


@dataclass
class RmspropConfig(OptimizerConfig):
    """RMSprop."""

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        _share("rho", self.rho)
        _share("momentum", self.momentum)
        _positive("epsilon", self.epsilon)


def _share(key: str, value: float) -> None:
    require(0 <= value < 1, f"optimizer.{key}", value, "a number from 0 to below 1")


def _positive(key: str, value: float) -> None:
    require(math.isfinite(value) and value > 0, f"optimizer.{key}", value, "a number above 0")
