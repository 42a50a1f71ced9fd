"""Restored faces back into their images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import FaceError, OptionError
from ...host import Host, interrupts_of, tell_stage
from ...images import LUMA, as_batch, check_range
from ...options import gather
from ..face import AlignedFace, DetectedFace, all_aligned
from ..geometry.resample import compose, extent, invert, resizing, shift, warp
from ..options import PasteOptions
from .colour import matched
from .mask import soft_mask

__all__ = ["paste_back"]

Region = tuple[int, slice, slice]  # image, rows and columns: an index of the batch

_BAND_PIXELS = 2**16  # pasted at once: what that takes is little beside a large face's pixels
_COPIED_ROWS = 1024


@torch.no_grad()
def paste_back(
    image: Tensor,
    faces: Iterable[DetectedFace],
    options: PasteOptions | None = None,
    *,
    scale: float | None = None,
    mask: Tensor | None = None,
    host: Host | None = None,
    **keywords: Any,
) -> tuple[Tensor, Tensor]:
    """Paste the crops of aligned, restored faces into the image that they came from.

    Each crop fades out over a rounded square, to exactly nothing at its border. Where several overlap they
    are averaged by how much each counts there. Pixels that no face reaches keep every bit, and the result
    doesn't depend on the order of the faces.

    Args:
        image: [B, H, W, C] or [H, W, C] in [0, 1]; not modified. Alpha stays as it is, gray gets luma. It
            may have been scaled since the faces were found.
        faces: aligned ones; a crop's side may have changed since alignment.
        options: see ``PasteOptions``, whose fields are keywords, too. With ``match_colour`` a crop gets all
            tones of the image that are coarser than 1/8 of its side.
        scale: how many times larger the image is than the one searched; None compares it with ``image_size``.
        mask: [B, H, W], [1, H, W] or [H, W] in [0, 1], how far pasting is allowed; None is fully everywhere.
        host: told of each face, asked for interrupts before every band of rows.

    Returns:
        The image [B, H, W, C], and what share of each pixel is new, [B, H, W] in [0, 1].

    Raises:
        OptionError: an option or scale out of range, a mask of another size, or an image of other proportions
            than the one searched.
        FaceError: a face that isn't aligned, or of an image that the batch doesn't have.
        ImageError: an unusable image.
    """
    options = gather(PasteOptions, options, keywords)
    # A sum of floats depends on its order, so the order mustn't be the caller's.
    ordered = sorted(all_aligned(faces), key=_sorting_key)
    batch = as_batch(image)
    check_range(batch)
    allowed = _allowed(batch, scale, mask)
    check = interrupts_of(host)
    canvas = _Canvas(batch, _copied(batch, check), _zeros(batch), allowed, options, check)
    if options.strength:
        places = [_place(face, batch, scale) for face in ordered]
        shared = iter(_shared([region for _, regions in places for region in regions]))
        for index, (face, place) in enumerate(zip(ordered, places, strict=True)):
            tell_stage(host, "Pasting faces", index, len(ordered))
            canvas.add(face, *place, shared)
        canvas.settle()
        tell_stage(host, "Pasting faces", len(ordered), len(ordered))
    return canvas.out, canvas.weights


@dataclass
class _Canvas:
    """A batch that faces are added to.

    Attributes:
        batch: as it was.
        out, weights: with the faces so far, and how much of each pixel is theirs.
        allowed: [B, H, W], how far pasting is allowed; None is fully everywhere.
        check: asks for interrupts.
        crowded: regions that several faces share.
    """

    batch: Tensor
    out: Tensor
    weights: Tensor
    allowed: Tensor | None
    options: PasteOptions
    check: Callable[[], object]
    crowded: list[Region] = field(default_factory=list)

    def add(self, face: AlignedFace, to_crop: Tensor, regions: list[Region], shared: Iterator[bool]) -> None:
        """Add one face, region by region; ``shared`` says of each whether others reach it, too."""
        out, batch = self.out, self.batch
        crop, base = face.crop.to(out), _base(face, batch)
        if self.options.match_colour:
            crop = matched(crop, batch[face.image_index], to_crop, self.check)
        for region in regions:
            self.check()
            meets = next(shared)
            self.crowded += [region] if meets else []
            in_region = compose(to_crop, shift(region[2].start, region[1].start))
            share = soft_mask(crop, in_region, _size(region), self.options.softness)
            share = self.options.strength * share
            if self.allowed is not None:
                share *= self.allowed[region]
            new = _seen(crop, in_region, region, out)
            beneath = None if base is None else _seen(base, in_region, region, out)
            _blend(out, batch, region, new, beneath, share, meets)
            self.weights[region] += share

    def settle(self) -> None:
        """Average where several faces were added."""
        for region in self.crowded:
            self.check()
            planes = _planes(self.out, region), _planes(self.batch, region)
            _settle(*planes, self.weights[region], self.options.strength)


def _blend(
    out: Tensor,
    batch: Tensor,
    region: Region,
    seen: Tensor,
    beneath: Tensor | None,
    share: Tensor,
    meets: bool,
) -> None:
    """Add to a region of ``out`` what a face changes there; in place, also of ``seen``.

    Args:
        beneath: what ``seen`` changes; None takes the image itself.
    """
    old = _planes(batch, region).contiguous()
    new = _planes(out, region) if meets else old
    blended = seen.sub_(old if beneath is None else beneath).mul_(share).add_(new)
    if not meets:
        blended.clamp_(0, 1)
    _planes(out, region).copy_(torch.where(share > 0, blended, new))


def _copied(batch: Tensor, check: Callable[[], object]) -> Tensor:
    """A copy, in parts: new memory for a film or an 8K image takes a second."""
    copy = torch.empty_like(batch)
    for image, own in zip(batch, copy, strict=True):
        for rows, place in zip(image.split(_COPIED_ROWS), own.split(_COPIED_ROWS), strict=True):
            check()
            place.copy_(rows)
    return copy


def _zeros(batch: Tensor) -> Tensor:
    """[B, H, W]. On a CPU, memory that nobody writes to is only promised, and never taken."""
    if batch.device.type == "cpu":
        return torch.from_numpy(np.zeros(batch.shape[:3], np.float32))
    return batch.new_zeros(batch.shape[:3])


def _planes(batch: Tensor, region: Region) -> Tensor:
    """A region's colours as [1 or 3, h, w], a view."""
    return batch[region][..., :3].permute(2, 0, 1)


