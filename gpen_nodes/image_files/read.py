"""Any image file as RGB in [0, 1], with what is needed to write the same kind of file back."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..atomic import remedy
from ..errors import ImageError
from .decode import decode_pixels, turn_upright
from .metadata import Metadata
from .source import open_source

__all__ = ["ImageFile", "decode_image_file", "read_image_file"]


@dataclass(frozen=True, eq=False)
class ImageFile:
    """What an image file holds.

    Attributes:
        image: ``[1, H, W, 3]`` RGB float32 in [0, 1], upright, whatever the file stores.
        alpha: ``[1, H, W, 1]`` float32 in [0, 1], or None where the file has no transparency.
        gray: the file stores no colours.
        bits: per channel, 8 or 16.
        frames: 1, or more for an animation or a file of several pages, of which only the first was read.
        metadata: what the file says about its pixels and still holds once they change.
        lossless: the file stores its pixels as they are.
        damage: a sentence for each thing that is wrong with the file; empty of a sound one. What is missing
            is black or gray in ``image``.
    """

    image: Tensor
    alpha: Tensor | None = None
    gray: bool = False
    bits: int = 8
    frames: int = 1
    metadata: Metadata = field(default_factory=Metadata)
    lossless: bool = False
    damage: tuple[str, ...] = ()


def read_image_file(path: str | os.PathLike[str], max_pixels: int | None = None) -> ImageFile:
    """Read one image file: the first frame, turned upright, as RGB.

    Palettes, CMYK (by its profile), LAB and gray become RGB; 8 to 16 bits per channel are read in full.
    A file that viewers would open in spite of some damage is read, and ``damage`` tells of it.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, PGM, JPEG 2000, and where the installed libraries read
            them, AVIF, HEIC and JPEG XL, recognised by content; TGA by its name.
        max_pixels: refuse larger ones before anything is decoded. By default 2²⁷ (134 megapixels), and above
            2²⁴ (17 megapixels) no more than 100 for each byte of the file: a small file may unpack to
            gigabytes. Pillow has a limit of its own, at twice its ``Image.MAX_IMAGE_PIXELS``.

    Raises:
        ImageError: no such file or no regular one, not an image, damaged beyond use, of no size, too large,
            or of 32-bit values.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise ImageError(f"{path} is a folder; expected an image file.")
        if not path.exists():
            raise ImageError(f"{path} does not exist. Check the path.")
        if not path.is_file():
            raise ImageError(f"{path} is a pipe, a socket or a device; expected an image file on a disk.")
        stream = path.open("rb")
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {remedy(error, reading=True)}") from error
    with stream:
        return decode_image_file(stream, str(path), max_pixels)


def decode_image_file(stream: IO[bytes], name: str, max_pixels: int | None = None) -> ImageFile:
    """Read one image from a stream that can be searched; ``name`` is what errors call it.

    Raises:
        ImageError: as ``read_image_file``.
    """
    try:
        with open_source(stream, name, max_pixels) as source:
            pixels = turn_upright(decode_pixels(source), source.orientation)
            return _image_file(pixels, source.frames, source.metadata, source.lossless, source.damage)
    except ImageError as error:
        text = str(error)  # of a part that knows no names
        raise error if text.startswith(name) else ImageError(_damaged(name, text)) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is no picture that can be read; PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, JPEG 2000 and the "
            "like can."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large: {error} Scale it down first.") from error
    except MemoryError as error:
        raise ImageError(f"{name} needs more memory than there is. Scale it down first.") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ImageError(_damaged(name, str(error) or type(error).__name__)) from error


def _damaged(name: str, why: str) -> str:
    why = " ".join(why.split()).rstrip(".")  # libraries below tell in several lines
    return f"{name} is damaged or cannot be read: {why[:300]}. Get or save it again."


def _image_file(
    pixels: np.ndarray, frames: int, metadata: Metadata, lossless: bool, damage: list[str]
) -> ImageFile:
    """From ``[H, W, C]`` uint8 or uint16: gray, gray and alpha, RGB or RGBA."""
    largest = np.iinfo(pixels.dtype).max
    values = torch.from_numpy(pixels.astype(np.float32)).div_(largest)[None]
    colours = 1 if values.shape[-1] < 3 else 3
    image, alpha = values[..., :colours], values[..., colours:]
    return ImageFile(
        image=(image.expand(-1, -1, -1, 3) if colours == 1 else image).contiguous(),
        alpha=alpha.contiguous() if alpha.shape[-1] else None,
        gray=colours == 1,
        bits=16 if largest > 255 else 8,
        frames=frames,
        metadata=metadata,
        lossless=lossless,
        damage=tuple(damage),
    )
