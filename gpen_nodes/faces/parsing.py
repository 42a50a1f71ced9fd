"""A face parser of the user's own: an ONNX network that tells the face from what is in front of it.

Two kinds are known by their shapes. Parsers as trained on CelebAMask-HQ (Lee et al. 2020; BiSeNet and others)
take 1×3×S×S, RGB normalised by ImageNet's mean and deviation, and give scores of 19 classes. Occluders (XSeg)
take 1×S×S×3, BGR in [0, 1], and give the share of the face that is seen.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.onnx.parse import parse
from ..errors import ArchitectureError, CheckpointError, MissingWeightsError
from ..images import resize

__all__ = ["FaceParser", "find_parser"]

_CLASSES = 19
_IN_FRONT = (0, 16, 18)  # of CelebAMask-HQ: background, cloth, hat; hands and microphones are taken for these
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_USUAL = 512  # side in pixels of a parser that takes any


@lru_cache(maxsize=1)
def find_parser(path: str) -> FaceParser:
    """The parser of a file, kept once read."""
    return FaceParser(Path(path))


class FaceParser:
    """Tells where a crop shows the face itself.

    Args:
        path: an ONNX file. It runs on the CPU.

    Raises:
        MissingWeightsError: there is no such file, or onnxruntime is not installed.
        CheckpointError: it cannot be read.
        ArchitectureError: it takes or gives something else.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MissingWeightsError(f"Found no file {path}; expected the ONNX file of a face parser.")
        self._path, self._is_occluder, self._side = path, *_form(path)
        self._session = _session(path)

    @torch.no_grad()
    def seen(self, crop: Tensor) -> Tensor:
        """Where the face is seen.

        Args:
            crop: [S, S, 3] in [0, 1], aligned.

        Returns:
            [1, S, S] in [0, 1] on the crop's device, 0 where something else is.
        """
        taken = resize(crop[None], self._side, self._side).to("cpu", torch.float32)
        if self._is_occluder:
            share = self._run(taken.flip(-1)).reshape(1, self._side, self._side, 1).clamp(0, 1)
        else:
            planes = (taken - torch.tensor(_MEAN)) / torch.tensor(_DEVIATION)
            scores = self._run(planes.permute(0, 3, 1, 2)).softmax(1)
            share = 1 - scores[:, list(_IN_FRONT)].sum(1)[..., None]
        return resize(share.to(crop), *crop.shape[:2])[..., 0]

    def _run(self, picture: Tensor) -> Tensor:
        name = self._session.get_inputs()[0].name
        try:
            given = self._session.run(None, {name: np.ascontiguousarray(picture.numpy())})[0]
        except Exception as error:  # its errors have no base of their own
            raise ArchitectureError(f"{self._path} does not run as a face parser: {error}") from error
        return torch.from_numpy(np.asarray(given, np.float32))


def _form(path: Path) -> tuple[bool, int]:
    """Whether a file is an occluder, and its side in pixels."""
    try:
        graph = parse(memoryview(path.read_bytes()), path.parent)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as ONNX: {error}. Choose another file.") from error
    inputs = [graph.shapes.get(name, []) for name in graph.inputs if name not in graph.constants]
    given = graph.shapes.get(graph.outputs[0], []) if graph.outputs else []
    if len(inputs) == 1 and len(inputs[0]) == 4 and inputs[0][0] in (0, 1):
        _, channels, height, width = inputs[0]
        if channels == 3 and height == width and (len(given) != 4 or given[1] in (0, _CLASSES)):
            return False, width or _USUAL
        if width == 3 and channels == height > 0:
            return True, height
    raise ArchitectureError(
        f"{path} is no face parser that is known here: found a graph from {inputs} to {given}; expected "
        f"1×3×S×S to 1×{_CLASSES}×S×S (CelebAMask-HQ's classes), or 1×S×S×3 to 1×S×S×1 (an occluder)."
    )


def _session(path: Path) -> Any:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingWeightsError(
            f"A face parser needs onnxruntime ({error}): `pip install gpen-nodes[onnx]`, or leave it out."
        ) from error
    settings = runtime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = torch.get_num_threads()
    try:
        return runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base of their own
        raise CheckpointError(
            f"{path} cannot be run by onnxruntime: {error}. Choose another file."
        ) from error
