"""RGB in [0, 1] to an image file, of the same kind as the one it came from where the format can."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..atomic import remedy, replacing
from ..errors import ImageError
from ..images import LUMA, as_batch, to_uint8
from .encode import encode_png16, encode_tiff
from .formats import WRITABLE
from .metadata import metadata_chunks, metadata_options
from .png import insert_chunks
from .read import ImageFile

__all__ = ["encode_image_file", "write_image_file"]

_OPTIONS = {
    # 95 is the highest quality that libjpeg's authors advise; colours are kept at full resolution.
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
}
_LARGEST_SIDES = {"JPEG": 65_500, "WEBP": 16_383}
_WITHOUT_ALPHA = ("JPEG", "BMP")


def write_image_file(
    path: str | os.PathLike[str], image: Tensor, like: ImageFile | None = None, overwrite: bool = False
) -> None:
    """Write one image; the format goes by the name's suffix.

    The file appears whole or not at all. JPEG is written at quality 95 without colour subsampling, WebP at
    95 unless ``like`` was stored without loss, all else without loss. Transparency over JPEG and BMP, which
    have none, becomes white.

    Args:
        path: ends in one of ``WRITABLE_SUFFIXES``.
        image: ``[1, H, W, C]`` or ``[H, W, C]`` in [0, 1], C of 1 (gray), 3 (RGB) or 4 (RGB and alpha).
        like: the image that ``image`` was made from. Its alpha (resized where the size changed), its lack
            of colours and its metadata are kept, and its 16 bits per channel in PNG and TIFF.
        overwrite: whether a file that is there already may be replaced.

    Raises:
        ImageError: unknown suffix, a file in the way, an image that the format cannot hold, or a disk that
            takes no more.
    """
    path = Path(path)
    _format_of(str(path))
    if path.exists() and not overwrite:
        raise ImageError(f"{path} exists already. Choose another name, or ask for it to be overwritten.")
    data = encode_image_file(image, str(path), like)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {remedy(error)}") from error


def encode_image_file(image: Tensor, name: str, like: ImageFile | None = None) -> bytes:
    """What ``write_image_file`` writes into a file of this name, which errors call it by.

    Raises:
        ImageError: unknown suffix, or an image that the format cannot hold.
    """
    format_name = _format_of(name)
    like = ImageFile(image) if like is None else like
    pixels = _compose(image, like, format_name)
    largest = _LARGEST_SIDES.get(format_name)
    if largest is not None and max(pixels.shape[:2]) > largest:
        size = f"{pixels.shape[1]}×{pixels.shape[0]}"
        raise ImageError(f"{name} would be {size} px; {format_name} holds at most {largest}. Take PNG.")
    return _encode(pixels, like, format_name)


def _format_of(name: str) -> str:
    suffix = Path(name).suffix
    if suffix.lower() not in WRITABLE:
        raise ImageError(f"{name} ends in {suffix!r}; one of {', '.join(WRITABLE)} can be written.")
    return WRITABLE[suffix.lower()]


def _compose(image: Tensor, like: ImageFile, format_name: str) -> np.ndarray:
    """``[H, W, C]`` integers as the file will hold them: gray, gray and alpha, RGB or RGBA."""
    batch = as_batch(image).detach().cpu()
    if len(batch) != 1:
        raise ImageError(f"Found {len(batch)} images; an image file holds one.")
    colour, alpha = batch[..., :3], batch[..., 3:]
    if like.alpha is not None and alpha.shape[-1] == 0:
        alpha = _resize(like.alpha, batch.shape[1], batch.shape[2])
    if alpha.shape[-1] and format_name in _WITHOUT_ALPHA:
        colour, alpha = colour.clamp(0, 1) * alpha + (1 - alpha), alpha[..., :0]
    if like.gray and colour.shape[-1] == 3:
        # As the same file's own gray was most likely made.
        colour = (colour * colour.new_tensor(LUMA)).sum(-1, keepdim=True)
    whole = torch.cat([colour, alpha], dim=-1)[0]
    if like.bits == 16 and format_name in ("PNG", "TIFF"):
        return whole.clamp(0, 1).mul(65535).round().to(torch.int32).numpy().astype(np.uint16)
    return to_uint8(whole)


def _resize(alpha: Tensor, height: int, width: int) -> Tensor:
    if alpha.shape[1:3] == (height, width):
        return alpha
    planes = alpha.permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1)


def _encode(pixels: np.ndarray, like: ImageFile, format_name: str) -> bytes:
    options = metadata_options(like.metadata, format_name)
    try:
        return _encode_with(pixels, like, format_name, options)
    except (struct.error, TypeError, ValueError, OverflowError):  # values that EXIF of another kind held
        if options.pop("exif", None) is None:
            raise
        return _encode_with(pixels, like, format_name, options)


def _encode_with(pixels: np.ndarray, like: ImageFile, format_name: str, options: dict[str, Any]) -> bytes:
    if format_name == "TIFF":
        return encode_tiff(pixels, options)
    if pixels.dtype == np.uint16:
        return insert_chunks(encode_png16(pixels, options), metadata_chunks(like.metadata))
    options |= _OPTIONS.get(format_name, {})
    if format_name == "WEBP" and like.lossless:
        options |= {"lossless": True, "exact": True}  # exact: colours below transparency, too
    stream = io.BytesIO()
    # Pillow's mode follows from the shape: L, LA, RGB or RGBA.
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.save(stream, format_name, **options)
    if format_name == "PNG":
        return insert_chunks(stream.getvalue(), metadata_chunks(like.metadata))
    return stream.getvalue()
