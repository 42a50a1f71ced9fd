"""The network: its description and layers, how it is built, grown, and folded for inference."""

from .config import DiscriminatorConfig, GpenConfig
from .discriminator import Discriminator
from .fold import FoldedGpen, fold
from .growing import grow
from .network import Gpen, check_fit
from .stylegan2 import Inheritance, init_from_stylegan2

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "FoldedGpen",
    "Gpen",
    "GpenConfig",
    "Inheritance",
    "check_fit",
    "fold",
    "grow",
    "init_from_stylegan2",
]
