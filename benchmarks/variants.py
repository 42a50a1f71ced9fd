"""One network and one image in files, and every way to run the one on the other.

The modules that run networks are imported by those who need them: a worker holds no more than its own.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from measure import Unavailable, Work

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gpen_nodes import Gpen

__all__ = [
    "EXPORTED",
    "ON_GPU",
    "RELEASED",
    "VARIANTS",
    "Case",
    "export",
    "lacking",
    "load",
    "network",
    "prepare",
]

RELEASED = {256: (0.5, 1), 512: (1, 2), 1024: (1, 2), 2048: (1, 2)}
"""Narrow and multiplier of the released checkpoints, by size."""

Forward = Callable[[np.ndarray], Any]


class Case(NamedTuple):
    """Where a network's weights are, and the folder of what belongs to it."""

    weights: Path
    folder: Path

    @property
    def picture(self) -> Path:
        """[1, 3, S, S] float32 in [-1, 1]."""
        return self.folder / "picture.npy"

    @property
    def onnx(self) -> Path:
        return self.folder / "model.onnx"

    def output(self, variant: str) -> Path:
        """What a variant made of the image, [1, 3, S, S] float32, not clamped."""
        return self.folder / f"{variant}.npy"

    def keep(self, variant: str, output: np.ndarray) -> None:
        """Write what a variant made.

        Raises:
            Unavailable: it is no image.
        """
        if not np.isfinite(output).all():
            raise Unavailable("its output holds NaN or infinity")
        np.save(self.output(variant), output)


def prepare(case: Case, size: int | None) -> tuple[int, int]:
    """Write weights unless they are there, the image, and what the module makes of it.

    Args:
        case: where to.
        size: of the released architecture to fill with random weights; None takes the weights as they are.

    Returns:
        The output's side in pixels and the threads that torch would use.
    """
    import torch

    from gpen_nodes import Checkpoint, write_checkpoint

    if size is not None:
        random = _random_network(size)
        write_checkpoint(Checkpoint(random.state_dict(), random.config), case.weights)
    module = _module(case.weights)
    side = module.config.input_size
    x = _smooth_picture(side) if size is not None else _degraded_face(side)
    np.save(case.picture, x.numpy())
    case.keep("module-fp32", module(x).numpy())
    return module.config.size, torch.get_num_threads()


def _random_network(size: int) -> Gpen:
    """Of the released widths, with outputs as large as those of a photo in [-1, 1]: PSNR's peak is 2."""
    import torch

    from gpen_nodes import Gpen, GpenConfig

    torch.manual_seed(0)
    narrow, multiplier = RELEASED[size]
    network = Gpen(GpenConfig(size, size, narrow, multiplier)).requires_grad_(False)
    for name, tensor in network.named_parameters():
        if name.endswith(("bias", "noise.weight")):  # They start at 0 and 1, which could be left out.
            tensor += 0.3 * torch.randn_like(tensor)
    gain = 0.5 / network(_smooth_picture(size)).std()
    for name, tensor in network.named_parameters():
        if "to_rgb" in name and "modulation" not in name:  # The output is linear in these.
            tensor *= gain
    return network


def _smooth_picture(size: int) -> Tensor:
    import torch
    import torch.nn.functional as F

    coarse = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, (size, size), mode="bilinear", align_corners=True) * 2 - 1


def _degraded_face(size: int) -> Tensor:
    """A real portrait where scikit-image brings it, degraded as in the published figures."""
    import torch

    from gpen_nodes import EVALUATION_RECIPE, align_face, degrade, detect_faces, from_uint8
    from gpen_nodes.images import to_network

    try:
        portrait = from_uint8(importlib.import_module("skimage.data").astronaut())
    except ImportError:
        return _smooth_picture(size)
    crop = align_face(portrait, detect_faces(portrait)[0], size).crop
    assert crop is not None
    return to_network(degrade(crop[None], EVALUATION_RECIPE, torch.Generator().manual_seed(0))[0])


def _module(weights: Path) -> Gpen:
    from gpen_nodes import Gpen, read_checkpoint

    return Gpen.from_state_dict(read_checkpoint(weights).state).requires_grad_(False).eval()


def export(case: Case) -> None:
    """Write the network as ONNX."""
    import torch

    torch.onnx.export(
        _module(case.weights), (torch.from_numpy(np.load(case.picture)),), str(case.onnx), verbose=False
    )


