"""The trainable network: its description and its layers.

``growing``, ``widening`` and ``stylegan2`` make one network of another, and load when they are asked for.
"""

from .config import DiscriminatorConfig, GpenConfig
from .discriminator import Discriminator
from .network import Gpen, check_fit

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "Gpen",
    "GpenConfig",
    "check_fit",
]
