"""The nodes. Ids, inputs and defaults are a public contract: tests/hosts/comfyui_contract.json holds it."""
# pyright: reportMissingImports=false

from __future__ import annotations

import math
from typing import Any

import torch
from comfy_api.latest import ComfyExtension, io
from torch import Tensor

from gpen_nodes import (
    BACKENDS,
    EVALUATION_RECIPE,
    ORDERS,
    TASKS,
    AlignedFace,
    DegradationRecipe,
    FaceReport,
    GpenError,
    OptionError,
    RestoreOptions,
    Restorer,
    align_faces,
    degrade,
    draw_faces,
    face_likeness,
    find_faces,
    find_faces_in_boxes,
    judge_faces,
    paste_back,
    replace_crops,
    restore_crops,
    restore_faces,
    restore_frames,
    select_faces,
    shipped_model,
    stack_crops,
)

from .folders import SHIPPED, detector_weights, find_file, find_model, model_names, register_folders
from .host import ComfyHost, connected_mask, give, linked_outputs, load_model
from .parts import restore_in_parts
from .picker import shown_in_page
from .schema import (
    BoundingBoxes,
    GpenFaces,
    GpenModel,
    Segments,
    advanced,
    chosen,
    define,
    detection_inputs,
    integer,
    share,
)
from .values import Faces, from_boxes, from_segments, to_boxes, to_segments

__all__ = ["GpenExtension"]

LIKENESS_WEIGHTS = "MobileFaceNet.onnx"
# What of an image stays in its faces.
JUDGED = "colour", "keep_detail", "grain", "keep_front", "guard_identity"


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Combo.Input("model_name", options=model_names(), default=SHIPPED),
            advanced(io.Combo.Input("dtype", options=["auto", "fp32", "bf16", "fp16"], default="auto")),
            # Optional, since graphs that were saved without them have to run.
            advanced(io.Combo.Input("backend", options=["auto", *BACKENDS], default="folded", optional=True)),
            advanced(io.Combo.Input("task", options=["auto", *TASKS], default="auto", optional=True)),
        ]
        return define("GPEN_LoadModel", inputs, [GpenModel.Output("model")], "load face restore model")

    @classmethod
    def validate_inputs(cls, model_name: Any = None) -> bool | str:
        """The host's own check says only that a name isn't in its list. A linked name isn't known yet."""
        try:
            find_model(SHIPPED if model_name is None else model_name)
        except GpenError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, model_name: str | None = None, **others: Any) -> Any:
        path = find_model(model_name or SHIPPED)
        status = path.stat()
        return str(path), status.st_mtime_ns, status.st_size

    @classmethod
    def execute(
        cls, model_name: str, dtype: str, backend: str = "folded", task: str = "auto"
    ) -> io.NodeOutput:
        chosen_task = None if task == "auto" else task
        return io.NodeOutput(load_model(find_model(model_name), dtype, backend, chosen_task))


def wanted(node: type[io.ComfyNode], *outputs: int) -> list[bool]:
    """Which of these outputs of the node that runs are read; its schema has to ask for ``unique_id``."""
    linked = linked_outputs(getattr(node.hidden, "unique_id", None))
    return [linked is None or one in linked for one in outputs]


