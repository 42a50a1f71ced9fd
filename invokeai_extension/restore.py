"""All steps in one node."""
# pyright: reportMissingImports=false

from invokeai.invocation_api import (
    BaseInvocation,
    ImageField,
    InputField,
    InvocationContext,
    OutputField,
    WithBoard,
    WithMetadata,
    invocation,
    invocation_output,
)

from gpen_nodes import restore_image

from .host import load_model
from .images import load_image, load_mask, save_image, save_mask
from .inputs import (
    AlignInputs,
    DetectInputs,
    JudgeInputs,
    ModelInputs,
    PasteInputs,
    SelectInputs,
    options_of,
)
from .models import find_model
from .steps import CATEGORY, TAGS, GpenPastedOutput

__all__ = ["GpenRestoreFacesInvocation"]

OPTIONS = (DetectInputs, SelectInputs, AlignInputs, JudgeInputs, PasteInputs)


@invocation_output("gpen_restored_output")
class GpenRestoredOutput(GpenPastedOutput):
    """An image with restored faces"""

    report: str = OutputField(description="What became of each face")


# The names by which people look for such a node stand here alone.
@invocation(
    "gpen_restore_faces",
    title="Restore Faces (GPEN)",
    tags=[*TAGS, "face enhance", "fix faces", "GFPGAN", "CodeFormer", "RestoreFormer"],
    category=CATEGORY,
    version="1.0.0",
)
class GpenRestoreFacesInvocation(BaseInvocation, WithMetadata, WithBoard, *OPTIONS, ModelInputs):
    """Restores the faces of an image: finds, aligns, restores and judges them, and pastes them back"""

    image: ImageField = InputField(description="Without a face it comes back unchanged", ui_order=0)
    mask: ImageField | None = InputField(
        default=None, description="White is where faces may change", ui_order=1
    )

    def invoke(self, context: InvocationContext) -> GpenRestoredOutput:
        image = load_image(context, self.image)
        model, host = load_model(context, find_model(self.model_name), self.dtype)
        allowed = load_mask(context, self.mask, image)
        result = restore_image(image, model, host=host, mask=allowed, **options_of(self, *OPTIONS))
        saved, mask = save_image(context, result.image), save_mask(context, result.mask)
        return GpenRestoredOutput(
            image=ImageField(image_name=saved.image_name),
            width=saved.width,
            height=saved.height,
            mask=mask,
            report=result.text,
        )
