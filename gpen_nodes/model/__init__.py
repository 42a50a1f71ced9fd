"""The trainable network: its description and layers, how it is built and grown."""

from .config import DiscriminatorConfig, GpenConfig
from .discriminator import Discriminator
from .growing import grow
from .network import Gpen, check_fit
from .stylegan2 import Inheritance, init_from_stylegan2
from .widening import widen

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "Gpen",
    "GpenConfig",
    "Inheritance",
    "check_fit",
    "grow",
    "init_from_stylegan2",
    "widen",
]
