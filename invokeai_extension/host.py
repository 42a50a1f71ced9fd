"""InvokeAI as the core's host, and its cache of models."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from invokeai.app.services.session_processor.session_processor_common import CanceledException
from invokeai.backend.util.devices import TorchDevice
from invokeai.invocation_api import InvocationContext
from PIL import Image
from torch import Tensor

from gpen_nodes import Restorer, to_uint8

__all__ = ["InvokeHost", "load_model"]

DTYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
PREVIEW_SIDE = 256


class CachedModel(torch.nn.Module):
    """What the host's cache keeps of a model: a module, which it weighs and moves."""

    def __init__(self, restorer: Restorer) -> None:
        super().__init__()
        self.restorer = restorer
        self.network = restorer.module  # None for an ONNX graph that onnxruntime runs


def load_model(context: InvocationContext, path: Path, dtype: str = "auto") -> tuple[Restorer, InvokeHost]:
    """A model from the host's cache, read where it isn't in there, and the host that can place it.

    Args:
        dtype: auto is the host's own setting of precision.
    """
    if dtype == "auto":
        dtype = DTYPES.get(TorchDevice.choose_torch_dtype(), "fp32")

    def read(_: Path) -> CachedModel:
        with torch.inference_mode(False):  # else the host could not move its tensors
            return CachedModel(Restorer.from_file(str(path), dtype))

    # The cache knows a model by a path, whose last part the page shows: a changed file is another model.
    key = path.parent / str(path.stat().st_mtime_ns) / f"{path.name} in {dtype}"
    loaded = context.models.load_local_model(key, read)
    return loaded.model.restorer, InvokeHost(context, loaded)


class InvokeHost:
    """The core's host, for one run of a node.

    Args:
        context: of that run.
        loaded: the model that the node uses, as the host's cache gave it.
    """

    def __init__(self, context: InvocationContext, loaded: Any = None) -> None:
        self._context, self._loaded = context, loaded

    @property
    def device(self) -> torch.device:
        return TorchDevice.choose_torch_device()

    @contextmanager
    def resident(self, module: torch.nn.Module | None, memory_required: int) -> Iterator[None]:
        """The cache places its model and makes room for it; a detector, a few MB, stays where it is put."""
        if module is not None and self._loaded is not None and module is self._loaded.model.network:
            with _locked(self._loaded, memory_required):
                module.to(self.device)  # what the cache leaves out, for want of memory or outside its state
                yield
            return
        make_room = getattr(self._context.models, "make_room_in_vram", None)  # since InvokeAI 6
        if make_room is not None:
            make_room(memory_required)
        if module is not None:
            module.to(self.device)
        yield

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        self.stage("Restoring faces", done, total, preview)

    def stage(self, name: str, done: int, total: int, preview: Tensor | None = None) -> None:
        """What goes on, how far it is, and the latest face, beneath the node and in the viewer."""
        share = done / total if total else 1.0
        if preview is None:
            self._context.util.signal_progress(name, share)
            return
        picture = Image.fromarray(to_uint8(preview))
        size = picture.size
        picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        self._context.util.signal_progress(name, share, picture, size)

    def check_interrupt(self) -> None:
        if self._context.util.is_canceled():
            raise CanceledException


def _locked(loaded: Any, memory_required: int) -> AbstractContextManager[Any]:
    try:
        return loaded.model_on_device(working_mem_bytes=memory_required)
    except TypeError:  # until InvokeAI 5.5
        return loaded.model_on_device()
