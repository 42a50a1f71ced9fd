"""Run a network on aligned faces: the one place in inference that knows [-1, 1], devices and dtypes."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .checkpoints import Checkpoint, read_checkpoint
from .errors import ArchitectureError, DegenerateOutputError, ImageError, OptionError
from .host import Host
from .images import from_network, to_network
from .model import Gpen, GpenConfig, GraphedGpen, fold, has_graphs
from .precision import DTYPES, choose_dtype

__all__ = ["Restorer"]


class Restorer:
    """A network that is ready to restore aligned faces.

    Args:
        checkpoint: weights and config of a restoring network.
        dtype: ``fp32``, ``bf16`` or ``fp16``: what convolutions compute in; the sum is fp32. ``auto``
            is the quickest that gives nearly fp32's picture on ``device``. A face that comes out as NaN or
            infinity is done again in fp32.
        device: for ``auto``; a trial runs there. None is the CPU.
        reload: gives the checkpoint again, should a face have to be done in fp32; None keeps it in memory.
        cuda_graphs: on CUDA, launch a face's kernels all at once; the card then holds their working memory
            until the host moves the network or lets go of it. Nothing on other devices.

    Attributes:
        module: the folded network, for the host to place.
        dtype: the one chosen.

    Raises:
        ArchitectureError: the checkpoint is a discriminator or does not fit its own config.
        OptionError: unknown dtype, or (when a face is restored) one that the device cannot compute in.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        dtype: str = "fp32",
        device: torch.device | None = None,
        reload: Callable[[], Checkpoint] | None = None,
        *,
        cuda_graphs: bool = False,
    ) -> None:
        if dtype != "auto" and dtype not in DTYPES:
            raise OptionError(f"Unknown dtype {dtype!r}; expected auto or one of {', '.join(DTYPES)}.")
        if not isinstance(checkpoint.config, GpenConfig):
            raise ArchitectureError(
                f"{checkpoint.path} is a discriminator: it trains models and cannot restore."
            )
        self.config = checkpoint.config
        network = Gpen.from_state_dict(checkpoint.state, self.config)
        self.dtype = choose_dtype(network, device or torch.device("cpu")) if dtype == "auto" else dtype
        folded = fold(network, DTYPES[self.dtype])
        self.module = GraphedGpen(folded) if cuda_graphs else folded
        self._exact: Restorer | None = None
        self._reload = None if self.dtype == "fp32" else reload or (lambda: checkpoint)
        # Hosts run several threads; placement belongs to one at a time.
        self._lock = threading.Lock()

    @classmethod
    def from_file(
        cls,
        path: str,
        dtype: str = "fp32",
        device: torch.device | None = None,
        *,
        cuda_graphs: bool = False,
    ) -> Restorer:
        """Read a checkpoint of any layout that ``read_checkpoint`` knows."""
        read = partial(read_checkpoint, path)
        restorer = cls(read(), dtype, device, reload=read, cuda_graphs=cuda_graphs)
        _return_freed_memory()
        return restorer

    @property
    def input_size(self) -> int:
        """Side of the aligned faces to put in, in pixels."""
        return self.config.input_size

    @property
    def size(self) -> int:
        """Side of the restored faces, in pixels."""
        return self.config.size

    @torch.no_grad()
    def restore(self, crops: Tensor, host: Host) -> Tensor:
        """Restore aligned faces.

        Args:
            crops: [N, S, S, 3] in [0, 1] on any device; resized if S is not ``input_size``. NaN reads as 0.
            host: where to run; told of progress after each chunk, asked for interrupts before each layer.

        Returns:
            [N, size, size, 3] float32 in [0, 1], on the crops' device.

        Raises:
            ImageError: crops of another shape.
            DegenerateOutputError: NaN or infinity even in fp32.
        """
        if crops.dim() != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3:
            raise ImageError(
                f"Found crops of shape {tuple(crops.shape)}; expected [N, S, S, 3], square RGB faces."
            )
        if len(crops) == 0:
            return crops.new_zeros((0, self.size, self.size, 3))
        restored = []
        with self._lock:
            host.place(self.module, self.chunk(host.device) * self.activation_bytes)
            for chunk in crops.split(self.chunk(host.device)):
                restored.append(self._restore_chunk(chunk, host).to(crops.device))
                host.progress(sum(map(len, restored)), len(crops), restored[-1][-1])
        return torch.cat(restored)

    def _restore_chunk(self, crops: Tensor, host: Host) -> Tensor:
        x = to_network(crops.to(host.device, torch.float32).nan_to_num().clamp(0, 1))
        if x.shape[-1] != self.input_size:
            side = (self.input_size, self.input_size)
            x = F.interpolate(x, side, mode="bicubic", antialias=True, align_corners=False)
        output = self._run(x, host)
        if not torch.isfinite(output).all():
            output = self._run_exactly(x, host)
        return from_network(output)

    def _run(self, x: Tensor, host: Host) -> Tensor:
        try:
            return self.module(x, host.check_interrupt)
        except RuntimeError as error:
            # Old versions and some devices lack half precision: "… not implemented for 'Half'".
            if self.dtype == "fp32" or "not implemented" not in str(error):
                raise
            raise OptionError(
                f"{host.device.type} cannot compute in {self.dtype} with torch {torch.__version__}; "
                "choose fp32."
            ) from error

    def _run_exactly(self, x: Tensor, host: Host) -> Tensor:
        """In fp32, with weights that are read once more for it."""
        if self._reload is not None:
            self._exact = self._exact or Restorer(self._reload())
            host.place(self._exact.module, self.activation_bytes * len(x))
            output = self._exact.module(x, host.check_interrupt)
            if torch.isfinite(output).all():
                return output
        raise DegenerateOutputError(
            "The network gave NaN or infinity even in fp32: its weights are damaged. "
            "Get the checkpoint again."
        )

    def chunk(self, device: torch.device) -> int:
        """Faces that go through the network together.

        One on a CPU, where a batch gains nothing; one with CUDA graphs, so that one graph serves any number.
        """
        if device.type == "cpu" or (isinstance(self.module, GraphedGpen) and has_graphs(device)):
            return 1
        return max(1, 8 * 512**2 // self.size**2)

    @property
    def activation_bytes(self) -> int:
        """Memory that one face needs beside the weights: all features and the widest map 8 times, fp32."""
        maps = [width * resolution**2 for resolution, width in self.config.widths.items()]
        return 4 * (sum(maps) + 8 * max(maps))


def _return_freed_memory() -> None:
    """Give what the file and the unfolded network took back to the system: glibc would keep most of it."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # Other C libraries have no such call.
        ctypes.CDLL(None).malloc_trim(0)
