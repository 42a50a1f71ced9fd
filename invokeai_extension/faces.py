"""Faces as they travel between nodes: plain values in the graph, pixels in the host's store of tensors."""
# pyright: reportMissingImports=false

from collections.abc import Sequence
from typing import Any

import torch
from invokeai.invocation_api import (
    BaseInvocationOutput,
    BoundingBoxField,
    ImageField,
    InvocationContext,
    OutputField,
    invocation_output,
)
from pydantic import BaseModel, Field

from gpen_nodes import AlignedFace, DetectedFace, stack_crops

from .images import save_crops

__all__ = [
    "GpenAlignedFacesOutput",
    "GpenFacesField",
    "from_boxes",
    "give_aligned",
    "keep_faces",
    "load_faces",
    "to_boxes",
]


class GpenFace(BaseModel):
    """One face of an image; once it is aligned, with the names of its pixels."""

    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1")
    landmarks: list[tuple[float, float]] = Field(description="Eyes, nose, corners of the mouth")
    score: float = Field(description="The detector's, from 0 to 1")
    matrix: list[list[float]] | None = Field(default=None, description="From image to crop pixels")
    crop_size: int = Field(default=0, description="Side of the crop that the matrix maps to")
    crop_name: str | None = Field(default=None, description="The crop among the host's tensors")
    base_name: str | None = Field(default=None, description="What the image shows where the crop lies")


class GpenFacesField(BaseModel):
    """The faces of one image."""

    image_size: tuple[int, int] = Field(description="Height and width of the image")
    faces: list[GpenFace] = Field(description="In the order of their numbers")


@invocation_output("gpen_aligned_faces_output")
class GpenAlignedFacesOutput(BaseInvocationOutput):
    """Aligned faces, and their crops to look at or to edit"""

    faces: GpenFacesField = OutputField(description="For the other GPEN nodes")
    crops: list[ImageField] = OutputField(description="What the faces look like, in their order")
    report: str = OutputField(description="A line for each face")


def give_aligned(
    context: InvocationContext, faces: Sequence[AlignedFace], image_size: tuple[int, int], report: str = ""
) -> GpenAlignedFacesOutput:
    """Aligned faces as a node's output, with their crops in the gallery."""
    crops = save_crops(context, stack_crops(faces))
    report = report or "\n".join(f"{number}: {face}" for number, face in enumerate(faces))
    kept = keep_faces(context, faces, image_size)
    return GpenAlignedFacesOutput(faces=kept, crops=crops, report=report)


def keep_faces(
    context: InvocationContext, faces: Sequence[DetectedFace], image_size: tuple[int, int]
) -> GpenFacesField:
    """Faces as plain values; the pixels of aligned ones are kept by the host."""
    return GpenFacesField(image_size=image_size, faces=[_keep(context, face) for face in faces])


def _keep(context: InvocationContext, face: DetectedFace) -> GpenFace:
    values: dict[str, Any] = {"box": face.box, "landmarks": list(face.landmarks), "score": face.score}
    if isinstance(face, AlignedFace):
        values |= {"matrix": face.matrix.tolist(), "crop_size": face.crop_size}
        values["crop_name"] = context.tensors.save(face.crop.contiguous().cpu())
        if face.base is not None:
            values["base_name"] = context.tensors.save(face.base.contiguous().cpu())
    return GpenFace(**values)


def load_faces(context: InvocationContext, field: GpenFacesField) -> tuple[DetectedFace, ...]:
    """The faces of a node's input: ``AlignedFace`` where they have been aligned."""

    def load(face: GpenFace) -> DetectedFace:
        landmarks: Any = tuple(face.landmarks)
        found = (face.box, landmarks, face.score, 0, field.image_size)
        if face.crop_name is None:
            return DetectedFace(*found)
        matrix = torch.tensor(face.matrix, dtype=torch.float64)
        crop = context.tensors.load(face.crop_name)
        base = None if face.base_name is None else context.tensors.load(face.base_name)
        return AlignedFace(*found, matrix=matrix, crop=crop, crop_size=face.crop_size, base=base)

    return tuple(load(face) for face in field.faces)


def to_boxes(faces: Sequence[DetectedFace]) -> list[BoundingBoxField]:
    """As the host's nodes take them: whole pixels, the upper ends exclusive."""
    boxes = []
    for face in faces:
        x0, y0, x1, y1 = (max(0, round(v + 0.5)) for v in face.box)
        boxes.append(BoundingBoxField(x_min=x0, x_max=x1, y_min=y0, y_max=y1, score=face.score))
    return boxes


def from_boxes(boxes: Sequence[BoundingBoxField]) -> list[tuple[float, float, float, float]]:
    """The core's x0, y0, x1, y1, with integers at pixel centres."""
    return [(box.x_min - 0.5, box.y_min - 0.5, box.x_max - 0.5, box.y_max - 0.5) for box in boxes]
