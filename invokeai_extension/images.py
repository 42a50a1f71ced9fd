"""Images and masks of the host's gallery as the core's tensors, and back."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from invokeai.invocation_api import ImageCategory, ImageField, InvocationContext
from PIL import Image
from torch import Tensor

from gpen_nodes import ImageError, fit_mask, from_uint8, to_uint8

__all__ = ["load_crops", "load_image", "load_mask", "save_crops", "save_image", "save_mask"]


def load_image(context: InvocationContext, field: ImageField) -> Tensor:
    """[1, H, W, C] in [0, 1]: gray and alpha stay, anything else becomes RGB."""
    picture = context.images.get_pil(field.image_name)
    if picture.mode in ("LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("L", "RGB", "RGBA"):
        picture = picture.convert("RGB")
    pixels = from_uint8(np.array(picture))
    return pixels.reshape(1, *pixels.shape[:2], -1)


def load_mask(context: InvocationContext, field: ImageField | None, image: Tensor) -> Tensor | None:
    """[1, H, W] in [0, 1] of the image's size; None for none."""
    if field is None:
        return None
    return fit_mask(from_uint8(np.array(context.images.get_pil(field.image_name, "L"))), image)


def load_crops(context: InvocationContext, fields: Iterable[ImageField] | None) -> Tensor | None:
    """[N, H, W, 3]; None for none.

    Raises:
        ImageError: they are not all of one size.
    """
    pictures = [context.images.get_pil(field.image_name, "RGB") for field in fields or ()]
    sizes = sorted({picture.size for picture in pictures})
    if len(sizes) > 1:
        found = ", ".join(f"{width}×{height}" for width, height in sizes)
        raise ImageError(f"Found crops of {found} px; expected all of one size. Resize them in the same way.")
    return torch.stack([from_uint8(np.array(picture)) for picture in pictures]) if pictures else None


def save_image(context: InvocationContext, image: Tensor) -> Any:
    """The first of [B, H, W, C], in the gallery or as an intermediate, as the node is set to; its record."""
    pixels = to_uint8(image[0])
    return context.images.save(Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))


def save_mask(context: InvocationContext, mask: Tensor) -> ImageField:
    """The first of [B, H, W]."""
    saved = context.images.save(Image.fromarray(to_uint8(mask[0])), image_category=ImageCategory.MASK)
    return ImageField(image_name=saved.image_name)


def save_crops(context: InvocationContext, crops: Iterable[Tensor]) -> list[ImageField]:
    """Each of [N, S, S, 3]."""
    return [ImageField(image_name=save_image(context, crop[None]).image_name) for crop in crops]
