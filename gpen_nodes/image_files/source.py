"""An image file that is open: its header is read and believed no more than its length allows."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from PIL import Image

from ..errors import ImageError
from . import jpeg
from .formats import is_jxl, open_image
from .jxl import jxl_size
from .metadata import Metadata, read_metadata, read_orientation, tell_pillow
from .png import PNG_SIGNATURE, Png, read_header, split_png
from .tiff import is_deep_tiff, read_directory

__all__ = ["Source", "open_source"]

_MAX_PIXELS = 2**27  # as float32 RGB they fill 1.6 GB; it is also below the size at which Pillow refuses
# A photo takes 10 pixels to the byte at most, a page of black and white some hundred. Beyond, a file of a few
# kilobytes could fill the memory; up to the second figure that does no harm.
_PIXELS_PER_BYTE, _HARMLESS_PIXELS = 100, 2**24
# 8 bytes are the most that a pixel takes unpacked; the rest is for metadata and further pages.
_BYTES_PER_PIXEL, _OTHER_BYTES = 8, 2**29

_TIFF_ORIENTATION, _TIFF_PROFILE, _TILE_WIDTH, _TILE_HEIGHT = 274, 34675, 322, 323


@dataclass
class Source:
    """An open file.

    Attributes:
        name: what errors call it.
        stream: the file itself.
        length: of the file, in bytes.
        file: as Pillow opened it; of a PNG its pixels alone.
        size: width and height, as stored.
        png: the parts of a PNG.
        tags: of a deep TIFF, those of its first directory.
        orientation: EXIF's, 1 to 8, that is still to be undone.
    """

    name: str
    stream: IO[bytes]
    length: int
    file: Image.Image
    size: tuple[int, int]
    png: Png | None = None
    tags: Any = None
    orientation: int = 1
    metadata: Metadata = field(default_factory=Metadata)
    damage: list[str] = field(default_factory=list)

    def bytes(self) -> bytes:
        """The whole file.

        Raises:
            ImageError: it is far longer than its pixels can be.
        """
        return _read_all(self.stream, self.length, self.size, self.name)

    @property
    def frames(self) -> int:
        if self.png is None:
            return getattr(self.file, "n_frames", 1)
        controls = [data for kind, data in self.png.kept if kind == b"acTL"]
        return max(1, *(struct.unpack(">I", data[:4])[0] for data in controls)) if controls else 1

    @property
    def lossless(self) -> bool:
        """Whether the file stores its pixels as they are, as far as its header tells."""
        format_name = self.file.format
        if self.tags is not None:
            return True
        if format_name == "TIFF":
            return self.file.info.get("compression") not in ("jpeg", "tiff_jpeg", "webp")
        if format_name == "WEBP":
            return _is_lossless_webp(self.stream)
        return format_name in ("PNG", "BMP", "DIB", "GIF", "PPM", "TGA")


@contextmanager
def open_source(stream: IO[bytes], name: str, max_pixels: int | None) -> Iterator[Source]:
    """Open a file and check what its header says before anything is decoded.

    Raises:
        ImageError, PIL.UnidentifiedImageError, or what Pillow raises of a damaged header.
    """
    length = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(64)
    stream.seek(0)
    if head.startswith(PNG_SIGNATURE):
        source = _open_png(stream, name, length, head, max_pixels)
    else:
        if is_jxl(head):  # whose reader decodes at once
            _check_size(name, jxl_size(stream), length, max_pixels)
            stream.seek(0)
        source = _open_other(stream, name, length)
        _check_size(name, source.size, length, max_pixels, source.file.format)
        if source.file.format == "TIFF":
            _check_tiles(name, source.file.tag_v2, source.size)  # type: ignore[attr-defined]  # TiffImageFile's
    with source.file:
        yield source


def _open_png(stream: IO[bytes], name: str, length: int, head: bytes, max_pixels: int | None) -> Source:
    header = read_header(head)
    _check_size(name, (header.width, header.height), length, max_pixels)
    png = split_png(_read_all(stream, length, (header.width, header.height), name))
    kept = tuple(png.kept)
    file = Image.open(io.BytesIO(png.plain()), formats=["PNG"])
    try:
        tell_pillow(file, kept)
    except (ValueError, struct.error):
        png.damage.append("its texts or profile cannot be unpacked")
    source = Source(name, stream, length, file, file.size, png, damage=png.damage)
    source.orientation, source.metadata = read_orientation(file), read_metadata(file, kept)
    return source


def _open_other(stream: IO[bytes], name: str, length: int) -> Source:
    tags = _deep_tags(stream)
    stream.seek(0)
    try:
        file = open_image(stream, name)
    except Image.UnidentifiedImageError:
        if tags is None:
            raise
        file = Image.new("L", (1, 1))  # stands in for a layout that Pillow doesn't know
        file.info["icc_profile"] = tags.get(_TIFF_PROFILE)
    size = file.size if tags is None else (tags[256], tags[257])
    source = Source(name, stream, length, file, size, tags=tags)
    if tags is not None:
        source.orientation = tags.get(_TIFF_ORIENTATION, 1)
    # Pillow turns a TIFF by itself, and a JPEG XL is upright however it was made, but for a JPEG within.
    elif file.format != "TIFF" and (file.format != "JXL" or getattr(file, "jpeg", False)):
        source.orientation = read_orientation(file)
    source.metadata = read_metadata(file)
    return source


def _deep_tags(stream: IO[bytes]) -> Any:
    if stream.read(4)[:2] not in (b"II", b"MM"):
        return None
    stream.seek(0)
    try:
        tags = read_directory(stream)
    except Exception:  # no TIFF, or a damaged one, of which Pillow will tell
        return None
    return tags if is_deep_tiff(tags) else None


def _check_size(
    name: str, size: tuple[int, int], length: int, max_pixels: int | None, format_name: str | None = None
) -> None:
    width, height = size
    pixels, shown = width * height, f"{name} is {width}×{height} px"
    if width < 1 or height < 1:
        raise ImageError(f"{shown}: there is nothing to see.")
    most = _MAX_PIXELS if max_pixels is None else max_pixels
    if pixels > most:
        raise ImageError(f"{shown}; at most {most:,} pixels are read. Scale it down, or raise max_pixels.")
    most = _PIXELS_PER_BYTE * length
    if max_pixels is None and pixels > max(most, _HARMLESS_PIXELS):
        raise ImageError(
            f"{shown} in {length:,} bytes, which no photo is. If it is sound, set max_pixels to {pixels}."
        )
    if format_name in ("JPEG", "MPO") and pixels > jpeg.MAX_PIXELS_PER_BYTE * length:
        raise ImageError(
            f"{name} is damaged: its {length:,} bytes cannot hold the {width}×{height} px it names."
        )


def _check_tiles(name: str, tags: Mapping[int, Any], size: tuple[int, int]) -> None:
    """A tile is unpacked whole, however little of it the image shows."""
    width, height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_HEIGHT, 0)
    if width * height > max(_HARMLESS_PIXELS, 4 * size[0] * size[1]):
        raise ImageError(f"{name} is {size[0]}×{size[1]} px in tiles of {width}×{height}. Save it again.")


def _read_all(stream: IO[bytes], length: int, size: tuple[int, int], name: str) -> bytes:
    if length > size[0] * size[1] * _BYTES_PER_PIXEL + _OTHER_BYTES:
        raise ImageError(f"{name} has {length:,} bytes, far more than {size[0]}×{size[1]} px take.")
    stream.seek(0)
    return stream.read(length)


def _is_lossless_webp(stream: IO[bytes]) -> bool:
    """Whether the first frame is VP8L. Chunks: name, length, content, an even number of bytes each."""
    position = 12
    while True:
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8 or head[:4] in (b"VP8 ", b"VP8L"):
            return head[:4] == b"VP8L"
        # A frame of an animation begins with 16 bytes of its place and time.
        length = int.from_bytes(head[4:], "little")
        position += 8 + (16 if head[:4] == b"ANMF" else length + length % 2)
