"""ComfyUI's nodes over the core: a body converts, calls, and converts back.

Ids, inputs and defaults are a public contract: tests/hosts/comfyui_contract.json holds it.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from comfy.cli_args import args
from comfy_api.latest import ComfyExtension, io
from PIL import Image
from torch import Tensor

from gpen_nodes import (
    CHECKPOINT_SUFFIXES,
    EVALUATION_RECIPE,
    AlignedFace,
    DegradationRecipe,
    MissingWeightsError,
    OptionError,
    RestoreOptions,
    Restorer,
    align_faces,
    degrade,
    detect_faces,
    draw_faces,
    face_likeness,
    find_weights,
    fit_mask,
    get_restorer,
    is_checkpoint_name,
    paste_back,
    replace_crops,
    restore_crops,
    restore_faces,
    restore_image,
    select_faces,
    shipped_model,
    stack_crops,
    to_uint8,
)

__all__ = ["ComfyHost", "GpenExtension"]

FOLDERS = ("gpen", "facerestore_models")  # keys of the host: ours, and the one that older packs share
SHIPPED = "gpen-lite-256.safetensors"
# What of a picture stays in its faces; the last widgets of the node, so that saved workflows keep theirs.
JUDGED = "colour", "keep_detail", "grain", "keep_front", "guard_identity"
LIKENESS_WEIGHTS = "MobileFaceNet.onnx"

GpenModel = io.Custom("GPEN_MODEL")
GpenFaces = io.Custom("GPEN_FACES")
management = comfy.model_management
OPTIONS = RestoreOptions().described()


def patcher_of(module: torch.nn.Module) -> Any:
    """What the host's memory manager knows a network by; made once, and gone when the network goes."""
    # On the network itself, as the host keeps its notes on networks there: a table of ours would keep both.
    known = vars(module).get("gpen_patcher")
    if known is None:
        make = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
        devices = management.get_torch_device(), management.unet_offload_device()
        known = make(module, load_device=devices[0], offload_device=devices[1])
        object.__setattr__(module, "gpen_patcher", known)
    return known


class ComfyHost:
    """The core's host, for one run of a node."""

    def __init__(self) -> None:
        self._bar: Any = None

    @property
    def device(self) -> torch.device:
        return management.get_torch_device()

    @contextmanager
    def resident(self, module: torch.nn.Module | None, memory_required: int) -> Iterator[None]:
        """The host moves the network away again when it needs the memory."""
        if module is None:
            management.free_memory(memory_required, self.device)
        else:
            patchers = [patcher_of(module)]
            management.load_models_gpu(patchers, memory_required=memory_required, force_full_load=True)
            # Short of memory, the host leaves parts of a module that isn't made of its own layers where they
            # are, and says that it has loaded them.
            module.to(self.device)
        yield

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        if self._bar is None:
            self._bar = comfy.utils.ProgressBar(total)
        picture = None if preview is None else ("JPEG", Image.fromarray(to_uint8(preview)), 256)
        self._bar.update_absolute(done, total, picture)

    def check_interrupt(self) -> None:
        management.throw_exception_if_processing_interrupted()


def load_model(path: Path, dtype: str = "auto") -> Restorer:
    """The process's one restorer of a file and dtype."""
    if dtype == "auto":
        half = args.force_fp16 and management.should_use_fp16(management.get_torch_device())
        dtype = "fp16" if half else "fp32" if args.force_fp32 else "auto"
    with torch.inference_mode(False):  # else the host could not move its tensors outside nodes
        # What the host caches of its nodes' outputs keeps it, and lets it go when the host frees memory.
        model: Any = get_restorer(path, dtype, keep=False, host=ComfyHost())
    if model.module is not None:  # an ONNX graph that onnxruntime runs has none
        model.patcher = patcher_of(model.module)  # The host counts an output's memory by this attribute.
    return model


def register_folders() -> None:
    """Make ``models/gpen`` known, and ``models/facerestore_models`` where it exists."""
    for key in FOLDERS:
        folder = os.path.join(folder_paths.models_dir, key)
        if key == "gpen" or (key not in folder_paths.folder_names_and_paths and os.path.isdir(folder)):
            folder_paths.add_model_folder_path(key, folder)
            # The host leaves the set of extensions empty, which would list every file.
            known = folder_paths.folder_names_and_paths
            known[key] = (known[key][0], set(CHECKPOINT_SUFFIXES))


def model_names() -> list[str]:
    """The shipped model, then what lies in the host's folders."""
    keys = [key for key in FOLDERS if key in folder_paths.folder_names_and_paths]
    found = [name for key in keys for name in folder_paths.get_filename_list(key)]
    return list(dict.fromkeys([SHIPPED, *filter(is_checkpoint_name, found)]))


