"""The network: its description, its layers, how it is built and how it grows."""

from .config import DiscriminatorConfig, GpenConfig
from .discriminator import Discriminator
from .growing import grow
from .network import Gpen, load_strictly

__all__ = ["Discriminator", "DiscriminatorConfig", "Gpen", "GpenConfig", "grow", "load_strictly"]
