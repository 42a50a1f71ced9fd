"""Named recipes for a table: at which size, how aligned, how degraded, from which seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..degradation import EVALUATION_RECIPE, DegradationRecipe
from ..degradation.recipe import fixed_recipe
from ..degradation.steps import Enlarging

__all__ = ["PROTOCOLS", "Protocol"]


@dataclass(frozen=True)
class Protocol:
    """How faces become figures.

    Attributes:
        about: which faces it is meant for, and what is done to them.
        size: side in pixels at which faces are degraded and compared.
        levels: a recipe for each row of the table; None takes the faces as they are, without a truth.
        template: what the faces are aligned to.
        seed: of the degradation; each face has draws of its own, by its name.
        enlarge: how the small image is brought back to its size.
    """

    about: str
    size: int
    levels: Mapping[str, DegradationRecipe | None]
    template: str = "gpen"
    seed: int = 0
    enlarge: Enlarging = "linear"


_LEVELS = MappingProxyType(
    {
        "mild": fixed_recipe(2, 0.75, 5, 80),
        "medium": EVALUATION_RECIPE,
        "strong": fixed_recipe(8, 3, 20, 35),
    }
)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "portraits-256": Protocol("good portraits, three fixed degradations at 256 px", 256, _LEVELS),
        "portraits-512": Protocol("good portraits, three fixed degradations at 512 px", 512, _LEVELS),
        "held-out-512": Protocol(
            "faces of people whom no model has seen, three fixed degradations at 512 px, enlarged by cubic "
            "interpolation",
            512,
            MappingProxyType(
                {
                    "mild": fixed_recipe(2, 1, 4, 85),
                    "medium": fixed_recipe(4, 2, 10, 60),
                    "strong": fixed_recipe(8, 4, 18, 40),
                }
            ),
            enlarge="cubic",
        ),
        "celeba-hq": Protocol(
            "CelebA-HQ or FFHQ faces of 512 px, each degraded in its own way over the documented ranges",
            512,
            MappingProxyType({"drawn": DegradationRecipe()}),
            "ffhq",
        ),
        "lfw": Protocol(
            "faces as the world has them, aligned as FFHQ, without truth: LFW-Test, WebPhoto-Test, "
            "CelebChild-Test",
            512,
            MappingProxyType({"as it is": None}),
            "ffhq",
        ),
    }
)
