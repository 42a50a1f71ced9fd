"""Degraded faces per second and core, beside the pipeline of GFPGAN's training set.

The other side is the package ``basicsr``: its blur kernels, noise and JPEG with OpenCV's filter2D and resize,
in the order and with the ranges of GFPGAN's ``FFHQDegradationDataset`` and its training options. Both sides
run on one thread, face by face in turn, and CPU time is counted, which neighbours hardly disturb.

"ours" draws from the same ranges in the same way, but our blur is never anisotropic. Both sides scale by 1 to
8, uniformly; GFPGAN's 0.8 to 8 is more than our recipe can say. "ours, log scale" draws the scale as our
recipes do, on a logarithmic scale, which leaves larger images to work on.

    pip install --no-deps --no-build-isolation basicsr
    pip install scipy torchvision scikit-image
    python benchmarks/degrade.py
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import sys
import time
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from report import table, write_json

from gpen_nodes import DegradationRecipe, degrade, from_uint8

SCALE = (1, 8)
GFPGAN_RANGES = DegradationRecipe(
    scale=SCALE,
    blur_sigma=(0.1, 10),
    noise_sigma=(0, 20),
    jpeg_quality=(60, 100),
    blur_probability=1,
    motion_probability=0,
    noise_probability=1,
    jpeg_probability=1,
    colour_probability=0,
)
COLUMNS = {
    "variant": ("variant", "s"),
    "cpu_ms": ("ms a face", ".2f"),
    "faces_per_core_s": ("faces/s/core", ".1f"),
    "times_basicsr": ("× basicsr", ".2f"),
}
DRAW = np.random.default_rng(0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="side of the faces in pixels")
    parser.add_argument("--faces", type=int, default=40, help="faces in a run")
    parser.add_argument("--runs", type=int, default=5, help="the median run counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    face = cv2.resize(_astronaut(), (args.size, args.size), interpolation=cv2.INTER_AREA)
    rows = _rows(_variants(face), args.faces, args.runs)
    print(f"{args.size} px, {args.faces} faces in each of {args.runs} runs, one thread, CPU time\n")
    print(table(rows, COLUMNS))
    write_json(rows, args.json)


def _astronaut() -> np.ndarray:
    from skimage import data

    return data.astronaut()


def _variants(face: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Each variant as a function that degrades one face in a new way."""
    image = from_uint8(face)
    generator = torch.Generator().manual_seed(0)
    variants: dict[str, Callable[[], Any]] = {
        "ours": lambda: degrade(image, _with_uniform_scale(), generator),
        "ours, log scale": lambda: degrade(image, GFPGAN_RANGES, generator),
        "ours, default recipe": lambda: degrade(image, DegradationRecipe(), generator),
    }
    basicsr = _basicsr()
    if basicsr is None:
        print("basicsr is not installed, so there is nothing to compare with: pip install --no-deps basicsr")
    else:
        np.random.seed(0)  # noqa: NPY002  basicsr itself draws from the global generator
        bgr = image.numpy()[..., ::-1].copy()
        variants = {"basicsr": lambda: _as_gfpgan(basicsr, bgr)} | variants
    return variants


def _with_uniform_scale() -> DegradationRecipe:
    scale = DRAW.uniform(*SCALE)
    return replace(GFPGAN_RANGES, scale=(scale, scale))


def _basicsr() -> types.ModuleType | None:
    """basicsr's degradations, from their file alone.

    The package itself can't be imported beside a new torchvision: ``transforms.functional_tensor`` is gone.
    A stand-in holds the one function that degradations.py imports from there, and never calls here.
    """
    found = importlib.util.find_spec("basicsr")
    if found is None or not found.submodule_search_locations:
        return None
    from torchvision.transforms import functional

    stand_in: Any = types.ModuleType("torchvision.transforms.functional_tensor")
    stand_in.rgb_to_grayscale = functional.rgb_to_grayscale
    sys.modules.setdefault(stand_in.__name__, stand_in)
    path = Path(found.submodule_search_locations[0], "data", "degradations.py")
    spec = importlib.util.spec_from_file_location("basicsr_degradations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _as_gfpgan(basicsr: Any, face: np.ndarray) -> torch.Tensor:
    """[H, W, 3] BGR in [0, 1] to [3, H, W] RGB, degraded and rounded to 8 bits."""
    height, width = face.shape[:2]
    kernel = basicsr.random_mixed_kernels(
        ["iso", "aniso"], [0.5, 0.5], 41, [0.1, 10], [0.1, 10], [-math.pi, math.pi], noise_range=None
    )
    low = cv2.filter2D(face, -1, kernel)
    scale = DRAW.uniform(*SCALE)
    small = int(width // scale), int(height // scale)
    low = cv2.resize(low, small, interpolation=cv2.INTER_LINEAR)
    low = basicsr.random_add_gaussian_noise(low, [0, 20])
    # random_add_jpg_compression draws a fraction, which newer OpenCVs refuse.
    low = basicsr.add_jpg_compression(low, int(DRAW.uniform(60, 100)))
    low = cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR)
    tensor = torch.from_numpy(cv2.cvtColor(low, cv2.COLOR_BGR2RGB).transpose(2, 0, 1))
    return tensor.mul(255).round().clamp(0, 255) / 255


def _rows(variants: dict[str, Callable[[], Any]], faces: int, runs: int) -> list[dict[str, Any]]:
    seconds = {name: [0.0] * runs for name in variants}
    for name in variants:
        variants[name]()
    for run in range(runs):
        for _ in range(faces):
            for name, degrade_one in variants.items():
                start = time.process_time()
                degrade_one()
                seconds[name][run] += (time.process_time() - start) / faces
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    other = medians.get("basicsr")
    return [
        {
            "variant": name,
            "cpu_ms": 1000 * value,
            "faces_per_core_s": 1 / value,
            "times_basicsr": other / value if other else None,
        }
        for name, value in medians.items()
    ]


if __name__ == "__main__":
    main()
