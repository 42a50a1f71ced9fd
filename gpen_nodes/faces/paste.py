"""Restored faces back into their pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain

import torch
from torch import Tensor

from ..errors import FaceError, OptionError
from ..images import as_batch
from .colour import matched
from .face import Face
from .resample import compose, extent, invert, resizing, shift, unit_grid, warp

__all__ = ["paste_back"]

Region = tuple[int, slice, slice]  # image, rows and columns: an index of the batch

_LUMA = (0.299, 0.587, 0.114)  # BT.601, by which image libraries make gray
_BAND_PIXELS = 2**20  # pasted at once, so that a face of 4000 px doesn't take gigabytes
_ROUNDNESS = 3  # of the mask: 2 is a circle, more is nearer to a square


@torch.no_grad()
def paste_back(
    image: Tensor,
    faces: Iterable[Face],
    *,
    strength: float = 1.0,
    softness: float = 0.4,
    scale: float | None = None,
    mask: Tensor | None = None,
    match_colour: bool = False,
) -> tuple[Tensor, Tensor]:
    """Paste the crops of aligned, restored faces into the image that they came from.

    Each crop fades out over a rounded square, to exactly nothing at its border. Where several overlap they
    are averaged by how much each counts there. Pixels that no face reaches keep every bit, and the result
    doesn't depend on the order of the faces.

    Args:
        image: [B, H, W, C] or [H, W, C] in [0, 1]; not modified. Alpha stays as it is, gray gets luma. It
            may have been scaled since the faces were found.
        faces: with ``crop`` and ``matrix``; a crop's side may have changed since alignment.
        strength: 1 pastes the crops as they are, 0 leaves the image as it is.
        softness: share of the crop's half side over which it fades, in (0, 1].
        scale: how many times larger the image is than the one searched; None compares it with ``image_size``.
        mask: [B, H, W], [1, H, W] or [H, W] in [0, 1], how far pasting is allowed; None is fully everywhere.
        match_colour: give each crop the image's tones first: all that is coarser than 1/8 of its side.

    Returns:
        The image [B, H, W, C], and what share of each pixel is new, [B, H, W] in [0, 1].

    Raises:
        OptionError: strength, softness or scale out of range, a mask of another size, or an image of other
            proportions than the one searched.
        FaceError: a face that isn't aligned, or of an image that the batch doesn't have.
        ImageError: an unusable image.
    """
    batch = as_batch(image)
    allowed = _checked(batch, strength, softness, scale, mask)
    out = batch.clone()
    weights = batch.new_zeros(batch.shape[:3])
    if strength == 0:
        return out, weights
    colours = min(batch.shape[3], 3)
    regions = []
    # A sum of floats depends on its order, so the order mustn't be the caller's.
    ordered = sorted(faces, key=_sorting_key)
    for place in chain.from_iterable(_places(face, batch, scale, match_colour) for face in ordered):
        crop, weight = _seen(*place, softness, out)
        region = place[-1]
        if allowed is not None:
            weight = weight * allowed[region]
        new, old = out[region][..., :colours], batch[region][..., :colours]
        share = (strength * weight)[..., None]
        new.copy_(torch.where(share > 0, new + share * (crop - old), new))
        weights[region] += weight
        regions.append(region)
    for region in regions:
        _settle(out[region][..., :colours], batch[region][..., :colours], weights[region], strength)
    return out, weights.mul_(strength)


def _checked(
    batch: Tensor, strength: float, softness: float, scale: float | None, mask: Tensor | None
) -> Tensor | None:
    """The mask as [B, H, W] on the image's device, once all options are found sound."""
    if not 0 <= strength <= 1:
        raise OptionError(f"Found strength {strength}; expected a value in [0, 1].")
    if not 0 < softness <= 1:
        raise OptionError(f"Found softness {softness}; expected a value above 0, up to 1.")
    if scale is not None and not 0 < scale < math.inf:
        raise OptionError(f"Found scale {scale}; expected a factor above 0, or None.")
    if mask is None:
        return None
    whole = tuple(batch.shape[:3])
    if tuple(mask.shape) not in (whole, (1, *whole[1:]), whole[1:]):
        raise OptionError(f"Found a mask of shape {tuple(mask.shape)}; expected {whole} or {whole[1:]}.")
    return mask.to(batch).clamp(0, 1).expand(whole)