def find_file(name: str) -> Path:
    """A file of the host's folders, or one that ``gpen-nodes models get`` has put into torch's.

    Raises:
        MissingWeightsError: it is in none of them; names the command that gets it.
        CheckpointError: it is in torch's folder, and another file than its name says.
    """
    known = [key for key in FOLDERS if key in folder_paths.folder_names_and_paths]
    for key in known:
        path = folder_paths.get_full_path(key, name)
        if path is not None:
            return Path(path)
    return find_weights(name, [folder for key in known for folder in folder_paths.get_folder_paths(key)])


def find_model(name: str) -> Path:
    """The file of one of ``model_names``."""
    return shipped_model() if name == SHIPPED else find_file(name)


def connected_mask(mask: Tensor | None, image: Tensor) -> Tensor | None:
    """A mask of any size as [B, H, W] of the image's; None for none."""
    if mask is None or len(mask) == 0:
        return None
    placeholder = mask.shape[-2:] == (64, 64) != image.shape[1:3] and not mask.any()
    return None if placeholder else fit_mask(mask, image)  # LoadImage's, for a picture without alpha


def give(tensor: Tensor) -> Tensor:
    """A result where, and in the dtype in which, the host keeps what travels between nodes."""
    dtype = getattr(management, "intermediate_dtype", lambda: torch.float32)()
    return tensor.to(management.intermediate_device(), dtype)


def define(node_id: str, inputs: list[io.Input], outputs: list[io.Output], *aliases: str) -> io.Schema:
    """A schema with its texts, without what this version of the host doesn't know."""
    texts = _texts()[node_id]
    for one in inputs:
        one.tooltip = texts["inputs"][one.id]["tooltip"]
    for k, one in enumerate(outputs):
        one.tooltip = texts["outputs"][str(k)]["tooltip"]
        one.display_name = one.id  # else older hosts show the type
    fields = {
        "node_id": node_id,
        "display_name": texts["display_name"],
        "description": texts["description"],
        "category": "image/face restoration",
        "search_aliases": ["face restore", "restore faces", "GFPGAN", "CodeFormer", "GPEN", *aliases],
        "inputs": inputs,
        "outputs": outputs,
    }
    return io.Schema(**{k: v for k, v in fields.items() if k in io.Schema.__dataclass_fields__})


@cache
def _texts() -> dict[str, Any]:
    """The English texts are a locale like any other: each stands in one place."""
    path = Path(__file__).parent / "locales" / "en" / "nodeDefs.json"
    return json.loads(path.read_text(encoding="utf-8"))


def advanced(entry: io.Input) -> io.Input:
    """Folded away at first, where the host does that. Newer ones have a keyword for it, older ones none."""
    entry.extra_dict["advanced"] = True
    return entry


def integer(id: str, default: int, high: int, low: int = 0, step: int = 1) -> io.Input:
    return io.Int.Input(id, default=default, min=low, max=high, step=step)


def share(id: str, default: float, low: float = 0, **more: Any) -> io.Input:
    return io.Float.Input(id, default=default, min=low, max=1, step=0.01, **more)


def chosen(id: str) -> io.Input:
    """A widget for one of the core's options, with its default, range and choices."""
    one = OPTIONS[id]
    if one.kind is bool:
        return io.Boolean.Input(id, default=one.default)
    if one.choices:
        return io.Combo.Input(id, options=list(one.choices), default=one.default)
    step = 0.01
    return io.Float.Input(id, default=one.default, min=one.low + step * one.above, max=one.high, step=step)


def detection_inputs() -> list[io.Input]:
    """Which faces are found: the same for every node that looks for them."""
    rarely = ("min_score", "quarter_turns", "detector", "template")
    return [integer("min_face", 0, 8192), *(advanced(chosen(id)) for id in rarely)]


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Combo.Input("model_name", options=model_names(), default=SHIPPED),
            advanced(io.Combo.Input("dtype", options=["auto", "fp32", "bf16", "fp16"], default="auto")),
        ]
        return define("GPEN_LoadModel", inputs, [GpenModel.Output("model")], "load face restore model")

    @classmethod
    def validate_inputs(cls, model_name: str | None = None) -> bool | str:
        """The host's own check says only that a name isn't in its list. A linked name isn't known yet."""
        try:
            find_model(model_name or SHIPPED)
        except MissingWeightsError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, model_name: str | None = None, **others: Any) -> Any:
        path = find_model(model_name or SHIPPED)
        status = path.stat()
        return str(path), status.st_mtime_ns, status.st_size

    @classmethod
    def execute(cls, model_name: str, dtype: str) -> io.NodeOutput:
        return io.NodeOutput(load_model(find_model(model_name), dtype))


