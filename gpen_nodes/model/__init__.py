"""The network: its description and layers, how it is built, grown, and folded for inference."""

from .config import DiscriminatorConfig, GpenConfig
from .discriminator import Discriminator
from .fold import FoldedGpen, fold
from .graphs import GraphedGpen, has_graphs
from .growing import grow
from .network import Gpen, check_fit
from .stylegan2 import Inheritance, init_from_stylegan2
from .widening import widen

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "FoldedGpen",
    "Gpen",
    "GpenConfig",
    "GraphedGpen",
    "Inheritance",
    "check_fit",
    "fold",
    "grow",
    "has_graphs",
    "init_from_stylegan2",
    "widen",
]
