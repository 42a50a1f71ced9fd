"""The steps of a degradation, in the order in which a camera and a network do them.

Lens blur, motion blur, down-sampling, sensor noise, JPEG, resizing back, colour. Everything runs on the CPU,
where the JPEG codec is, whatever device the image is on.
"""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from ..images import as_batch, check_range, from_uint8, to_uint8
from .recipe import DegradationRecipe, DegradationValues

__all__ = ["Enlarging", "apply_degradation", "degrade"]

Enlarging = Literal["linear", "cubic"]
_ENLARGING = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}

_BAND_ROWS = 48  # rows of the image that are blurred at once


def degrade(
    image: Tensor,
    recipe: DegradationRecipe,
    generator: torch.Generator,
    *,
    enlarge: Enlarging = "linear",
) -> tuple[Tensor, list[DegradationValues]]:
    """Degrade each image of a batch in its own way, the same way for the same generator state.

    Args:
        image: ``[B, H, W, C]`` or ``[H, W, C]`` in [0, 1], on any device; C of 1, 3 (RGB) or 4 (with alpha).
        recipe: what to draw from.
        generator: the only source of random numbers. One on the CPU gives the same draws on every machine.
        enlarge: how the small image is brought back to its size, "linear" or "cubic".

    Returns:
        The degraded images, float32 in [0, 1], of the input's shape and device and with its alpha; and the
        values drawn for each.

    Raises:
        ImageError: not an image.
    """
    batch = as_batch(image)
    check_range(batch)
    drawn = [recipe.draw(generator) for _ in batch]
    return _degraded(batch, drawn, enlarge).reshape(image.shape), drawn


def apply_degradation(image: Tensor, values: DegradationValues) -> Tensor:
    """Degrade one image ``[H, W, C]`` exactly as ``values`` say; what comes back is as in `degrade`."""
    return _degraded(as_batch(image)[:1], [values])[0]


def _degraded(batch: Tensor, values: list[DegradationValues], enlarge: Enlarging = "linear") -> Tensor:
    """A new batch, one set of values for each image."""
    batch = batch.detach()
    colours = batch[..., :3].cpu().contiguous()
    result = torch.empty_like(colours)
    # OpenCV drops an axis of one channel, so gray images are given to it without that axis.
    images, targets = colours.squeeze(-1).numpy(), result.squeeze(-1).numpy()
    for colour, own, target in zip(images, values, targets, strict=True):
        _degrade_colour(colour, own, target, enlarge)
    result = result.to(batch.device)
    return torch.cat((result, batch[..., 3:]), dim=-1) if batch.shape[-1] > 3 else result


def _degrade_colour(
    colour: np.ndarray, values: DegradationValues, target: np.ndarray, enlarge: Enlarging
) -> None:
    """Degrade ``[H, W, 3]`` or ``[H, W]`` into ``target`` of the same shape."""
    height, width = colour.shape[:2]
    small_size = max(1, round(width / values.scale)), max(1, round(height / values.scale))
    colour = _blurred(colour, values, small_size)
    colour = _compress(_add_noise(colour, values), values)
    cv2.resize(colour, (width, height), dst=target, interpolation=_ENLARGING[enlarge])
    _recolour(target, values)
    target.clip(0, 1, out=target)
    if values.again is not None:
        _degrade_colour(target.copy(), values.again, target, enlarge)


def _blurred(colour: np.ndarray, values: DegradationValues, size: tuple[int, int]) -> np.ndarray:
    """Lens blur, motion blur, and down-sampling to ``size`` (width, height) by averages over areas."""
    moves = values.motion_length > 1
    if values.blur_sigma > 0:
        colour = _lens_blurred(colour, values.blur_sigma, colour.shape[1::-1] if moves else size)
    if moves:
        colour = cv2.filter2D(colour, -1, _motion_kernel(values.motion_length, values.motion_angle))
    if colour.shape[1::-1] != size:
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
    return colour


def _lens_blurred(colour: np.ndarray, sigma: float, size: tuple[int, int]) -> np.ndarray:
    """Gaussian blur, and then averages over areas that leave ``size`` (width, height).

    Blurring first would mostly compute pixels that down-sampling then drops. So both are done at once, as
    matrix products: for the columns, then for the rows.
    """
    (height, width), (columns, rows) = colour.shape[:2], size
    bands = _bands(height, rows, sigma)
    colour = cv2.transpose(_weighted(colour, bands))
    if (width, columns) != (height, rows):
        bands = _bands(width, columns, sigma)
    return cv2.transpose(_weighted(colour, bands))