def network(variant: str, weights: Path, device: str) -> Callable[[Tensor], Tensor]:
    """One of this package's variants, on a device; a folded one as restoring uses it."""
    from gpen_nodes import Restorer

    kind, dtype, *graph = variant.split("-")
    if kind == "module":
        return _module(weights).to(device)
    backend = "cuda_graphs" if graph else "folded"
    folded = Restorer.from_file(str(weights), dtype, backend=backend).module
    assert folded is not None
    return folded.to(device)


def _original(weights: Path) -> nn.Module:
    """The network in GPEN's own code, with the same weights."""
    checkout = os.environ.get("GPEN_REFERENCE")
    if not checkout:
        raise Unavailable("GPEN_REFERENCE names no checkout of yangxy/GPEN")
    from gpen_nodes.model.names import to_released_names

    module = _module(weights)
    config = module.config
    if config.encoder != "conv" or config.input_size != config.size:
        raise Unavailable("the original has no such network")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # With a GPU in sight it compiles kernels when it is imported.
    sys.path.insert(0, str(Path(checkout) / "face_model"))
    original = importlib.import_module("gpen_model").FullGenerator(
        config.size,
        config.style_dim,
        config.mapping_depth,
        config.multiplier,
        isconcat=config.concat,
        narrow=config.narrow,
        device="cpu",
    )
    original.load_state_dict(to_released_names(module.state_dict()))
    return original.eval()


def _with_torch(variant: str, case: Case, threads: int) -> Forward:
    import torch

    torch.set_num_threads(threads)
    run: Callable[[Tensor], Any]
    run = _original(case.weights) if variant == "reference" else network(variant, case.weights, "cpu")

    @torch.no_grad()
    def forward(x: np.ndarray) -> np.ndarray:
        output = run(torch.from_numpy(x))
        return (output[0] if isinstance(output, tuple) else output).numpy()

    return forward


def _with_onnxruntime(variant: str, case: Case, threads: int) -> Forward:
    import onnxruntime  # pyright: ignore[reportMissingImports]  # an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(case.onnx), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _with_openvino(variant: str, case: Case, threads: int) -> Forward:
    import openvino  # pyright: ignore[reportMissingImports]  # an extra

    precision = "bf16" if variant.endswith("bf16") else "f32"
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    settings["INFERENCE_PRECISION_HINT"] = precision
    model = openvino.Core().compile_model(str(case.onnx), "CPU", settings)
    used = model.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used != precision:
        raise Unavailable(f"OpenVINO computes in {used} on this processor")
    request = model.create_infer_request()
    return lambda x: request.infer([x], share_inputs=True, share_outputs=True)[0]


def _with_backend(variant: str, case: Case, threads: int) -> Forward:
    """An engine as this package runs it, ``backend-NAME-DTYPE``."""
    import torch

    from gpen_nodes import Restorer

    torch.set_num_threads(threads)
    _, name, dtype = variant.split("-")
    backend = Restorer.from_file(str(case.weights), dtype, backend=name).backend
    backend.place(torch.device("cpu"))
    return lambda x: backend.run(torch.from_numpy(x), lambda: None).numpy()


VARIANTS: dict[str, Callable[[str, Case, int], Forward]] = {
    "reference": _with_torch,
    "module-fp32": _with_torch,
    "folded-fp32": _with_torch,
    "folded-bf16": _with_torch,
    "onnxruntime-fp32": _with_onnxruntime,
    "openvino-fp32": _with_openvino,
    "openvino-bf16": _with_openvino,
    "backend-openvino-fp32": _with_backend,
    "backend-openvino-bf16": _with_backend,
    "backend-onnxruntime-fp32": _with_backend,
}
EXPORTED = ("onnxruntime-fp32", "openvino-fp32", "openvino-bf16")
ON_GPU = ("module-fp32", "folded-fp32", "folded-fp32-graph", "folded-bf16", "folded-bf16-graph")
ENGINES = ("onnxruntime", "openvino")
EXPORTERS = ("onnx", "onnxscript")  # what torch's exporter imports


def lacking(names: Iterable[str]) -> dict[str, str]:
    """Variants that cannot run for want of packages, and what they want."""
    found = {}
    for name in names:
        needed = [engine for engine in ENGINES if engine in name.split("-")]
        needed += EXPORTERS if name in EXPORTED else ()
        if absent := [package for package in needed if importlib.util.find_spec(package) is None]:
            found[name] = f"pip install {' '.join(absent)}"
    return found


def load(variant: str, case: Case, threads: int) -> Work:
    """Load a variant, run it once and keep what it made; for a worker."""
    forward = VARIANTS[variant](variant, case, threads)
    x = np.load(case.picture)
    case.keep(variant, forward(x))
    return Work(lambda: forward(x))