class DetectAndAlign(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        boxes = BoundingBoxes.Input("boxes", optional=True)
        boxes.extra_dict["forceInput"] = True  # else newer pages make a widget of it
        inputs = [
            io.Image.Input("image"),
            GpenModel.Input("model", optional=True),
            io.Mask.Input("mask", optional=True),
            integer("crop_size", 512, 2048, low=64, step=64),
            *detection_inputs(),
            boxes,
        ]
        outputs = [
            GpenFaces.Output("faces"),
            io.Image.Output("crops"),
            io.Mask.Output("regions"),
            io.Image.Output("preview"),
            BoundingBoxes.Output("face_boxes"),
        ]
        aliases = "face detect", "face crop", "align face"
        return define("GPEN_DetectAndAlign", inputs, outputs, *aliases, hidden=[io.Hidden.unique_id])

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> Any:
        """A link to an output that was left out makes the node run again."""
        return wanted(cls, 2, 3)

    @classmethod
    def execute(
        cls,
        image: Tensor,
        crop_size: int,
        min_face: int,
        template: str,
        detector: str,
        model: Restorer | None = None,
        mask: Tensor | None = None,
        boxes: Any = None,
        **options: Any,
    ) -> io.NodeOutput:
        host, (wants_regions, wants_preview) = ComfyHost(), wanted(cls, 2, 3)
        options |= {"detector": detector, "detector_weights": detector_weights(detector)}
        if boxes is None:
            found = find_faces(image, host=host, smallest=min_face, **options)
        else:
            found = find_faces_in_boxes(image, from_boxes(boxes, len(image)), host=host, **options)
        choices = select_faces(found, min_face=min_face, mask=connected_mask(mask, image))
        size = crop_size if model is None else model.input_size
        chosen = [one.face for one in choices if one.selected]
        faces = Faces(align_faces(image, chosen, size, template=template, host=host))
        # On a film each of the two takes as much memory as the film itself.
        regions = preview = None
        if wants_regions:
            regions = give(paste_back(image, faces, host=host)[1])
        if wants_preview:
            preview = give(draw_faces(image, faces, host=host))
        results = faces, give(stack_crops(faces, size)), regions, preview, to_boxes(faces, len(image))
        return io.NodeOutput(*results, ui=shown_in_page(image, faces))


class SelectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            GpenFaces.Input("faces"),
            io.Image.Input("reference", optional=True),
            chosen("order"),
            integer("count", 1, 1024),
            io.String.Input("indices", default=""),
            integer("min_face", 0, 8192),
            integer("max_face", 0, 8192),
            share("point_x", 0.5),
            share("point_y", 0.5),
            share("min_likeness", 0),
        ]
        outputs = [GpenFaces.Output("selected"), GpenFaces.Output("rest")]
        return define("GPEN_SelectFaces", inputs, outputs, "largest face", "filter faces")

    @classmethod
    def execute(
        cls,
        faces: tuple[AlignedFace, ...],
        order: str,
        count: int,
        indices: str,
        min_face: int,
        max_face: int,
        point_x: float,
        point_y: float,
        min_likeness: float,
        reference: Tensor | None = None,
    ) -> io.NodeOutput:
        alike = None
        if reference is not None:
            alike = face_likeness(faces, reference, find_file(LIKENESS_WEIGHTS), host=ComfyHost())
        # A count of 1 may be nobody's wish but the default: it doesn't cut what is named one by one.
        all_named = indices.strip() and count == 1
        choices = select_faces(
            faces,
            order=order,
            point=(point_x, point_y),
            likeness=alike,
            min_likeness=min_likeness or -1,
            min_face=min_face,
            max_face=max_face or math.inf,
            indices=indices,
            max_faces=None if all_named else count or None,
        )
        selected, rest = (
            tuple(one.face for one in choices if one.selected == which) for which in (True, False)
        )
        return io.NodeOutput(Faces(selected), Faces(rest))


def wanted_crops(faces: tuple[AlignedFace, ...] | None, inputs: dict[str, Any]) -> list[str]:
    """Whether a node needs its linked crops. Where there are no faces, none will ever come."""
    waiting = "crops" in inputs and inputs["crops"] is None
    return ["crops"] if waiting and (faces is None or len(faces)) else []


class Restore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            GpenModel.Input("model"),
            GpenFaces.Input("faces", optional=True),
            io.Image.Input("crops", optional=True, lazy=True),
        ]
        return define(
            "GPEN_Restore", inputs, [GpenFaces.Output("restored"), io.Image.Output("restored_crops")]
        )

    @classmethod
    def check_lazy_status(cls, faces: tuple[AlignedFace, ...] | None = None, **inputs: Any) -> list[str]:
        return wanted_crops(faces, inputs)

    @classmethod
    def execute(
        cls, model: Restorer, faces: tuple[AlignedFace, ...] | None = None, crops: Tensor | None = None
    ) -> io.NodeOutput:
        host = ComfyHost()
        if faces is None:
            if crops is None:
                raise OptionError("Found neither faces nor crops; connect one of them.")
            return io.NodeOutput(Faces(), give(restore_crops(model, crops, host)))
        if crops is not None:
            faces = replace_crops(faces, crops)
        restored = restore_faces(model, faces, host)
        return io.NodeOutput(Faces(restored), give(stack_crops(restored, model.size)))


class JudgeFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Image.Input("image"),
            GpenFaces.Input("faces"),
            io.Image.Input("crops", optional=True, lazy=True),
            *(chosen(name) for name in JUDGED),
        ]
        outputs = [GpenFaces.Output("judged"), io.String.Output("report")]
        return define("GPEN_JudgeFaces", inputs, outputs, "keep detail", "keep colour", "same person")

    @classmethod
    def check_lazy_status(cls, faces: tuple[AlignedFace, ...] | None = None, **inputs: Any) -> list[str]:
        return wanted_crops(faces, inputs)

    @classmethod
    def execute(
        cls, image: Tensor, faces: tuple[AlignedFace, ...], crops: Tensor | None = None, **options: Any
    ) -> io.NodeOutput:
        if crops is not None:
            faces = replace_crops(faces, crops)
        # A restored face still knows where it was cut out; what was there, judging reads from the image.
        verdicts = judge_faces(image, faces, faces, RestoreOptions().changed(**options))
        lines = [
            f"image {face.image_index}: {FaceReport(face, not one.why, one.why, said=one.said)}"
            for face, one in zip(faces, verdicts, strict=True)
        ]
        return io.NodeOutput(Faces(one.face for one in verdicts if one.accepted), "\n".join(lines))


class PasteBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Image.Input("image"),
            GpenFaces.Input("faces"),
            io.Image.Input("crops", optional=True, lazy=True),
            io.Mask.Input("mask", optional=True),
            chosen("strength"),
            advanced(chosen("softness")),
            advanced(chosen("match_colour")),
        ]
        outputs = [io.Image.Output("pasted"), io.Mask.Output("changed")]
        return define("GPEN_PasteBack", inputs, outputs, "blend face", "composite face")

    @classmethod
    def check_lazy_status(cls, faces: tuple[AlignedFace, ...] | None = None, **inputs: Any) -> list[str]:
        return wanted_crops(faces, inputs)

    @classmethod
    def execute(
        cls,
        image: Tensor,
        faces: tuple[AlignedFace, ...],
        crops: Tensor | None = None,
        mask: Tensor | None = None,
        **options: Any,
    ) -> io.NodeOutput:
        if crops is not None:
            faces = replace_crops(faces, crops)
        allowed = connected_mask(mask, image)
        return io.NodeOutput(*map(give, paste_back(image, faces, mask=allowed, host=ComfyHost(), **options)))


# Steps of the widgets; the recipe knows their ends.
STEPS = {
    "scale": 0.1,
    "blur_sigma": 0.1,
    "motion_length": 0.5,
    "noise_sigma": 0.5,
    "jpeg_quality": 1,
    "gamma": 0.01,
    "contrast": 0.01,
    "colour_shift": 0.01,
}


