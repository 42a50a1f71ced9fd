"""Good images made bad, to try restoring on."""
# pyright: reportMissingImports=false

from typing import Any, Literal

import torch
from invokeai.invocation_api import (
    SEED_MAX,
    BaseInvocation,
    ImageField,
    ImageOutput,
    InputField,
    InvocationContext,
    OutputField,
    WithBoard,
    WithMetadata,
    invocation,
    invocation_output,
)

from gpen_nodes import EVALUATION_RECIPE, DegradationRecipe, degrade

from .images import load_image, save_image
from .inputs import RecipeInputs, recipe_ranges
from .steps import CATEGORY

__all__ = ["GpenDegradeInvocation"]


@invocation_output("gpen_degraded_output")
class GpenDegradedOutput(ImageOutput):
    """A degraded image"""

    values: str = OutputField(description="What was done")


@invocation(
    "gpen_degrade",
    title="Degrade Image (GPEN)",
    tags=["degrade", "blur", "noise", "JPEG artifacts", "GPEN"],
    category=CATEGORY,
    version="1.0.0",
)
class GpenDegradeInvocation(BaseInvocation, WithMetadata, WithBoard, RecipeInputs):
    """Blurs, shrinks, adds noise and compresses, the same way for the same seed"""

    image: ImageField = InputField(description="Keeps its size and its alpha", ui_order=0)
    seed: int = InputField(default=0, ge=0, le=SEED_MAX, description="Decides on all draws", ui_order=1)
    recipe: Literal["random", "evaluation"] = InputField(
        default="random", description="evaluation is always ×4, blur σ 1.5, noise σ 12.5, JPEG 55", ui_order=2
    )

    def invoke(self, context: InvocationContext) -> GpenDegradedOutput:
        recipe = EVALUATION_RECIPE
        if self.recipe == "random":
            ranges: Any = recipe_ranges(self)
            recipe = DegradationRecipe(**ranges)
        image = load_image(context, self.image)
        degraded, drawn = degrade(image, recipe, torch.Generator().manual_seed(self.seed))
        saved = save_image(context, degraded)
        picture = ImageField(image_name=saved.image_name)
        return GpenDegradedOutput(image=picture, width=saved.width, height=saved.height, values=str(drawn[0]))
