"""The files that Pillow writes badly or not at all: PNG of 16 bits per channel, and TIFF with metadata.

Formats: Portable Network Graphics (W3C, third edition), TIFF revision 6.0.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from .png import PNG_SIGNATURE, chunk, chunks

__all__ = ["encode_png16", "encode_tiff"]

_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels: gray, gray and alpha, RGB, RGBA
_PNG_FILTER_UP = 2


def encode_png16(pixels: np.ndarray, options: dict[str, Any]) -> bytes:
    """A PNG of ``[H, W, C]`` uint16 (C of 1 to 4) with the metadata that Pillow's ``options`` name."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOUR_TYPES[channels], 0, 0, 0)
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    # Each row is stored as its difference from the one above, modulo 256: photographs compress better so.
    differences = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    filtered = np.pad(differences, ((0, 0), (1, 0)), constant_values=_PNG_FILTER_UP)
    metadata = [
        (kind, data)
        for kind, data, _ in chunks(_tiny_png(options))
        if kind not in (b"IHDR", b"IDAT", b"IEND")
    ]
    body = [(b"IHDR", header), *metadata, (b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(chunk(kind, data) for kind, data in body)


def _tiny_png(options: dict[str, Any]) -> bytes:
    """One pixel and all the metadata, so that Pillow lays out the chunks and we only move them."""
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "PNG", **options)
    return stream.getvalue()


def encode_tiff(pixels: np.ndarray, options: dict[str, Any]) -> bytes:
    """A TIFF of ``[H, W, C]`` uint8 or uint16 (C of 1 to 4) with the metadata that Pillow's ``options`` name.

    One strip of Deflate. 16-bit gray with alpha is stored as RGBA, since neither Pillow nor OpenCV reads it.
    """
    bits = 8 * pixels.dtype.itemsize
    if bits == 16 and pixels.shape[2] == 2:
        pixels = pixels[..., [0, 0, 0, 1]]
    height, width, channels = pixels.shape
    data = zlib.compress(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    if "exif" in options:
        exif = Image.Exif()
        exif.load(options["exif"])
        for tag in exif:
            directory[tag] = exif.get_ifd(tag) or exif[tag]
    directory[256], directory[257] = width, height
    directory[258] = (bits,) * channels
    directory[259] = 8  # Deflate
    directory[262] = 2 if channels >= 3 else 1  # RGB, or gray with black at zero
    directory[273] = 0  # the strip's offset after the directory; Pillow adds the directory's end
    directory[277], directory[278], directory[279] = channels, height, len(data)
    if "dpi" in options:
        directory[282], directory[283] = options["dpi"]
        directory[296] = 2  # per inch
    if channels in (2, 4):
        directory[338] = 2  # the extra channel is alpha, not multiplied in
    for tag, name in ((34675, "icc_profile"), (700, "xmp"), (33723, "iptc")):
        if name in options:
            directory[tag] = options[name]
            directory.tagtype[tag] = 7  # bytes of no further type
    stream = io.BytesIO()
    directory.save(stream)
    return stream.getvalue() + data