class DetectAndAlign(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Image.Input("image"),
            GpenModel.Input("model", optional=True),
            io.Mask.Input("mask", optional=True),
            integer("crop_size", 512, 2048, low=64, step=64),
            *detection_inputs(),
        ]
        outputs = [
            GpenFaces.Output("faces"),
            io.Image.Output("crops"),
            io.Mask.Output("regions"),
            io.Image.Output("preview"),
        ]
        return define("GPEN_DetectAndAlign", inputs, outputs, "face detect", "face crop", "align face")

    @classmethod
    def execute(
        cls,
        image: Tensor,
        crop_size: int,
        min_face: int,
        template: str,
        model: Restorer | None = None,
        mask: Tensor | None = None,
        **options: Any,
    ) -> io.NodeOutput:
        check = management.throw_exception_if_processing_interrupted
        found = detect_faces(image, device=management.get_torch_device(), check_interrupt=check, **options)
        choices = select_faces(found, min_face=min_face, mask=connected_mask(mask, image))
        size = crop_size if model is None else model.input_size
        faces = align_faces(image, [one.face for one in choices if one.selected], size, template=template)
        _, regions = paste_back(image, faces)
        results = stack_crops(faces, size), regions, draw_faces(image, faces)
        return io.NodeOutput(faces, *map(give, results))


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
            alike = face_likeness(faces, reference, find_file(LIKENESS_WEIGHTS))
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
        return io.NodeOutput(selected, rest)


class Restore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            GpenModel.Input("model"),
            GpenFaces.Input("faces", optional=True),
            io.Image.Input("crops", optional=True),
        ]
        return define(
            "GPEN_Restore", inputs, [GpenFaces.Output("restored"), io.Image.Output("restored_crops")]
        )

    @classmethod
    def execute(
        cls, model: Restorer, faces: tuple[AlignedFace, ...] | None = None, crops: Tensor | None = None
    ) -> io.NodeOutput:
        host = ComfyHost()
        if faces is None:
            if crops is None:
                raise OptionError("Found neither faces nor crops; connect one of them.")
            return io.NodeOutput((), give(restore_crops(model, crops, host)))
        if crops is not None:
            faces = replace_crops(faces, crops)
        restored = restore_faces(model, faces, host)
        return io.NodeOutput(restored, give(stack_crops(restored, model.size)))


class PasteBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Image.Input("image"),
            GpenFaces.Input("faces"),
            io.Image.Input("crops", optional=True),
            io.Mask.Input("mask", optional=True),
            chosen("strength"),
            advanced(chosen("softness")),
            advanced(chosen("match_colour")),
        ]
        outputs = [io.Image.Output("pasted"), io.Mask.Output("changed")]
        return define("GPEN_PasteBack", inputs, outputs, "blend face", "composite face")

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
        return io.NodeOutput(
            *map(give, paste_back(image, faces, mask=connected_mask(mask, image), **options))
        )


# Ends and step of the widgets; the core knows what makes sense.
RANGES = {
    "scale": (1, 64, 0.1),
    "blur_sigma": (0, 100, 0.1),
    "motion_length": (0, 255, 0.5),
    "noise_sigma": (0, 255, 0.5),
    "jpeg_quality": (1, 100, 1),
    "gamma": (0.1, 10, 0.01),
    "contrast": (0.01, 10, 0.01),
    "colour_shift": (-1, 1, 0.01),
}


class Degrade(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        recipe = DegradationRecipe()
        ends = [
            advanced(io.Float.Input(f"{name}_{end}", default=value, min=low, max=high, step=step))
            for name, (low, high, step) in RANGES.items()
            for end, value in zip(("min", "max"), getattr(recipe, name), strict=True)
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
            ranges: Any = {name: (ends[f"{name}_min"], ends[f"{name}_max"]) for name in RANGES}
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
            *(advanced(chosen(id)) for id in JUDGED),
        ]
        outputs = [
            io.Image.Output("restored"),
            io.Image.Output("crops"),
            io.Mask.Output("changed"),
            io.String.Output("report"),
        ]
        return define("GPEN_RestoreFaces", inputs, outputs, "face enhance", "fix faces")

    @classmethod
    def execute(
        cls, image: Tensor, max_faces: int, model: Restorer | None = None, **options: Any
    ) -> io.NodeOutput:
        model = model or load_model(shipped_model())
        host = ComfyHost()
        result = restore_image(image, model, host=host, max_faces=max_faces or None, **options)
        crops = stack_crops(result.faces, model.size)
        return io.NodeOutput(*map(give, (result.image, crops, result.mask)), result.text)


class GpenExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        register_folders()
        return [LoadModel, DetectAndAlign, SelectFaces, Restore, PasteBack, Degrade, RestoreFaces]
