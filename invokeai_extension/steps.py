"""The five steps as nodes: find, align, restore, judge, paste."""
# Without annotations from __future__, as all files of nodes: the host wants what invoke() returns as a class.
# Its list of classes goes by their names alone, of all packs together: hence the prefix.
# pyright: reportMissingImports=false

from typing import Any

from invokeai.invocation_api import (
    BaseInvocation,
    BaseInvocationOutput,
    BoundingBoxField,
    ImageField,
    ImageOutput,
    Input,
    InputField,
    InvocationContext,
    OutputField,
    WithBoard,
    WithMetadata,
    invocation,
    invocation_output,
)

from gpen_nodes import (
    FaceReport,
    RestoreOptions,
    align_faces,
    draw_faces,
    find_faces,
    find_faces_in_boxes,
    judge_faces,
    paste_back,
    replace_crops,
    restore_faces,
    select_faces,
)

from .faces import (
    GpenAlignedFacesOutput,
    GpenFacesField,
    from_boxes,
    give_aligned,
    keep_faces,
    load_faces,
    to_boxes,
)
from .host import InvokeHost, load_model
from .images import load_crops, load_image, load_mask, save_image, save_mask
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

__all__ = [
    "CATEGORY",
    "TAGS",
    "GpenAlignFacesInvocation",
    "GpenFindFacesInvocation",
    "GpenJudgeFacesInvocation",
    "GpenPasteFacesInvocation",
    "GpenRestoreCropsInvocation",
]

CATEGORY = "face restoration"
TAGS = ["face", "restore", "GPEN"]
THE_IMAGE = "The one in which the faces were found"
EDITED = "The crops as other nodes have edited them, one for each face, in their order"


@invocation_output("gpen_found_faces_output")
class GpenFoundFacesOutput(BaseInvocationOutput):
    """Faces of an image"""

    faces: GpenFacesField = OutputField(description="For the other GPEN nodes")
    report: str = OutputField(description="A line for each face that was found")
    bounding_boxes: list[BoundingBoxField] = OutputField(description="The faces' boxes, for other nodes")
    preview: ImageField = OutputField(description="The image with the faces' boxes, points and numbers")


@invocation(
    "gpen_find_faces", title="Find Faces (GPEN)", tags=[*TAGS, "detect"], category=CATEGORY, version="1.0.0"
)
class GpenFindFacesInvocation(BaseInvocation, WithMetadata, WithBoard, DetectInputs, SelectInputs):
    """Finds the faces of an image, and takes some of them"""

    image: ImageField = InputField(description="Alpha is ignored", ui_order=0)
    mask: ImageField | None = InputField(
        default=None, description="Only faces whose centre lies in the white part are taken", ui_order=1
    )
    bounding_boxes: list[BoundingBoxField] | None = InputField(
        default=None,
        description="Faces that another node has found: this one finds the landmarks in each",
        input=Input.Connection,
        ui_order=2,
    )

    def invoke(self, context: InvocationContext) -> GpenFoundFacesOutput:
        image, host = load_image(context, self.image), InvokeHost(context)
        detect = options_of(self, DetectInputs) | {"smallest": self.min_face}
        if self.bounding_boxes is None:
            found = find_faces(image, host=host, **detect)
        else:
            found = find_faces_in_boxes(image, [from_boxes(self.bounding_boxes)], host=host, **detect)
        mask = load_mask(context, self.mask, image)
        choices = select_faces(found, mask=mask, **options_of(self, SelectInputs))
        faces = [choice.face for choice in choices if choice.selected]
        report = "\n".join(map(str, choices)) or "no face found"
        kept = keep_faces(context, faces, (image.shape[1], image.shape[2]))
        preview = ImageField(image_name=save_image(context, draw_faces(image, faces)).image_name)
        return GpenFoundFacesOutput(
            faces=kept, report=report, bounding_boxes=to_boxes(faces), preview=preview
        )


