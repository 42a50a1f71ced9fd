"""Which formats are read and written, by which library, and under which names."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import IO

from PIL import Image, features

from ..errors import ImageError

__all__ = ["READABLE_SUFFIXES", "WRITABLE", "WRITABLE_SUFFIXES", "missing_package", "open_image"]

WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
"""Pillow's name of the format that each suffix stands for."""

WRITABLE_SUFFIXES = tuple(WRITABLE)
"""What the name of a written file may end in, in any case."""

# Not every format that Pillow knows: some start other programs (EPS).
_PILLOWS = ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000"]
if "avif" in features.modules and features.check("avif"):
    _PILLOWS.append("AVIF")

# Suffix: the format's name, and the package that reads it where Pillow doesn't.
_OPTIONAL = {
    ".avif": ("AVIF", "Pillow 11.3 or later, or pillow-avif-plugin"),
    ".heic": ("HEIC", "pillow-heif"),
    ".heif": ("HEIC", "pillow-heif"),
    ".jxl": ("JPEG XL", "pillow-jxl-plugin"),
}
_INSTALLED = {
    ".avif": "AVIF" in _PILLOWS or importlib.util.find_spec("pillow_avif") is not None,
    ".heic": importlib.util.find_spec("pillow_heif") is not None,
    ".heif": importlib.util.find_spec("pillow_heif") is not None,
    ".jxl": importlib.util.find_spec("pillow_jxl") is not None,
}

READABLE_SUFFIXES = (
    *WRITABLE_SUFFIXES,
    *(".gif", ".ppm", ".pgm", ".pnm", ".jp2", ".tga"),
    *(suffix for suffix in _OPTIONAL if _INSTALLED[suffix]),
)
"""What the name of an image file may end in, in any case, where files are searched for on this machine."""


def missing_package(name: str) -> str | None:
    """What would have to be installed for a file of this name to be read; else None."""
    suffix = Path(name).suffix.lower()
    return _OPTIONAL[suffix][1] if suffix in _OPTIONAL and not _INSTALLED[suffix] else None


def open_image(stream: IO[bytes], name: str) -> Image.Image:
    """Open a file by its content; its pixels are not decoded yet, but for JPEG XL.

    Raises:
        ImageError: of a format that needs a package which is not installed.
        PIL.UnidentifiedImageError: of no format that is read.
    """
    head = stream.read(32)
    stream.seek(0)
    suffix = _optional_suffix(head)
    if suffix and not _INSTALLED[suffix]:
        kind, package = _OPTIONAL[suffix]
        raise ImageError(f"{name} is {kind}, which needs {package}: install it, or save the image as PNG.")
    # Opened by class: no package has to be made known to every user of Pillow in this process.
    if suffix == ".avif" and "AVIF" not in _PILLOWS:
        from pillow_avif.AvifImagePlugin import AvifImageFile  # type: ignore[import-not-found]

        return AvifImageFile(stream)
    if suffix == ".heic":
        from pillow_heif import HeifImageFile  # type: ignore[import-not-found]  # an extra

        return HeifImageFile(stream)
    if suffix == ".jxl":
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile  # type: ignore[import-not-found]  # an extra

        return JXLImageFile(stream)
    # A TGA file has no signature: nearly any bytes pass for one.
    formats = [*_PILLOWS, "TGA"] if name.lower().endswith(".tga") else _PILLOWS
    return Image.open(stream, formats=formats)


def _optional_suffix(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        if head[8:12] in (b"avif", b"avis") or (head[8:12] == b"mif1" and b"avif" in head):
            return ".avif"
        if head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
            return ".heic"
    return ".jxl" if is_jxl(head) else None


def is_jxl(head: bytes) -> bool:
    return head[:2] == b"\xff\x0a" or head[:12] == b"\x00\x00\x00\x0cJXL \r\n\x87\n"
