"""How photographs of faces go bad: blur, motion, few pixels, noise, JPEG, wrong colours.

One recipe serves the node, the command and the training set. The steps run in the order in which a camera
and a network do them: lens blur, motion blur, down-sampling, sensor noise, JPEG, resizing back, colour.
Everything runs on the CPU, where the JPEG codec is, whatever device the image is on.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from .errors import OptionError
from .images import as_batch, from_uint8, to_uint8

__all__ = ["EVALUATION_RECIPE", "DegradationRecipe", "DegradationValues", "apply_degradation", "degrade"]

Range = tuple[float, float]

_BAND_ROWS = 64  # of the picture, that are blurred at once

# The widest range of each field that makes sense; a recipe may be as narrow as one value.
_LIMITS: dict[str, Range] = {
    "scale": (1, 64),
    "blur_sigma": (0, 100),
    "motion_length": (0, 255),
    "noise_sigma": (0, 255),
    "jpeg_quality": (1, 100),
    "gamma": (0.1, 10),
    "contrast": (0.01, 10),
    "colour_shift": (-1, 1),
}
# Ratios are drawn on a logarithmic scale, so that halving is as likely as doubling.
_RATIOS = ("scale", "gamma", "contrast")
# What each optional step needs; without it the values stay at their defaults, which do nothing.
_OPTIONAL_STEPS = {
    "blur": ("blur_sigma",),
    "motion": ("motion_length", "motion_angle"),
    "noise": ("noise_sigma", "noise_seed"),
    "jpeg": ("jpeg_quality",),
    "colour": ("gamma", "contrast", "colour_shift"),
}


@dataclass(frozen=True)
class DegradationValues:
    """What was done to one image. The defaults do nothing; `apply_degradation` repeats it exactly.

    Args:
        scale: down-sampling factor.
        blur_sigma: standard deviation of the Gaussian lens blur, px of the input.
        motion_length: pixels that a point sweeps over during the exposure; 0 or 1 is no motion.
        motion_angle: direction of the motion in degrees, counter-clockwise from the x axis.
        noise_sigma: standard deviation of the additive Gaussian noise, of 255, in the small picture.
        noise_seed: seed of the noise's own random generator.
        jpeg_quality: 1 to 100 as libjpeg counts, or None for no JPEG.
        gamma: exponent of every value.
        contrast: gain around mid-gray.
        colour_shift: added to red, green and blue, of 1. A gray image has no colours to shift.
    """

    scale: float = 1.0
    blur_sigma: float = 0.0
    motion_length: float = 0.0
    motion_angle: float = 0.0
    noise_sigma: float = 0.0
    noise_seed: int = 0
    jpeg_quality: int | None = None
    gamma: float = 1.0
    contrast: float = 1.0
    colour_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """One line with what was done and nothing else, such as ``×4, blur σ 1.5, JPEG 55``."""
        parts = [f"×{self.scale:.3g}"]
        if self.blur_sigma:
            parts.append(f"blur σ {self.blur_sigma:.3g}")
        if self.motion_length > 1:
            parts.append(f"motion {self.motion_length:.3g} px at {self.motion_angle:.0f}°")
        if self.noise_sigma:
            parts.append(f"noise σ {self.noise_sigma:.3g}")
        if self.jpeg_quality is not None:
            parts.append(f"JPEG {self.jpeg_quality}")
        if self.gamma != 1:
            parts.append(f"gamma {self.gamma:.3g}")
        if self.contrast != 1:
            parts.append(f"contrast {self.contrast:.3g}")
        if any(self.colour_shift):
            parts.append("colour " + " ".join(f"{shift:+.2f}" for shift in self.colour_shift))
        return ", ".join(parts)


def _is_range(value: Any, lowest: float, highest: float) -> bool:
    try:
        low, high = value
        return lowest <= low <= high <= highest
    except (TypeError, ValueError):
        return False


@dataclass(frozen=True)
class DegradationRecipe:
    """Ranges (lowest, highest) to draw from, and how often each optional step is taken.

    Equal ends fix a value. Units are those of `DegradationValues`. Down-sampling always happens:
    set ``scale`` to (1, 1) to leave it out. ``colour_probability`` decides on gamma, contrast and colour
    shift together.

    Raises:
        OptionError: a range or a probability is not one, or leaves the limits; names the field.
    """

    scale: Range = (2, 16)
    blur_sigma: Range = (0, 3)
    motion_length: Range = (0, 25)
    noise_sigma: Range = (0, 25)
    jpeg_quality: Range = (10, 100)
    gamma: Range = (0.8, 1.25)
    contrast: Range = (0.8, 1.25)
    colour_shift: Range = (-0.08, 0.08)
    blur_probability: float = 0.8
    motion_probability: float = 0.2
    noise_probability: float = 0.8
    jpeg_probability: float = 0.8
    colour_probability: float = 0.3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _LIMITS:
                low, high = _LIMITS[field.name]
                valid = _is_range(value, low, high)
                expected = f"(lowest, highest) from {low:g} to {high:g}"
            else:
                valid = _is_range((value, value), 0, 1)
                expected = "one number from 0 to 1"
            if not valid:
                raise OptionError(f"{field.name} is {value!r}; expected {expected}.")

    def draw(self, generator: torch.Generator) -> DegradationValues:
        """One image's values. Always takes as many draws, so that a step left out changes no later image."""

        def share() -> float:
            return torch.rand((), generator=generator, device=generator.device, dtype=torch.float64).item()

        def pick(name: str) -> float:
            low, high = getattr(self, name)
            return low * (high / low) ** share() if name in _RATIOS else low + (high - low) * share()

        drawn: dict[str, Any] = {name: pick(name) for name in _LIMITS if name != "colour_shift"}
        drawn["jpeg_quality"] = round(drawn["jpeg_quality"])
        drawn["colour_shift"] = (pick("colour_shift"), pick("colour_shift"), pick("colour_shift"))
        drawn["motion_angle"] = 180 * share()
        drawn["noise_seed"] = int(2**32 * share())
        for step, names in _OPTIONAL_STEPS.items():
            if share() >= getattr(self, f"{step}_probability"):
                for name in names:
                    del drawn[name]
        return DegradationValues(**drawn)


