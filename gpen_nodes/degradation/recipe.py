"""What to do to an image: ranges to draw from, and what was drawn."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch

from ..errors import OptionError

__all__ = ["EVALUATION_RECIPE", "DegradationRecipe", "DegradationValues", "fixed_recipe"]

Range = tuple[float, float]

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
# Fields where a higher value destroys more; for JPEG quality a lower value does.
_STRENGTHS = ("scale", "blur_sigma", "motion_length", "noise_sigma")
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
        noise_sigma: standard deviation of the additive Gaussian noise, of 255, in the small image.
        noise_seed: seed of the noise's own random generator.
        jpeg_quality: 1 to 100 as libjpeg counts, or None for no JPEG.
        gamma: exponent of every value.
        contrast: gain around mid-gray.
        colour_shift: added to red, green and blue, of 1. A gray image has no colours to shift.
        again: what was done to the result in a second pass, if there was one.
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
    again: DegradationValues | None = None

    def __post_init__(self) -> None:
        if isinstance(self.again, dict):  # as `to_dict` gives it
            object.__setattr__(self, "again", DegradationValues(**self.again))

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
        if self.again is not None:
            parts.append(f"and again {self.again}")
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
    shift together. ``mild_probability`` is how often scale, blur, motion, noise and JPEG are all drawn from
    the mildest quarter of their ranges, so that a training set has images that need little restoring, too.
    ``second_probability`` is how often the whole is done a second time, with other values and without colour:
    the second order of Real-ESRGAN (Wang et al. 2021, section 3.2), as images that went from hand to hand
    have it.

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
    mild_probability: float = 0.0
    second_probability: float = 0.0

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

    @classmethod
    def limits(cls) -> dict[str, Range]:
        """The widest range that each field may have, by name; a probability goes from 0 to 1."""
        return {field.name: _LIMITS.get(field.name, (0, 1)) for field in fields(cls)}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The default of each field, by name: a range, or one number for a probability."""
        return {field.name: field.default for field in fields(cls)}

    def draw(self, generator: torch.Generator) -> DegradationValues:
        """One image's values. It always draws equally often, so a step left out changes no later image."""
        values, seed = self._draw_one(generator)
        more = torch.Generator().manual_seed(seed)
        mild, second = torch.rand(2, generator=more, dtype=torch.float64).tolist()
        if mild < self.mild_probability:
            values, _ = self._narrowed(1 / 4)._draw_one(more)
        if second < self.second_probability:
            again, _ = replace(self._narrowed(1 / 2), colour_probability=0)._draw_one(more)
            values = replace(values, again=again)
        return values

    def _narrowed(self, part: float) -> DegradationRecipe:
        """With the mildest part of each range that takes detail away."""
        ranges: dict[str, Range] = {}
        for name in _STRENGTHS:
            low, high = getattr(self, name)
            ranges[name] = (low, low * (high / low) ** part if name in _RATIOS else low + (high - low) * part)
        low, high = self.jpeg_quality
        return replace(self, jpeg_quality=(high - (high - low) * part, high), **ranges)

    def _draw_one(self, generator: torch.Generator) -> tuple[DegradationValues, int]:
        """The values of one pass, and a seed for what else is to be drawn for the same image."""

        def share() -> float:
            return torch.rand((), generator=generator, device=generator.device, dtype=torch.float64).item()

        def pick(name: str) -> float:
            low, high = getattr(self, name)
            return low * (high / low) ** share() if name in _RATIOS else low + (high - low) * share()

        drawn: dict[str, Any] = {name: pick(name) for name in _LIMITS if name != "colour_shift"}
        drawn["jpeg_quality"] = round(drawn["jpeg_quality"])
        drawn["colour_shift"] = (pick("colour_shift"), pick("colour_shift"), pick("colour_shift"))
        drawn["motion_angle"] = 180 * share()
        drawn["noise_seed"] = seed = int(2**32 * share())
        for step, names in _OPTIONAL_STEPS.items():
            if share() >= getattr(self, f"{step}_probability"):
                for name in names:
                    del drawn[name]
        return DegradationValues(**drawn), seed


def fixed_recipe(
    scale: float, blur_sigma: float, noise_sigma: float, jpeg_quality: float
) -> DegradationRecipe:
    """Blur, down-sampling, noise and JPEG of exactly these strengths, without motion or wrong colours.

    Only the noise differs from image to image, so figures do not depend on the luck of a draw.
    """
    return DegradationRecipe(
        scale=(scale, scale),
        blur_sigma=(blur_sigma, blur_sigma),
        noise_sigma=(noise_sigma, noise_sigma),
        jpeg_quality=(jpeg_quality, jpeg_quality),
        blur_probability=1,
        motion_probability=0,
        noise_probability=1,
        jpeg_probability=1,
        colour_probability=0,
    )


EVALUATION_RECIPE = fixed_recipe(4, 1.5, 12.5, 55)
"""The middle of the documented ranges at ×4: what figures are measured on."""
