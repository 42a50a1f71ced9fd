"""The network: its description and layers, how it is built, grown, and folded for inference."""

from .config import DiscriminatorConfig, GpenConfig
from .discriminator import Discriminator
from .fold import FoldedGpen, fold
from .growing import grow
from .network import Gpen, load_strictly
from .stylegan2 import Inheritance, init_from_stylegan2

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "FoldedGpen",
    "Gpen",
    "GpenConfig",
    "Inheritance",
    "fold",
    "grow",
    "init_from_stylegan2",
    "load_strictly",
]