def _aligned(face: Face) -> tuple[Tensor, Tensor]:
    """A face's matrix and crop."""
    if face.matrix is None or face.crop is None:
        raise FaceError("A face that isn't aligned has nothing to paste. Align it with align_face first.")
    return face.matrix, face.crop


def _sorting_key(face: Face) -> tuple[int, list[float], float]:
    """By place; where two faces lie in exactly the same, by brightness."""
    matrix, crop = _aligned(face)
    return face.image_index, matrix.flatten().tolist(), crop.sum().item()


def _places(
    face: Face, batch: Tensor, scale: float | None, match_colour: bool
) -> Iterator[tuple[Tensor, Tensor, Region]]:
    """The regions that a face covers, each with the crop and the map from its pixels to the crop's."""
    if not 0 <= face.image_index < len(batch):
        raise FaceError(f"A face of image {face.image_index} can't go into a batch of {len(batch)} images.")
    height, width = batch.shape[1:3]
    sx, sy = (scale, scale) if scale else (width / face.image_size[1], height / face.image_size[0])
    if abs(sx / sy - 1) > 0.02:  # sides are rounded when a picture is scaled, but not by so much
        found, searched = f"{width}×{height}", f"{face.image_size[1]}×{face.image_size[0]}"
        raise OptionError(
            f"Found an image of {found}; expected the proportions of the {searched} in which the face was "
            "found. Pass the image as it was, or scaled as a whole, or give scale."
        )
    matrix, crop = _aligned(face)
    side = len(crop)
    to_crop = compose(resizing(side / face.crop_size, side / face.crop_size), matrix)
    to_crop = compose(to_crop, resizing(1 / sx, 1 / sy))
    if match_colour:
        crop = matched(crop.to(batch), batch[face.image_index], to_crop)
    (x0, x1), (y0, y1) = (
        (max(0, math.floor(low)), min(limit, math.ceil(high) + 1))
        for (low, high), limit in zip(extent(invert(to_crop), (side, side)), (width, height), strict=True)
    )
    rows = max(1, _BAND_PIXELS // max(1, x1 - x0))
    for top in range(y0, y1 if x0 < x1 else y0, rows):
        region = face.image_index, slice(top, min(top + rows, y1)), slice(x0, x1)
        yield crop, compose(to_crop, shift(x0, top)), region


def _seen(
    crop: Tensor, to_crop: Tensor, region: Region, softness: float, out: Tensor
) -> tuple[Tensor, Tensor]:
    """The crop as it appears in a region of ``out``, [h, w, 1 or 3], and its weight there, [h, w]."""
    size = region[1].stop - region[1].start, region[2].stop - region[2].start
    crop = crop.to(out).permute(2, 0, 1)
    seen = warp(crop[None], to_crop, size)[0].permute(1, 2, 0)
    if out.shape[3] == 1:
        seen = (seen * seen.new_tensor(_LUMA)).sum(-1, keepdim=True)
    # A superellipse: 0 in the crop's middle, 1 where it touches the crop's sides.
    radius = unit_grid(to_crop, size, crop).abs().pow(_ROUNDNESS).sum(-1).pow(1 / _ROUNDNESS)
    t = ((1 - radius) / softness).clamp(0, 1)
    return seen, t * t * t * (t * (6 * t - 15) + 10)  # two derivatives vanish at both ends: no visible edge


def _settle(new: Tensor, old: Tensor, total: Tensor, strength: float) -> None:
    """Where the weights of several faces exceed 1, make the sum of their changes an average; in place."""
    shares = total[..., None]
    mean = torch.where(shares > 1, old + (new - old) / shares, new)
    new.copy_(torch.where(shares * strength > 0, mean.clamp(0, 1), new))
    total.clamp_(max=1)
