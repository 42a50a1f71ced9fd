"""TIFF of 10 to 16 bits per channel, in full: Pillow drops their lower bits, and neither it nor OpenCV takes
all layouts.

A directory of our own says that the same strips or tiles are 8-bit gray: Pillow unpacks them as bytes, and
the bytes are read here. So every packing that Pillow's libtiff knows serves.

Formats: TIFF revision 6.0; BigTIFF.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from PIL import TiffImagePlugin

from ..errors import ImageError

__all__ = ["decode_deep_tiff", "is_deep_tiff", "read_directory"]

_WIDTH, _HEIGHT, _BITS, _PACKING, _MEANING, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _EXTRA, _SAMPLE_FORMAT = 322, 323, 324, 325, 338, 339
_ASSOCIATED, _UNASSOCIATED = 1, 2
# None, LZW, Deflate by both numbers, PackBits, LZMA, Zstandard: they pack bytes, whatever these mean.
_BYTE_PACKINGS = (1, 5, 8, 32946, 32773, 34925, 50000)
_MAX_SAMPLES = 8


def read_directory(stream: IO[bytes]) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The first directory's tags."""
    head = stream.read(8)
    if head[2:4] in (b"\x2b\0", b"\0\x2b"):  # BigTIFF
        head += stream.read(8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(head)
    stream.seek(directory.next)
    directory.load(stream)
    return directory


def is_deep_tiff(tags: Mapping[int, Any]) -> bool:
    """Whether ``decode_deep_tiff`` reads it: 10 to 16 bits, whole numbers from 0, gray or RGB."""
    bits, formats = set(_tuple(tags.get(_BITS, 1))), set(_tuple(tags.get(_SAMPLE_FORMAT, 1)))
    return len(bits) == 1 and bits <= {10, 12, 14, 16} and formats == {1} and tags.get(_MEANING) in (0, 1, 2)


def decode_deep_tiff(data: bytes, tags: Mapping[int, Any]) -> np.ndarray:
    """``[H, W, C]`` uint16: gray, gray and alpha, RGB or RGBA, as stored, not turned.

    An extra channel is alpha where the file says so, or says nothing and it is the fourth. Alpha that is
    multiplied into the colours is divided out.

    Raises:
        ImageError: a layout or packing that is not read.
    """
    samples = tags.get(_SAMPLES, 1)
    colours = 3 if tags[_MEANING] == 2 else 1
    if not colours <= samples <= _MAX_SAMPLES:
        raise ImageError(f"has {samples} channels; expected {colours} to {_MAX_SAMPLES}")
    planes = samples if tags.get(_PLANAR) == 2 else 1
    found = [_plane(data, tags, plane, planes, samples // planes) for plane in range(planes)]
    pixels = np.concatenate(found, axis=-1)
    kinds = _tuple(tags.get(_EXTRA, _UNASSOCIATED if samples == 4 else ()))
    colour = 65535 - pixels[..., :colours] if tags[_MEANING] == 0 else pixels[..., :colours]
    for place, kind in enumerate(kinds, start=colours):
        if kind in (_ASSOCIATED, _UNASSOCIATED) and place < samples:
            alpha = pixels[..., place : place + 1]
            colour = _divide(colour, alpha) if kind == _ASSOCIATED else colour
            return np.concatenate([colour, alpha], axis=-1)
    return colour


def _divide(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    whole = np.where(alpha == 0, 65535, alpha).astype(np.float32)
    return np.minimum(colour * (65535 / whole), 65535).round().astype(np.uint16)


def _plane(data: bytes, tags: Mapping[int, Any], plane: int, planes: int, samples: int) -> np.ndarray:
    """``[H, W, samples]`` uint16 of one plane, of the full range."""
    bits, width = _tuple(tags[_BITS])[0], tags[_WIDTH]
    rows = _unpacked(data, tags, plane, planes, (width * samples * bits + 7) // 8)
    predictor = tags.get(_PREDICTOR, 1)
    if bits != 16:
        if predictor != 1:
            raise ImageError(f"uses predictor {predictor} of {bits} bits, which is not read")
        # Bits run on from pixel to pixel, the highest first.
        each = np.unpackbits(rows, axis=1)[:, : width * samples * bits].reshape(len(rows), -1, bits)
        values = each.astype(np.int64) @ (1 << np.arange(bits - 1, -1, -1))
        pixels = np.rint(values * (65535 / (2**bits - 1))).astype(np.uint16)
        return pixels.reshape(len(rows), width, samples)
    order = ">u2" if data[:2] == b"MM" else "<u2"
    pixels = rows.view(order).astype(np.uint16).reshape(len(rows), width, samples)
    if predictor == 2:  # each is stored as its difference from the one to the left, modulo 65536
        step = tags.get(_TILE_WIDTH, width) if _TILES in tags else width
        for left in range(0, width, step):
            part = pixels[:, left : left + step]
            np.cumsum(part, axis=1, dtype=np.uint16, out=part)
    elif predictor != 1:
        raise ImageError(f"uses predictor {predictor}, which is not read")
    return pixels


def _unpacked(data: bytes, tags: Mapping[int, Any], plane: int, planes: int, row_bytes: int) -> np.ndarray:
    """``[H, row_bytes]`` uint8: the plane's strips or tiles, unpacked."""
    packing = tags.get(_PACKING, 1)
    if packing not in _BYTE_PACKINGS:
        raise ImageError(f"uses compression {packing}, which is not read at this depth")
    entries = {_WIDTH: (row_bytes,), _HEIGHT: (tags[_HEIGHT],), _BITS: (8,), _PACKING: (packing,)}
    entries |= {_MEANING: (1,), _SAMPLES: (1,), _FILL_ORDER: (tags.get(_FILL_ORDER, 1),)}
    tiled = _TILES in tags
    offsets, sizes = (_TILES, _TILE_SIZES) if tiled else (_STRIPS, _STRIP_SIZES)
    for tag in (offsets, sizes):
        values = _tuple(tags[tag])
        each = len(values) // planes
        entries[tag] = values[plane * each : (plane + 1) * each]
    if tiled:
        pixels = tags[_TILE_WIDTH]
        samples = tags.get(_SAMPLES, 1) // planes
        entries[_TILE_WIDTH] = (pixels * samples * _tuple(tags[_BITS])[0] // 8,)
        entries[_TILE_HEIGHT] = (tags[_TILE_HEIGHT],)
    else:
        entries[_ROWS] = (min(tags.get(_ROWS, tags[_HEIGHT]), tags[_HEIGHT]),)
    # By class, since Image.open counts these bytes as pixels of a bomb.
    with TiffImagePlugin.TiffImageFile(io.BytesIO(_with_directory(data, entries))) as file:
        return np.asarray(file)


def _with_directory(data: bytes, entries: Mapping[int, tuple[int, ...]]) -> bytes:
    """The file with another first directory, at its end, whose values are all 32-bit numbers."""
    order = ">" if data[:2] == b"MM" else "<"
    start = len(data) + len(data) % 2
    after = start + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(order + "H", len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        place = packed if len(numbers) == 1 else struct.pack(order + "I", after + len(values))
        values += b"" if len(numbers) == 1 else packed
        directory += struct.pack(order + "HHI", tag, 4, len(numbers)) + place
    head = data[:2] + struct.pack(order + "HI", 42, start)
    return head + data[8:] + b"\0" * (len(data) % 2) + directory + struct.pack("<I", 0) + values


def _tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
