"""Any image file as RGB in [0, 1], with what is needed to write the same kind of file back."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import torch
from PIL import Image, ImageCms
from torch import Tensor

from ..atomic import remedy
from ..errors import ImageError
from .metadata import Metadata, read_metadata, read_orientation

__all__ = ["ImageFile", "decode_image_file", "read_image_file"]

# Not every format that Pillow knows: some start other programs (EPS), some take any bytes for theirs (TGA).
_READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
# As float32 RGB this many pixels fill 1.6 GB; it is also below the size at which Pillow itself refuses.
_MAX_PIXELS = 2**27
_GRAY_MODES = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")


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
    """

    image: Tensor
    alpha: Tensor | None = None
    gray: bool = False
    bits: int = 8
    frames: int = 1
    metadata: Metadata = field(default_factory=Metadata)


def read_image_file(path: str | os.PathLike[str]) -> ImageFile:
    """Read one image file: the first frame, turned upright, as RGB.

    Palettes, CMYK, LAB and gray become RGB; 8 and 16 bits per channel are read in full.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP, GIF, PPM or JPEG 2000, recognised by content, not by name.

    Raises:
        ImageError: no such file, not an image, damaged, of no size, over 134 megapixels, or of
            32-bit values.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path} is a folder; expected an image file.")
    if not path.exists():
        raise ImageError(f"{path} does not exist. Check the path.")
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {remedy(error)}") from error
    with stream:
        return decode_image_file(stream, str(path))


def decode_image_file(stream: IO[bytes], name: str) -> ImageFile:
    """Read one image from a stream that can be searched; ``name`` is what errors call it.

    Raises:
        ImageError: as ``read_image_file``.
    """
    try:
        with Image.open(stream, formats=_READABLE) as file:
            return _read(name, file, stream)
    except ImageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{name} is no picture that can be read; {', '.join(_READABLE)} can.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large: {error} Scale it down first.") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ImageError(f"{name} is damaged or cannot be read: {error}. Get or save it again.") from error


def _read(name: str, file: Image.Image, stream: IO[bytes]) -> ImageFile:
    width, height = file.size
    if width < 1 or height < 1:
        raise ImageError(f"{name} is {width}×{height} px: there is nothing to see.")
    if width * height > _MAX_PIXELS:
        raise ImageError(
            f"{name} is {width}×{height} px; at most {_MAX_PIXELS:,} pixels are read. Scale it down."
        )
    mode, metadata, orientation = file.mode, read_metadata(file), read_orientation(file)
    pixels = _decode_deep(name, file, stream) if _is_deep(file, stream) else _decode(name, file)
    if file.format != "TIFF":  # which Pillow and OpenCV both turn by themselves
        pixels = _turn_upright(pixels, orientation)
    largest = np.iinfo(pixels.dtype).max
    image = torch.from_numpy(pixels.astype(np.float32)).div_(largest)[None]
    return ImageFile(
        image=image[..., :3].contiguous(),
        alpha=image[..., 3:].contiguous() if image.shape[-1] == 4 else None,
        gray=mode in _GRAY_MODES,
        bits=16 if largest > 255 else 8,
        frames=getattr(file, "n_frames", 1),
        metadata=metadata,
    )


def _is_deep(file: Image.Image, stream: IO[bytes]) -> bool:
    """Whether this is a PNG or TIFF of 16 bits per channel, of which Pillow would drop the lower 8."""
    if file.format == "PNG":
        place = stream.tell()
        stream.seek(24)
        depth = stream.read(1)  # where every PNG has it
        stream.seek(place)
        return depth == b"\x10"
    if file.format == "TIFF":
        tags = file.tag_v2  # type: ignore[attr-defined]  # TiffImageFile's
        # BitsPerSample, SamplesPerPixel, and PhotometricInterpretation: gray or RGB.
        return set(tags.get(258, ())) == {16} and tags.get(277, 1) in (1, 3, 4) and tags.get(262) in (0, 1, 2)
    return False


def _decode_deep(name: str, file: Image.Image, stream: IO[bytes]) -> np.ndarray:
    stream.seek(0)
    pixels = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ImageError(f"{name} is a damaged 16-bit file, or of a kind that cannot be read. Save it again.")
    if file.format == "TIFF" and file.tag_v2.get(262) == 0:  # type: ignore[attr-defined]
        pixels = 65535 - pixels  # white is zero, which OpenCV and Pillow overlook at 16 bits
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _decode(name: str, file: Image.Image) -> np.ndarray:
    """Pixels of one frame: ``[H, W, 3]`` RGB or ``[H, W, 4]`` RGBA, uint8, or uint16 for gray of 16 bits."""
    if file.mode in ("I", "F"):
        raise ImageError(f"{name} holds 32-bit values of unknown range. Save it with 8 or 16 bits.")
    if file.mode.startswith("I;16"):
        return np.repeat(np.asarray(file).astype(np.uint16)[..., None], 3, axis=2)
    if file.mode == "LAB":  # the one mode that Pillow's convert doesn't take
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return np.asarray(ImageCms.applyTransform(file, transform))
    transparent = file.mode in ("LA", "PA", "RGBA") or "transparency" in file.info
    return np.asarray(file.convert("RGBA" if transparent else "RGB"))


def _turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo what an EXIF orientation (1 to 8) says: which side of the scene the first row and column show."""
    if orientation >= 5:  # rows show columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):  # the first row is the bottom
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):  # the first column is the right
        pixels = pixels[:, ::-1]
    return pixels
