"""The network: its description and layers, how it is built, grown, and folded for inference."""

from .config import DiscriminatorConfig, GpenConfig
from .discriminator import Discriminator
from .fold import FoldedGpen, fold
from .growing import grow
from .network import Gpen, load_strictly

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "FoldedGpen",
    "Gpen",
    "GpenConfig",
    "fold",
    "grow",
    "load_strictly",
]
