"""ComfyUI as the core's host, and what a node sees of the graph that runs."""
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from comfy.cli_args import args
from comfy_execution.graph_utils import ExecutionBlocker
from PIL import Image
from torch import Tensor

from gpen_nodes import Restorer, fit_mask, get_restorer, to_uint8

__all__ = ["ComfyHost", "connected_mask", "give", "linked_outputs", "load_model", "patcher_of"]

management = comfy.model_management


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
        self._stage = ""
        self._part, self._images = slice(0, 0), 0

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
        picture = None if preview is None else ("JPEG", Image.fromarray(to_uint8(preview)), 256)
        self.stage("Restoring faces", done, total, picture)

    def stage(self, name: str, done: int, total: int, picture: Any = None) -> None:
        """Move the node's bar, and write beneath it what is done, where the page can show that."""
        text = f"{name}: {done} of {total}"
        if self._images:
            text += f", images {self._part.start + 1} to {self._part.stop} of {self._images}"
            done, total, name = self._part.start, self._images, "film"
        if name != self._stage:  # a bar that has once been full says nothing of a second run
            self._stage, self._bar = name, comfy.utils.ProgressBar(total)
        self._bar.update_absolute(done, total, picture)
        server = _server()
        send = getattr(server, "send_progress_text", None)
        if send is not None and server.last_node_id is not None:
            send(text, server.last_node_id)

    def work_on(self, part: slice, images: int) -> None:
        """What is told from now on is of a part of so many images, which the bar counts if there are more."""
        if part.stop - part.start < images:
            self._part, self._images = part, images

    def check_interrupt(self) -> None:
        management.throw_exception_if_processing_interrupted()


def _server() -> Any:
    """The host's web server; None where nodes run without."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def linked_outputs(node_id: str | None) -> list[int] | None:
    """Which outputs of a node the running prompt reads; None where that can't be seen, as in tests.

    The host offers the prompt to a node that runs, but not where a node tells whether it has changed: another
    link has to count there, or the host would hand out what it keeps of a run without it.
    """
    queue = getattr(_server(), "prompt_queue", None)
    for item in list(getattr(queue, "currently_running", {}).values()):
        prompt = item[2]
        if node_id in prompt:
            links = [value for node in prompt.values() for value in node["inputs"].values()]
            return sorted({v[1] for v in links if isinstance(v, list) and len(v) == 2 and v[0] == node_id})
    return None


def load_model(path: Path, dtype: str = "auto", backend: str = "folded", task: str | None = None) -> Restorer:
    """The process's one restorer of a file, dtype, backend and task."""
    if dtype == "auto":
        half = args.force_fp16 and management.should_use_fp16(management.get_torch_device())
        dtype = "fp16" if half else "fp32" if args.force_fp32 else "auto"
    with torch.inference_mode(False):  # else the host could not move its tensors outside nodes
        # What the host caches of its nodes' outputs keeps it, and lets it go when the host frees memory.
        model: Any = get_restorer(path, dtype, backend=backend, task=task, keep=False, host=ComfyHost())
    if model.module is not None:  # engines of other libraries have none
        model.patcher = patcher_of(model.module)  # The host counts an output's memory by this attribute.
    return model


def connected_mask(mask: Tensor | None, image: Tensor) -> Tensor | None:
    """A mask of any size as [B, H, W] of the image's; None for none."""
    if mask is None or len(mask) == 0:
        return None
    placeholder = mask.shape[-2:] == (64, 64) != image.shape[1:3] and not mask.any()
    return None if placeholder else fit_mask(mask, image)  # LoadImage's, for a picture without alpha


def give(tensor: Tensor) -> Any:
    """A result where, and in the dtype in which, the host keeps what travels between nodes.

    Other nodes fail on a batch without images. In its place goes what makes the host leave out the nodes that
    are linked to it, silently: no face in a photo is no error.
    """
    if len(tensor) == 0:
        return ExecutionBlocker(None)
    dtype = getattr(management, "intermediate_dtype", lambda: torch.float32)()
    return tensor.to(management.intermediate_device(), dtype)
