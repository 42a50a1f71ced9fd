"""Pixels of an open image file, in full depth, mended where the file is damaged."""

from __future__ import annotations

import io
import re
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms

from ..errors import ImageError
from . import jpeg
from .formats import open_image
from .metadata import is_profile
from .png import Png
from .source import Source
from .tiff import decode_deep_tiff

__all__ = ["decode_pixels", "turn_upright"]

_PNM = re.compile(rb"(P[56])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,9})" + rb"\s")
# Whose pixels lie in the file one after another: what is missing at the end can be filled up.
_PLAIN_FORMATS = ("BMP", "DIB", "PPM", "TGA")


def decode_pixels(source: Source) -> np.ndarray:
    """``[H, W, C]`` as stored, uint8 or uint16: gray, gray and alpha, RGB or RGBA.

    Adds to ``source.damage`` what is wrong with them.
    """
    if source.tags is not None:
        return decode_deep_tiff(source.bytes(), source.tags)
    if source.png is not None:
        return _decode_png(source, source.png)
    if source.file.format == "PPM" and (pixels := _decode_deep_pnm(source)) is not None:
        return pixels
    if source.file.format in ("JPEG", "MPO") and (count := jpeg.scans(source.bytes())) > jpeg.MAX_SCANS:
        raise ImageError(f"{source.name} makes {count} passes over its pixels; encoders make 14 at most.")
    source.stream.seek(0)
    try:
        return _decode(source, source.file)
    except ImageError:
        raise
    except Exception:
        for data in _mended(source):
            try:
                with open_image(io.BytesIO(data), source.name) as file:
                    pixels = _decode(source, file)
            except Exception:  # the next guess, or the first error
                continue
            _tell_of_missing(source, _filled_rows(pixels, source.file.format), len(pixels))
            return pixels
        raise


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo what an EXIF orientation (1 to 8) says: which side of the scene the first row and column show."""
    if orientation >= 5:  # rows show columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):  # the first row is the bottom
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):  # the first column is the right
        pixels = pixels[:, ::-1]
    return pixels


def _tell_of_missing(source: Source, missing: int, height: int) -> None:
    """Of rows; more than half missing is no image any more."""
    if missing > height / 2:
        raise ImageError("it ends early, and more than half of its pixels are missing")
    source.damage.append(f"it ends early, and {missing or 'parts'} of its {height} rows are missing")


def _filled_rows(pixels: np.ndarray, format_name: str | None) -> int:
    """How many rows at the bottom, or at the top of formats that begin below, decoders have filled in."""
    filled = (pixels == (128 if format_name in ("JPEG", "MPO") else 0)).all(axis=(1, 2))
    return max(int(np.argmin(np.append(rows, False))) for rows in (filled, filled[::-1]))


def _mended(source: Source) -> list[bytes]:
    """Files that may be what a damaged one was, the likeliest first."""
    if source.file.format in ("JPEG", "MPO"):
        return jpeg.ended(source.bytes())
    if source.file.format in _PLAIN_FORMATS:
        width, height = source.size
        return [source.bytes() + bytes(4 * width * height)]
    return []


def _decode_png(source: Source, png: Png) -> np.ndarray:
    pixels = _png_pixels(source, png)
    if pixels is None:
        png.complete()
        pixels = _png_pixels(source, png)
    if pixels is None:
        raise ImageError("its pixels cannot be unpacked")
    return pixels


def _png_pixels(source: Source, png: Png) -> np.ndarray | None:
    """None if they are damaged."""
    if png.header.depth == 16:
        pixels = cv2.imdecode(np.frombuffer(png.plain(), np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16:
            return None
        return _with_key(pixels, png)
    try:
        with Image.open(io.BytesIO(png.plain()), formats=["PNG"]) as file:
            return _decode(source, file)
    except ImageError:
        raise
    except Exception:
        return None


def _with_key(pixels: np.ndarray, png: Png) -> np.ndarray:
    """16-bit gray as RGBA, and RGB, of which one value may stand for transparency."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] >= 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV's order is BGR
    if png.header.colour_type == 4 and pixels.shape[2] == 4:  # gray and alpha, which OpenCV gives as BGRA
        pixels = pixels[..., [0, 3]]
    size = 2 * pixels.shape[2]
    if png.header.colour_type in (0, 2) and len(png.transparency) >= size:
        key = np.frombuffer(png.transparency[:size], ">u2")
        alpha = np.where((pixels == key).all(axis=-1, keepdims=True), 0, 65535).astype(np.uint16)
        pixels = np.concatenate([pixels, alpha], axis=-1)
    return pixels


def _decode_deep_pnm(source: Source) -> np.ndarray | None:
    """Binary PGM or PPM of 16 bits, of the full range; None of 8 bits."""
    source.stream.seek(0)
    found = _PNM.match(source.stream.read(4096))
    if found is None or int(found[4]) <= 255:
        return None
    width, height, largest = int(found[2]), int(found[3]), int(found[4])
    shape = (height, width, 3 if found[1] == b"P6" else 1)
    source.stream.seek(found.end())
    data = source.stream.read(2 * int(np.prod(shape)))
    missing = 2 * int(np.prod(shape)) - len(data)
    if missing:
        _tell_of_missing(source, -(-missing // (2 * width * shape[2])), height)
    values = np.frombuffer(data + bytes(missing), ">u2").reshape(shape)
    return np.rint(np.minimum(values, largest) * np.float32(65535 / largest)).astype(np.uint16)


def _decode(source: Source, file: Image.Image) -> np.ndarray:
    if file.mode in ("I", "F"):
        raise ImageError(f"{source.name} holds 32-bit values of unknown range. Save it with 8 or 16 bits.")
    if file.mode.startswith("I;16"):
        return np.asarray(file).astype(np.uint16)[..., None]
    if file.mode in ("CMYK", "LAB"):
        return _to_srgb(source, file)
    if file.mode == "La":  # which converts to this alone
        file = file.convert("LA")
    transparent = file.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in file.info
    gray = file.mode in ("1", "L", "LA")
    mode = ("LA" if transparent else "L") if gray else ("RGBA" if transparent else "RGB")
    pixels = np.asarray(file.convert(mode))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _to_srgb(source: Source, file: Image.Image) -> np.ndarray:
    """Colours of print by the file's own profile, else as Pillow guesses them; LAB as the standard says."""
    profile: Any = file.info.get("icc_profile")
    srgb = ImageCms.createProfile("sRGB")
    file.load()
    if file.mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), srgb, "LAB", "RGB")
        return np.asarray(ImageCms.applyTransform(file, transform))
    if is_profile(profile) and profile[16:20] == b"CMYK":
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            intent = ImageCms.getDefaultIntent(own)
            transform = ImageCms.buildTransform(own, srgb, "CMYK", "RGB", intent)  # type: ignore[arg-type]  # an int
            return np.asarray(ImageCms.applyTransform(file, transform))
        except (ImageCms.PyCMSError, OSError, ValueError):
            source.damage.append("its colour profile cannot be used, so that its colours are guessed")
    return np.asarray(file.convert("RGB"))