EVALUATION_RECIPE = DegradationRecipe(
    scale=(4, 4),
    blur_sigma=(1.5, 1.5),
    noise_sigma=(12.5, 12.5),
    jpeg_quality=(55, 55),
    blur_probability=1,
    motion_probability=0,
    noise_probability=1,
    jpeg_probability=1,
    colour_probability=0,
)
"""The middle of the documented ranges at ×4: what figures are measured on. No motion and true colours, which
would measure luck with the draw; only the noise differs from image to image."""


def degrade(
    image: Tensor, recipe: DegradationRecipe, generator: torch.Generator
) -> tuple[Tensor, list[DegradationValues]]:
    """Degrade each image of a batch in its own way, the same way for the same generator state.

    Args:
        image: ``[B, H, W, C]`` or ``[H, W, C]`` in [0, 1], on any device; C of 1, 3 (RGB) or 4 (with alpha).
        recipe: what to draw from.
        generator: the only source of chance. One on the CPU gives the same draws on every machine.

    Returns:
        The degraded images, float32 in [0, 1], of the input's shape and device and with its alpha; and the
        values drawn for each.

    Raises:
        ImageError: not an image.
    """
    batch = as_batch(image)
    drawn = [recipe.draw(generator) for _ in batch]
    return _degraded(batch, drawn).reshape(image.shape), drawn


def apply_degradation(image: Tensor, values: DegradationValues) -> Tensor:
    """Degrade one image ``[H, W, C]`` exactly as ``values`` say; what comes back is as in `degrade`."""
    return _degraded(as_batch(image)[:1], [values])[0]


