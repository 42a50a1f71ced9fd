"""facexlib's RetinaFace as an alternative detector. It never downloads anything.

Deng et al., "RetinaFace: Single-stage Dense Face Localisation in the Wild" (2019), arXiv:1905.00641. From
facexlib comes the network alone: its loader unpickles without restraint, its priors are a Python loop, and it
downloads unasked.
"""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...checkpoints import read_tensors
from ...errors import CheckpointError, MissingWeightsError
from ...weight_files import RETINAFACE, find_weights
from ..geometry.boxes import Detections, non_maximum
from ..geometry.resample import resized

__all__ = ["RetinaFace"]

_MEAN = (123.0, 117.0, 104.0)  # of RGB in 0..255
_PRIORS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))  # stride, and sides of the anchors in pixels
_VARIANCES = (0.1, 0.2)  # of centres and of sides
_COARSE_SIDE = 640
_FINE_PIXELS = 2**22  # the fine pass's largest image, unless smaller faces are asked for
_FINE_LIMIT = 256  # above this side, in pixels of the fine pass, its landmarks go astray


class RetinaFace:
    """The detector: one network on a device.

    Args:
        name: "retinaface_mobile0.25" or "retinaface_resnet50".
        device: where it runs.
        weights: the file; None looks where facexlib and `gpen-nodes models get` keep it.

    Raises:
        MissingWeightsError: facexlib or the file is not on this machine.
        CheckpointError: the file is damaged or another network's.
    """

    working_bytes = 1 << 30  # for an image of 4 megapixels

    def __init__(self, name: str, device: torch.device, weights: str | Path | None = None) -> None:
        self.module = self._net = _load(name, _locate(name, weights)).to(device)

    def __call__(
        self, image: Tensor, min_score: float, min_face: float, check: Callable[[], object]
    ) -> Detections:
        """Find faces, at a long side of 640 px and, for the small ones, near the image's own size.

        Args:
            image: [3, H, W] RGB in [0, 1], on the network's device.
            min_score: the least score of a face.
            min_face: side of the smallest face to look for, in pixels; 0 takes 16, or proportionally more in
                images above 4 megapixels.
            check: called all the time, before each layer among others.
        """
        height, width = image.shape[-2:]
        coarse = min(1.0, _COARSE_SIDE / max(height, width))
        smallest = _PRIORS[0][1][0]
        fine = smallest / min_face if min_face else math.sqrt(_FINE_PIXELS / (height * width))
        with _checked(self._net, check):
            found = self._look(image, coarse, min_score, check)
            wanted = min(1.0, fine) > coarse
            detail = self._look(image, min(1.0, fine), min_score, check) if wanted else None
        if detail is not None:
            small = (detail.boxes[:, 2:] - detail.boxes[:, :2]).amax(1) * min(1.0, fine) < _FINE_LIMIT
            found = Detections(*(torch.cat(p) for p in zip(found, detail.take(small), strict=True)))
        return found.take(non_maximum(found.boxes, found.scores, 0.4))

    def _look(self, image: Tensor, scale: float, min_score: float, check: Callable[[], object]) -> Detections:
        """Detections in the image at one scale, before overlapping ones are dropped."""
        height, width = image.shape[-2:]
        size = max(1, round(height * scale)), max(1, round(width * scale))
        level = resized(image[None], size, check)
        level = level.nan_to_num(0).clamp(0, 1) * 255 - level.new_tensor(_MEAN).view(3, 1, 1)
        offsets, scores, points = (part[0] for part in self._net(level.flip(1)))
        good = scores[:, 1] >= min_score
        priors = _priors(size, level)[good]
        centres, sides = priors[:, :2], priors[:, 2:]
        offsets, points = offsets[good], points[good].view(-1, 5, 2)
        middle = centres + offsets[:, :2] * _VARIANCES[0] * sides
        half = sides * torch.exp(offsets[:, 2:] * _VARIANCES[1]) / 2
        points = centres[:, None] + points * _VARIANCES[0] * sides[:, None]
        # From edges of the level to pixel centres of the image.
        unit = level.new_tensor([width / size[1], height / size[0]])
        boxes = torch.cat([(middle - half) * unit, (middle + half) * unit], dim=1)
        return Detections(boxes - 0.5, scores[good, 1], points * unit - 0.5)


@contextmanager
def _checked(net: nn.Module, check: Callable[[], object]) -> Iterator[None]:
    """Ask for interrupts before each layer that this thread runs; others may use the network, too."""
    own = threading.get_ident()

    def ask(*_: Any) -> None:
        if threading.get_ident() == own:
            check()

    hooks = [layer.register_forward_pre_hook(ask) for layer in net.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _priors(size: tuple[int, int], like: Tensor) -> Tensor:
    """Anchors [N, 4] as centre and sides in pixels, ordered by stride, row, column, side like the outputs."""
    anchors = []
    for stride, sides in _PRIORS:
        rows, columns = (
            torch.arange(math.ceil(side / stride), device=like.device).to(like) + 0.5 for side in size
        )
        y, x, side = torch.meshgrid(rows * stride, columns * stride, like.new_tensor(sides), indexing="ij")
        anchors.append(torch.stack([x, y, side, side], dim=-1).flatten(0, 2))
    return torch.cat(anchors)


def _locate(name: str, weights: str | Path | None) -> Path:
    if importlib.util.find_spec("facexlib") is None:
        raise MissingWeightsError(f"The detector {name} runs in facexlib: `pip install facexlib`.")
    file = RETINAFACE[name]
    if not weights:
        return find_weights(file.name)
    if not Path(weights).is_file():
        raise MissingWeightsError(
            f"{weights}, the weights of the detector {name}, is not on this machine. Get {file.name} by "
            f"`gpen-nodes models get {file.name}` or from {file.address} ({file.licence}), name another file "
            "as weights, or use the detector 'mtcnn'."
        )
    return Path(weights)


def _load(name: str, path: Path) -> Any:
    """facexlib's network with a file's weights, on the CPU."""
    from facexlib.detection.retinaface import RetinaFace as Network

    weights = read_tensors(path)
    net = Network(name.removeprefix("retinaface_"), device="cpu")
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{path} doesn't hold the weights of {name}: {reason}") from error
    return net.requires_grad_(False).eval()