def _bands(height: int, count: int, sigma: float) -> list[tuple[Tensor, Tensor | slice]]:
    """Weights that turn ``height`` rows into ``count`` blurred and averaged ones, in bands of a few results.

    Each band has its weights, one row for each result, and the rows of the input that they are for. A weight
    is the integral of a Gaussian around the input's row over the area of the result.
    """
    step = height / count
    reach = round(8 * sigma + 1) // 2  # as OpenCV's GaussianBlur counts it
    borders = np.arange(-reach, reach + 2)  # of the pixels around one
    integral = np.append(0, cv2.getGaussianKernel(2 * reach + 1, sigma).cumsum())
    band, bands = math.ceil(_BAND_ROWS / step), []
    for top in range(0, count, band):
        edges = np.arange(top, min(top + band, count) + 1) * step
        seen = np.arange(math.floor(edges[0]) - reach, math.ceil(edges[-1]) + reach)
        weights = np.diff(np.interp(edges[:, None] - seen, borders, integral), axis=0) / step
        if seen[0] < 0 or seen[-1] >= height:  # beyond the border: mirrored at the outer rows' centres
            rows = torch.from_numpy(np.abs((seen + height - 1) % max(1, 2 * height - 2) - (height - 1)))
        else:
            rows = slice(seen[0], seen[-1] + 1)
        bands.append((torch.from_numpy(weights.astype(np.float32)), rows))
    return bands


def _weighted(colour: np.ndarray, bands: list[tuple[Tensor, Tensor | slice]]) -> np.ndarray:
    """The bands' weighted sums of rows."""
    image = torch.from_numpy(colour.reshape(len(colour), -1))
    result = image.new_empty(sum(len(weights) for weights, _ in bands), image.shape[1])
    for (weights, rows), part in zip(bands, result.split(len(bands[0][0])), strict=True):
        torch.mm(weights, image[rows], out=part)
    return result.numpy().reshape(-1, *colour.shape[1:])


def _motion_kernel(length: float, angle: float) -> np.ndarray:
    """Anti-aliased line through the centre of an odd square, float32, summing to 1.

    The line runs between the centres of its first and last pixel, ``length - 1`` px long: it shrinks to the
    identity at length 1. Many points along it are each shared out among the four pixels around them.
    """
    reach = (length - 1) / 2
    radius = math.ceil(reach)
    along = np.linspace(-reach, reach, 16 * radius + 1)[:, None]
    pixel = np.arange(-radius, radius + 1)
    radians = math.radians(angle)
    columns = np.maximum(0, 1 - np.abs(pixel - along * math.cos(radians)))
    rows = np.maximum(0, 1 - np.abs(pixel + along * math.sin(radians)))  # rows count downwards
    return (rows.T @ columns / len(along)).astype(np.float32)


def _add_noise(colour: np.ndarray, values: DegradationValues) -> np.ndarray:
    """A new array, in [0, 1] as a sensor saturates."""
    image = torch.from_numpy(colour)
    if values.noise_sigma > 0:
        generator = torch.Generator().manual_seed(values.noise_seed)
        noise = torch.empty_like(image).normal_(0, values.noise_sigma / 255, generator=generator)
        return noise.add_(image).clamp_(0, 1).numpy()
    return image.clamp(0, 1).numpy()


def _compress(colour: np.ndarray, values: DegradationValues) -> np.ndarray:
    if values.jpeg_quality is None:
        return colour
    pixels = to_uint8(torch.from_numpy(colour))
    if colour.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)  # as OpenCV's codec counts them
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, values.jpeg_quality])
    pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    if colour.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return from_uint8(pixels).numpy()


def _recolour(colour: np.ndarray, values: DegradationValues) -> np.ndarray:
    """In place."""
    if values.gamma != 1:
        np.power(colour, np.float32(values.gamma), out=colour)
    if values.contrast != 1:
        colour -= 0.5
        colour *= np.float32(values.contrast)
        colour += 0.5
    if colour.ndim == 3 and any(values.colour_shift):
        # As a whole row of pixels: NumPy is slow when the inner axis has three numbers.
        colour += np.full(colour.shape[1:], values.colour_shift, np.float32)
    return colour
