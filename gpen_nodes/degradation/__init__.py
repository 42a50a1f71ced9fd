"""How photographs of faces go bad: blur, motion, few pixels, noise, JPEG, wrong colours.

One recipe serves the node, the command and the training set.
"""

from __future__ import annotations

from .recipe import EVALUATION_RECIPE, DegradationRecipe, DegradationValues
from .steps import apply_degradation, degrade

__all__ = ["EVALUATION_RECIPE", "DegradationRecipe", "DegradationValues", "apply_degradation", "degrade"]