@invocation(
    "gpen_align_faces", title="Align Faces (GPEN)", tags=[*TAGS, "crop"], category=CATEGORY, version="1.0.0"
)
class GpenAlignFacesInvocation(BaseInvocation, WithMetadata, WithBoard, AlignInputs):
    """Cuts faces out of their image, upright"""

    image: ImageField = InputField(description=THE_IMAGE, ui_order=0)
    faces: GpenFacesField = InputField(description="Found in this image", input=Input.Connection, ui_order=1)
    crop_size: int = InputField(
        default=512, ge=64, le=2048, description="Side of the crops; restoring resizes them for its model"
    )

    def invoke(self, context: InvocationContext) -> GpenAlignedFacesOutput:
        image = load_image(context, self.image)
        faces = load_faces(context, self.faces)
        options = options_of(self, AlignInputs)
        aligned = align_faces(image, faces, self.crop_size, host=InvokeHost(context), **options)
        return give_aligned(context, aligned, self.faces.image_size)


@invocation(
    "gpen_restore_crops",
    title="Restore Aligned Faces (GPEN)",
    tags=[*TAGS, "crop"],
    category=CATEGORY,
    version="1.0.0",
)
class GpenRestoreCropsInvocation(BaseInvocation, WithMetadata, WithBoard, ModelInputs):
    """Restores faces that have been aligned"""

    faces: GpenFacesField = InputField(description="Aligned", input=Input.Connection, ui_order=0)
    crops: list[ImageField] | None = InputField(
        default=None, description=EDITED, input=Input.Connection, ui_order=1
    )

    def invoke(self, context: InvocationContext) -> GpenAlignedFacesOutput:
        faces = load_faces(context, self.faces)
        crops = load_crops(context, self.crops)
        if crops is not None:
            faces = replace_crops(faces, crops)
        model, host = load_model(context, find_model(self.model_name), self.dtype)
        return give_aligned(context, restore_faces(model, faces, host), self.faces.image_size)


@invocation(
    "gpen_judge_faces", title="Judge Restored Faces (GPEN)", tags=TAGS, category=CATEGORY, version="1.0.0"
)
class GpenJudgeFacesInvocation(BaseInvocation, WithMetadata, WithBoard, JudgeInputs):
    """Decides what of the image stays in each restored face, and which are good enough to be pasted"""

    image: ImageField = InputField(description=THE_IMAGE, ui_order=0)
    aligned: GpenFacesField = InputField(
        description="The faces before restoration", input=Input.Connection, ui_order=1
    )
    restored: GpenFacesField = InputField(description="The same after it", input=Input.Connection, ui_order=2)

    def invoke(self, context: InvocationContext) -> GpenAlignedFacesOutput:
        image = load_image(context, self.image)
        aligned: Any = load_faces(context, self.aligned)
        restored: Any = load_faces(context, self.restored)
        options = RestoreOptions().changed(**options_of(self, JudgeInputs))
        verdicts = judge_faces(image, aligned, restored, options)
        reports = [FaceReport(one.face, one.accepted, one.why, said=one.said) for one in verdicts]
        good = [one.face for one in verdicts if one.accepted]
        return give_aligned(context, good, self.aligned.image_size, "\n".join(map(str, reports)))


@invocation_output("gpen_pasted_output")
class GpenPastedOutput(ImageOutput):
    """An image with restored faces"""

    mask: ImageField = OutputField(description="How much of each pixel comes from a restored face")


@invocation(
    "gpen_paste_faces", title="Paste Faces (GPEN)", tags=[*TAGS, "blend"], category=CATEGORY, version="1.0.0"
)
class GpenPasteFacesInvocation(BaseInvocation, WithMetadata, WithBoard, PasteInputs):
    """Pastes faces back into their image"""

    image: ImageField = InputField(description=THE_IMAGE, ui_order=0)
    faces: GpenFacesField = InputField(description="Restored", input=Input.Connection, ui_order=1)
    crops: list[ImageField] | None = InputField(
        default=None, description=EDITED, input=Input.Connection, ui_order=2
    )
    mask: ImageField | None = InputField(
        default=None, description="White is where pasting is allowed", ui_order=3
    )

    def invoke(self, context: InvocationContext) -> GpenPastedOutput:
        image = load_image(context, self.image)
        faces: Any = load_faces(context, self.faces)
        crops = load_crops(context, self.crops)
        if crops is not None:
            faces = replace_crops(faces, crops)
        allowed, host = load_mask(context, self.mask, image), InvokeHost(context)
        pasted, changed = paste_back(image, faces, mask=allowed, host=host, **options_of(self, PasteInputs))
        saved, mask = save_image(context, pasted), save_mask(context, changed)
        picture = ImageField(image_name=saved.image_name)
        return GpenPastedOutput(image=picture, width=saved.width, height=saved.height, mask=mask)