class Degrade(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        limits, defaults = DegradationRecipe.limits(), DegradationRecipe.defaults()
        ends = [
            advanced(
                io.Float.Input(
                    f"{name}_{end}", default=value, min=limits[name][0], max=limits[name][1], step=step
                )
            )
            for name, step in STEPS.items()
            for end, value in zip(("min", "max"), defaults[name], strict=True)
        ]
        seed = io.Int.Input("seed", default=0, min=0, max=2**64 - 1, control_after_generate=True)
        recipes = io.Combo.Input("recipe", options=["random", "evaluation"], default="random")
        outputs = [io.Image.Output("degraded"), io.String.Output("values")]
        aliases = "blur", "add noise", "JPEG artifacts"
        return define("GPEN_Degrade", [io.Image.Input("image"), seed, recipes, *ends], outputs, *aliases)

    @classmethod
    def execute(cls, image: Tensor, seed: int, recipe: str, **ends: float) -> io.NodeOutput:
        chosen = EVALUATION_RECIPE
        if recipe == "random":
            ranges: Any = {name: (ends[f"{name}_min"], ends[f"{name}_max"]) for name in STEPS}
            chosen = DegradationRecipe(**ranges)
        degraded, drawn = degrade(image, chosen, torch.Generator().manual_seed(seed))
        return io.NodeOutput(give(degraded), "\n".join(map(str, drawn)))


class RestoreFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Image.Input("image"),
            GpenModel.Input("model", optional=True),
            chosen("strength"),
            integer("max_faces", 0, 1024),
            *detection_inputs(),
            io.Mask.Input("mask", optional=True),
            # Optional and last, since graphs that were saved without them have to run.
            *(advanced(chosen(name, optional=True)) for name in ("softness", "match_colour")),
            advanced(chosen("order", ORDERS, optional=True)),
            *(advanced(chosen(name, optional=True)) for name in JUDGED),
        ]
        outputs = [
            io.Image.Output("restored"),
            io.Image.Output("crops"),
            io.Mask.Output("changed"),
            io.String.Output("report"),
        ]
        # The names by which people look for such a node stand here alone: then it comes first.
        aliases = "face enhance", "fix faces", "restore faces", "GFPGAN", "CodeFormer", "RestoreFormer"
        return define("GPEN_RestoreFaces", inputs, outputs, *aliases, hidden=[io.Hidden.unique_id])

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> Any:
        """A link to an output that was left out makes the node run again."""
        return wanted(cls, 1, 2)

    @classmethod
    def execute(
        cls,
        image: Tensor,
        max_faces: int,
        detector: str,
        model: Restorer | None = None,
        mask: Tensor | None = None,
        **options: Any,
    ) -> io.NodeOutput:
        model, (wants_crops, wants_mask) = model or load_model(shipped_model()), wanted(cls, 1, 2)
        options |= {"detector": detector, "detector_weights": detector_weights(detector)}
        options |= {"max_faces": max_faces or None, "mask": connected_mask(mask, image)}
        options |= {"wants_crops": wants_crops, "wants_mask": wants_mask}
        *results, text = restore_in_parts(image, model, ComfyHost(), **options)
        return io.NodeOutput(*(None if one is None else give(one) for one in results), text)


class RestoreFrames(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Image.Input("image"),
            GpenModel.Input("model", optional=True),
            io.Image.Input("person", optional=True),
            io.Float.Input("fps", default=25, min=1, max=1000, step=0.01),
            chosen("stability"),
            chosen("strength"),
            io.String.Input("tracks", default=""),
            share("likeness", 0.3),
            integer("max_faces", 0, 1024),
            *detection_inputs(),
            *(advanced(chosen(name)) for name in ("softness", "match_colour")),
            advanced(chosen("order", ORDERS)),
            *(advanced(chosen(name)) for name in JUDGED),
        ]
        outputs = [io.Image.Output("restored"), io.String.Output("report")]
        return define("GPEN_RestoreFrames", inputs, outputs, "video", "film", "flicker", "temporal")

    @classmethod
    def execute(
        cls,
        image: Tensor,
        fps: float,
        max_faces: int,
        detector: str,
        model: Restorer | None = None,
        person: Tensor | None = None,
        **options: Any,
    ) -> io.NodeOutput:
        model = model or load_model(shipped_model())
        options |= {"detector": detector, "detector_weights": detector_weights(detector)}
        weights = None if person is None else find_file(LIKENESS_WEIGHTS)
        known = {"rate": fps, "person": person, "weights": weights, "max_faces": max_faces or None}
        result = restore_frames(image, model, host=ComfyHost(), **known, **options)
        return io.NodeOutput(give(result.image), result.text)


class FacesToSegments(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        outputs = [Segments.Output("segs"), BoundingBoxes.Output("face_boxes")]
        aliases = "SEGS", "Impact Pack", "detailer"
        return define("GPEN_FacesToSEGS", [GpenFaces.Input("faces")], outputs, *aliases)

    @classmethod
    def execute(cls, faces: tuple[AlignedFace, ...]) -> io.NodeOutput:
        images = max((face.image_index for face in faces), default=0) + 1
        return io.NodeOutput(to_segments(faces), to_boxes(faces, images))


class SegmentsToBoxes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        outputs = [BoundingBoxes.Output("boxes")]
        return define("GPEN_SEGSToBoxes", [Segments.Input("segs")], outputs, "SEGS", "Impact Pack")

    @classmethod
    def execute(cls, segs: Any) -> io.NodeOutput:
        return io.NodeOutput(from_segments(segs))


NODES = [LoadModel, DetectAndAlign, SelectFaces, Restore, JudgeFaces, PasteBack, Degrade, RestoreFaces]
NODES += [RestoreFrames, FacesToSegments, SegmentsToBoxes]


class GpenExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        register_folders()
        return NODES
