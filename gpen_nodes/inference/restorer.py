"""Run a network on aligned faces: the one place in inference that knows chunks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoints import TASKS, Checkpoint, OnnxProgram, read_model
from ..errors import ArchitectureError, DegenerateOutputError, ImageError, OptionError, OutOfMemoryError
from ..host import Host, LocalHost
from ..images import resize
from ..model import Gpen, GpenConfig
from ..torch_state import own_arithmetic
from .backends import choose_backend, make_backend, placed, runs_programs
from .dtypes import DTYPES
from .engines import AUTO, choose_engine, keep_engine, recall_engine
from .memory import is_out_of_memory, return_freed_memory
from .precision import choose_dtype, recall_dtype
from .tasks import face_of, picture_for
from .verdicts import remember_dtype

__all__ = ["Restorer"]


class Restorer:
    """A network that is ready to restore aligned faces.

    One of ``from_file`` can be pickled and deep-copied: the copy reads the file again.

    Args:
        checkpoint: weights and config of a restoring network, or an ONNX graph, which backends of ONNX run as
            it is, onnxruntime where another is asked for.
        dtype: ``fp32``, ``bf16`` or ``fp16``: what convolutions compute in; the sum is fp32. ``auto``
            is the quickest that gives nearly fp32's picture on ``device``. A face that comes out as NaN or
            infinity is done again in fp32.
        device: for ``auto``; a trial runs there. None is the CPU.
        reload: gives the checkpoint again, should a face have to be done in fp32; None keeps it in memory.
        backend: what runs the network, one of ``gpen_nodes.inference.BACKENDS``: ``folded``; ``openvino`` and
            ``onnxruntime``, which want their packages; or ``cuda_graphs``, which on CUDA launches a face's
            kernels all at once; the card then holds their working memory until the host moves the network or
            lets go of it. ``auto`` is ``folded``, unless on a CPU ``openvino`` is installed and a trial finds
            it quicker, as exact, and not too large.
        cuda_graphs: the same as the backend of that name.
        task: what the network was trained to do, one of ``TASKS``; None asks the checkpoint.
        host: for ``auto``, in the place of ``device``: the trial asks it for memory and for interrupts.

    Attributes:
        task: what becomes of a face: ``restore`` and ``inpaint`` take it as it is, ``colorize`` takes its
            gray and keeps its luma, ``seg2face`` takes a map of its parts.
        backend: the network as it runs.
        dtype: the one chosen.
        tried: whether ``dtype`` is what a trial found to be best; False where it was given, or where a trial
            could not be made, for want of memory say.

    Raises:
        ArchitectureError: the checkpoint is a discriminator or does not fit its own config.
        OptionError: unknown dtype, backend or task, or (when a face is restored) a dtype that the device
            cannot compute in.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | OnnxProgram,
        dtype: str = "fp32",
        device: torch.device | str | None = None,
        reload: Callable[[], Checkpoint | OnnxProgram] | None = None,
        *,
        backend: str = "folded",
        cuda_graphs: bool = False,
        task: str | None = None,
        host: Host | None = None,
    ) -> None:
        if dtype != "auto" and dtype not in DTYPES:
            raise OptionError(f"Unknown dtype {dtype!r}; expected auto or one of {', '.join(DTYPES)}.")
        if not isinstance(checkpoint.config, GpenConfig):
            raise ArchitectureError(
                f"{checkpoint.path} is a discriminator: it trains models and cannot restore."
            )
        if task not in (None, *TASKS):
            raise OptionError(f"Unknown task {task!r}; expected one of {', '.join(TASKS)}.")
        self.config, self.task = checkpoint.config, task or checkpoint.task
        self._backend_name = choose_backend(backend, cuda_graphs)
        self._file: str | None = None
        chosen, host = None, host or LocalHost(device or "cpu")
        host.check_interrupt()
        if isinstance(checkpoint, OnnxProgram):
            network = checkpoint
            if not runs_programs(self._backend_name):
                self._backend_name = "onnxruntime"
        else:
            network = Gpen.from_state_dict(checkpoint.state, self.config)
        self._engine_tried = False
        if self._backend_name == AUTO:
            engine = choose_engine(network, host, dtype)
            self._backend_name, self._engine_tried = engine or "folded", engine is not None
        if dtype == "auto":
            chosen = choose_dtype(network, host, self._backend_name)
            dtype = chosen or "fp32"
        self.dtype, self.tried = dtype, chosen is not None
        self.backend = make_backend(self._backend_name, network, DTYPES[dtype], host.check_interrupt)
        self._exact: Restorer | None = None
        self._reload = None if dtype == "fp32" else reload or (lambda: checkpoint)
        # Hosts run several threads; placement belongs to one at a time.
        self._lock = threading.Lock()

    @classmethod
    def from_file(
        cls,
        path: str,
        dtype: str = "fp32",
        device: torch.device | str | None = None,
        *,
        backend: str = "folded",
        cuda_graphs: bool = False,
        task: str | None = None,
        host: Host | None = None,
    ) -> Restorer:
        """Read a checkpoint of any layout that ``read_checkpoint`` knows, or an ONNX graph.

        What either ``auto`` finds is remembered in the user's cache folder, for this file, device and torch.
        """
        read, backend = partial(read_model, path), choose_backend(backend, cuda_graphs)
        host = host or LocalHost(device or "cpu")
        if backend == AUTO:
            backend = recall_engine(Path(path), host.device, dtype) or AUTO
        known = None
        if dtype == "auto" and backend != AUTO:
            known = recall_dtype(Path(path), host.device, backend)
        restorer = cls(read(), known or dtype, reload=read, backend=backend, task=task, host=host)
        if restorer._engine_tried:
            backend = restorer._backend_name
            keep_engine(Path(path), host.device, dtype, backend)
        if restorer.tried:
            remember_dtype(Path(path), host.device, backend, restorer.dtype)
        restorer.tried = restorer.tried or known is not None
        restorer._file = str(path)
        return_freed_memory()
        return restorer

    def __reduce__(self) -> tuple[Any, ...]:
        if self._file is None:
            raise OptionError(
                "This Restorer was made of a checkpoint in memory, which it keeps no whole copy of: only one "
                "of Restorer.from_file or get_restorer can be pickled or copied."
            )
        return _reread, (type(self), self._file, self.dtype, self._backend_name, self.task)

    @property
    def module(self) -> nn.Module | None:
        """The network as the host places it; None where the backend is no module of torch."""
        return self.backend.module

    @property
    def input_size(self) -> int:
        """Side of the aligned faces to put in, in pixels."""
        return self.config.input_size

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """The same as all sides that there are, as ``Restorers`` has several."""
        return (self.input_size,)

    @property
    def size(self) -> int:
        """Side of the restored faces, in pixels."""
        return self.config.size

    def chunk(self, device: torch.device) -> int:
        """Faces that go through the network together, at most."""
        return self.backend.batch_size(device)

    @property
    def activation_bytes(self) -> int:
        """Memory that one face needs beside the weights."""
        return self.backend.activation_bytes

    def restore(self, crops: Tensor, host: Host) -> Tensor:
        """Restore aligned faces; where memory runs out, fewer at once, down to one.

        Args:
            crops: [N, S, S, 3] in [0, 1] on any device; resized if S is not ``input_size``. NaN reads as 0.
            host: where to run; told of progress after each chunk, asked for interrupts before each layer.

        Returns:
            [N, size, size, 3] float32 in [0, 1], on the crops' device.

        Raises:
            ImageError: crops of another shape.
            DegenerateOutputError: NaN or infinity even in fp32.
            OutOfMemoryError: the device has too little memory for one face.
        """
        if crops.dim() != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3:
            raise ImageError(
                f"Found crops of shape {tuple(crops.shape)}; expected [N, S, S, 3], square RGB faces."
            )
        if len(crops) == 0:
            return crops.new_zeros((0, self.size, self.size, 3), dtype=torch.float32)
        with self._lock, own_arithmetic(host.device):
            restored, sound = self._restore_placed(crops, host, 0, len(crops))
            if not sound.all():
                again = self._exactly()
                restored[~sound], sound = again._restore_placed(
                    crops[~sound], host, int(sound.sum()), len(crops)
                )
        if not sound.all():
            raise _damaged()
        return restored

    def _exactly(self) -> Restorer:
        """The same network in fp32, with weights that are read once more for it."""
        if self._reload is None:
            raise _damaged()
        if self._exact is None:
            with torch.inference_mode(False):  # Else nobody could move its weights outside of that mode.
                self._exact = Restorer(self._reload(), backend=self._backend_name, task=self.task)
        return self._exact

    def _restore_placed(self, crops: Tensor, host: Host, done: int, total: int) -> tuple[Tensor, Tensor]:
        """Faces, and which of them, [N], hold neither NaN nor infinity."""
        try:
            with placed(self.backend, host, min(len(crops), self.chunk(host.device))):
                return self._restore_in_chunks(crops, host, done, total)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"{host.device} is out of memory for even one face of {self.size} px in {self.dtype}. Let "
                "go of other models and programs, take a smaller model or bf16, or restore on the CPU."
            ) from error

    def _restore_in_chunks(self, crops: Tensor, host: Host, done: int, total: int) -> tuple[Tensor, Tensor]:
        first, count, parts = 0, self.chunk(host.device), []
        while first < len(crops):
            chunk = crops[first : first + count]
            try:
                faces, sound = self._restore_chunk(chunk, host)
            except RuntimeError as error:
                if len(chunk) == 1 or not is_out_of_memory(error):
                    raise
                count = len(chunk) // 2
                continue  # The error is gone by then, and with it the tensors that its traceback held.
            parts.append((faces.to(crops.device), sound.to(crops.device)))
            first, done = first + len(chunk), done + int(sound.sum())
            host.progress(done, total, faces[-1] if sound[-1] else None)
        faces, sound = zip(*parts, strict=True)
        return torch.cat(faces), torch.cat(sound)

    def _restore_chunk(self, crops: Tensor, host: Host) -> tuple[Tensor, Tensor]:
        faces = crops.to(host.device, torch.float32).nan_to_num().clamp(0, 1)
        picture = picture_for(self.task, resize(faces, self.input_size, self.input_size))
        output = self._run(picture, host)
        return face_of(self.task, output, faces), torch.isfinite(output).flatten(1).all(dim=1)

    def _run(self, x: Tensor, host: Host) -> Tensor:
        try:
            return self.backend.run(x, host.check_interrupt)
        except RuntimeError as error:
            # Old versions and some devices lack half precision: "… not implemented for 'Half'".
            if self.dtype == "fp32" or "not implemented" not in str(error):
                raise
            raise OptionError(
                f"{host.device.type} cannot compute in {self.dtype} with torch {torch.__version__}; "
                "choose fp32."
            ) from error


def _reread(cls: type[Restorer], path: str, dtype: str, backend: str, task: str) -> Restorer:
    return cls.from_file(path, dtype, backend=backend, task=task)


def _damaged() -> DegenerateOutputError:
    return DegenerateOutputError(
        "The network gave NaN or infinity even in fp32: its weights are damaged. Get the checkpoint again."
    )
