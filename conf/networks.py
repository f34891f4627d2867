"""Keys and bounds of the networks: what all of them have, and what each adds."""

from dataclasses import dataclass

from omegaconf import MISSING

from conf.require import require
from models.activations import ACTIVATIONS
from models.norms import NORMS


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
class DenseConfig(ModelConfig):
    """Adds skip connections and normalisation."""

    skip: bool = False
    norm: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.norm in NORMS, "model.norm", self.norm, f"one of {', '.join(NORMS)}")


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
class GatedConfig(ModelConfig):
    """Adds the width of the gates, in widths, and layer normalisation."""

    activation: str = "silu"
    expansion: int = 2
    layer_norm: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.expansion >= 1, "model.expansion", self.expansion, "an integer of at least 1")