def _shared(regions: list[Region]) -> list[bool]:
    """Which regions overlap another."""
    of_image: dict[int, list[Region]] = {}
    for region in regions:
        of_image.setdefault(region[0], []).append(region)

    def overlap(a: Region, b: Region) -> bool:
        return all(p.start < q.stop and q.start < p.stop for p, q in zip(a[1:], b[1:], strict=True))

    # Each overlaps itself.
    return [sum(overlap(region, other) for other in of_image[region[0]]) > 1 for region in regions]


def _allowed(batch: Tensor, scale: float | None, mask: Tensor | None) -> Tensor | None:
    """The mask as [B, H, W] on the image's device, once it and the scale are found sound."""
    if scale is not None and not 0 < scale < math.inf:
        raise OptionError(f"Found scale {scale}; expected a factor above 0, or None.")
    if mask is None:
        return None
    whole = tuple(batch.shape[:3])
    if tuple(mask.shape) not in (whole, (1, *whole[1:]), whole[1:]):
        raise OptionError(f"Found a mask of shape {tuple(mask.shape)}; expected {whole} or {whole[1:]}.")
    return mask.to(batch).clamp(0, 1).expand(whole)


def _sorting_key(face: AlignedFace) -> tuple[int, list[float], float]:
    """By place; where two faces lie in exactly the same, by brightness."""
    return face.image_index, face.matrix.flatten().tolist(), face.crop.sum().item()


def _place(face: AlignedFace, batch: Tensor, scale: float | None) -> tuple[Tensor, list[Region]]:
    """The map from the image's to the crop's pixels, and the bands of rows that a face covers."""
    if not 0 <= face.image_index < len(batch):
        raise FaceError(f"A face of image {face.image_index} can't go into a batch of {len(batch)} images.")
    height, width = batch.shape[1:3]
    sx, sy = (scale, scale) if scale else (width / face.image_size[1], height / face.image_size[0])
    if abs(sx / sy - 1) > 0.02:  # sides are rounded when an image is scaled, but not by so much
        found, searched = f"{width}×{height}", f"{face.image_size[1]}×{face.image_size[0]}"
        raise OptionError(
            f"Found an image of {found}; expected the proportions of the {searched} in which the face was "
            "found. Pass the image as it was, or scaled as a whole, or give scale."
        )
    side = len(face.crop)
    to_crop = compose(resizing(side / face.crop_size, side / face.crop_size), face.matrix)
    to_crop = compose(to_crop, resizing(1 / sx, 1 / sy))
    (x0, x1), (y0, y1) = (
        (max(0, math.floor(low)), min(limit, math.ceil(high) + 1))
        for (low, high), limit in zip(extent(invert(to_crop), (side, side)), (width, height), strict=True)
    )
    rows = max(1, _BAND_PIXELS // max(1, x1 - x0))
    tops = range(y0, y1 if x0 < x1 else y0, rows)
    return to_crop, [(face.image_index, slice(top, min(top + rows, y1)), slice(x0, x1)) for top in tops]


def _base(face: AlignedFace, batch: Tensor) -> Tensor | None:
    """What the crop's difference is from. An image that was enlarged since then has detail of its own."""
    return face.base if tuple(batch.shape[1:3]) == tuple(face.image_size) else None


def _seen(crop: Tensor, to_crop: Tensor, region: Region, out: Tensor) -> Tensor:
    """The crop as it appears in a region of ``out``, [1 or 3, h, w]."""
    seen = warp(crop.permute(2, 0, 1)[None], to_crop, _size(region))[0]
    if out.shape[3] == 1:
        seen = (seen * seen.new_tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
    return seen


def _size(region: Region) -> tuple[int, int]:
    return region[1].stop - region[1].start, region[2].stop - region[2].start


def _settle(new: Tensor, old: Tensor, total: Tensor, strength: float) -> None:
    """Where the weights of several faces exceed 1, make the sum of their changes an average; in place."""
    mean = torch.where(total > strength, old + (new - old) * strength / total, new)
    new.copy_(torch.where(total > 0, mean.clamp(0, 1), new))
    total.clamp_(max=strength)