def _degraded(batch: Tensor, values: list[DegradationValues]) -> Tensor:
    """A new batch, one set of values for each image."""
    result = torch.empty(batch.shape)
    images = np.ascontiguousarray(batch.detach().cpu().numpy())
    for target, pixels, own in zip(result.numpy(), images, values, strict=True):
        _degrade_pixels(pixels, own, target)
    return result.to(batch.device)


def _degrade_pixels(pixels: np.ndarray, values: DegradationValues, target: np.ndarray) -> None:
    """Degrade ``[H, W, C]`` into ``target`` of the same shape."""
    height, width, channels = pixels.shape
    # OpenCV drops an axis of one channel on its way, so a gray image goes without.
    colours = 0 if channels == 1 else slice(3)
    colour = np.ascontiguousarray(pixels[..., colours])
    small_size = max(1, round(width / values.scale)), max(1, round(height / values.scale))
    colour = _blurred(colour, values, small_size)
    colour = _compress(_add_noise(colour, values), values)
    if small_size != (width, height):
        colour = cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR)
    np.clip(_recolour(colour, values), 0, 1, out=target[..., colours])
    target[..., 3:] = pixels[..., 3:]


def _blurred(colour: np.ndarray, values: DegradationValues, size: tuple[int, int]) -> np.ndarray:
    """Lens blur, motion blur, and down-sampling to ``size`` (width, height) by averages over areas."""
    moves = values.motion_length > 1
    if values.blur_sigma > 0:
        colour = _lens_blurred(colour, values.blur_sigma, len(colour) if moves else size[1])
    if moves:
        colour = cv2.filter2D(colour, -1, _motion_kernel(values.motion_length, values.motion_angle))
    if colour.shape[1::-1] != size:
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
    return colour


def _lens_blurred(colour: np.ndarray, sigma: float, count: int) -> np.ndarray:
    """Gaussian blur, and then averages over areas that leave ``count`` rows; all columns stay.

    Most of a blur's work is for rows that down-sampling throws away. So both happen to columns at once, as
    products of matrices, in bands: a row of weights says what a row of the result takes from each row seen.
    """
    height, step = len(colour), len(colour) / count
    taps = round(8 * sigma + 1) | 1  # as OpenCV's GaussianBlur counts them
    rows = torch.from_numpy(colour.reshape(height, -1))
    result = torch.empty(count, rows.shape[1])
    band = math.ceil(_BAND_ROWS / step)
    for top in range(0, count, band):
        edges = np.arange(top, min(top + band, count) + 1) * step
        seen = np.arange(math.floor(edges[0]) - taps // 2, math.ceil(edges[-1]) + taps // 2)
        share = np.diff(np.clip(edges[:, None] - seen, 0, 1), axis=0) / step  # of each row in each average
        weights = cv2.GaussianBlur(share.astype(np.float32), (taps, 1), sigma, borderType=cv2.BORDER_CONSTANT)
        if seen[0] < 0 or seen[-1] >= height:  # mirrored at the outer rows' centres
            seen = np.abs((seen + height - 1) % max(1, 2 * height - 2) - (height - 1))
            source = rows[torch.from_numpy(seen)]
        else:
            source = rows[seen[0] : seen[-1] + 1]
        torch.mm(torch.from_numpy(weights), source, out=result[top : top + band])
    return cv2.GaussianBlur(result.numpy().reshape(count, *colour.shape[1:]), (taps, 1), sigma)


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
    if values.noise_sigma > 0:
        noise = np.random.default_rng(values.noise_seed).standard_normal(colour.shape, dtype=np.float32)
        noise *= values.noise_sigma / 255
        noise += colour
        return noise.clip(0, 1, out=noise)
    return colour.clip(0, 1)  # a sensor saturates


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
        colour += np.array(values.colour_shift, np.float32)
    return colour
