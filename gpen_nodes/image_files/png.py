"""PNG by its chunks: what Pillow gets to see, what is kept as it is, and what is mended.

Format: Portable Network Graphics (W3C, third edition).
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..errors import ImageError

__all__ = ["PNG_SIGNATURE", "Png", "chunk", "chunks", "inflate", "read_header", "split_png"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Libraries write 8 kB to a chunk; 134 megapixels of noise in 8 kB each are fewer.
_MAX_CHUNKS = 2**17
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# Adam7: first column and row, and the steps, of each pass.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_FEED = 4096


@dataclass(frozen=True)
class Header:
    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool

    def row_bytes(self, width: int) -> int:
        """Of one row, with the byte that names its filter."""
        return 1 + (width * _CHANNELS[self.colour_type] * self.depth + 7) // 8

    def pixel_bytes(self) -> int:
        """Of all rows of all passes."""
        if not self.interlaced:
            return self.height * self.row_bytes(self.width)
        sizes = (
            (-(-(self.width - x) // dx), -(-(self.height - y) // dy))
            for x, y, dx, dy in _PASSES
            if self.width > x and self.height > y
        )
        return sum(height * self.row_bytes(width) for width, height in sizes)


@dataclass
class Png:
    """What a PNG holds.

    Attributes:
        kept: other chunks, in their order.
        damage: a sentence for each thing that is wrong.
    """

    header: Header
    palette: bytes = b""
    transparency: bytes = b""
    pixels: bytes = b""  # compressed
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)

    def plain(self) -> bytes:
        """A file of the pixels alone; of 16 bits without transparency, which OpenCV may drop or apply."""
        h = self.header
        start = struct.pack(">IIBBBBB", h.width, h.height, h.depth, h.colour_type, 0, 0, h.interlaced)
        transparency = b"" if h.depth == 16 else self.transparency
        parts = [(b"PLTE", self.palette), (b"tRNS", transparency), (b"IDAT", self.pixels)]
        body = b"".join(chunk(kind, data) for kind, data in parts if data)
        return PNG_SIGNATURE + chunk(b"IHDR", start) + body + chunk(b"IEND", b"")

    def complete(self) -> None:
        """Make pixels that cannot be unpacked to their end readable: what is missing becomes zeros.

        Raises:
            ImageError: more than half is missing.
        """
        wanted = self.header.pixel_bytes()
        found = inflate(self.pixels, wanted)
        if len(found) < wanted / 2:
            raise ImageError("more than half of its pixels are missing")
        row = self.header.row_bytes(self.header.width)
        padded = bytearray(found) + bytes(wanted - len(found))
        if not self.header.interlaced:
            self.damage.append(
                f"{-(-(wanted - len(found)) // row)} of its {self.header.height} rows are missing"
            )
            for start in range(0, wanted, row):
                padded[start] = padded[start] if padded[start] <= 4 else 0  # no such filter
        else:
            self.damage.append(f"{100 - 100 * len(found) // wanted} % of its pixels are missing")
        self.pixels = zlib.compress(bytes(padded), 1)


def read_header(head: bytes) -> Header:
    """From the first 33 bytes of a file.

    Raises:
        ImageError: they are no PNG's.
    """
    if (
        len(head) < 33
        or head[12:16] != b"IHDR"
        or zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big")
    ):
        raise ImageError("its header is damaged")
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", head[16:29])
    if colour_type not in _CHANNELS or depth not in (1, 2, 4, 8, 16):
        raise ImageError(f"its header names the unknown colour type {colour_type} of {depth} bits")
    return Header(width, height, depth, colour_type, bool(interlaced))


def split_png(data: bytes) -> Png:
    """All chunks of a file. A damaged one that isn't needed is left out, as viewers do.

    Raises:
        ImageError: the header is damaged, or there are over 131,072 chunks.
    """
    png, wrong, pixels, ended = Png(read_header(data[:33])), Counter(), [], False
    for number, (kind, body, whole) in enumerate(chunks(data)):
        if number >= _MAX_CHUNKS:
            raise ImageError(f"it has more than {_MAX_CHUNKS:,} chunks")
        ended = ended or kind == b"IEND"
        if not whole:
            wrong[kind] += 1
        if kind == b"IDAT":
            pixels.append(body)
        elif kind == b"PLTE":
            png.palette = body
        elif kind == b"tRNS" and whole:
            png.transparency = body
        elif kind not in (b"IHDR", b"IEND") and whole:
            png.kept.append((kind, body))
    png.pixels = b"".join(pixels)
    for kind, count in wrong.items():
        times = f", {count} times" if count > 1 else ""
        png.damage.append(f"the checksum of its chunk {kind.decode('ascii')} is wrong{times}")
    if not ended:
        png.damage.append("it ends early")
    return png


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind, content, and whether it is as its checksum says; up to IEND or the first that is no chunk."""
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if not kind.isalpha():
            return
        body = data[position + 8 : position + 8 + length]
        end = position + 8 + length
        cut = end + 4 > len(data)
        if not cut or kind == b"IDAT":
            # What a file that ends early lacks is told once, and not of its last chunk as well.
            yield kind, body, cut or zlib.crc32(kind + body) == int.from_bytes(data[end : end + 4], "big")
        if kind == b"IEND":
            return
        position = end + 4


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk as it stands in a file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def inflate(data: bytes, most: int) -> bytes:
    """Up to ``most`` bytes of zlib's packing, and of a damaged one what comes before the damage."""
    unpacker, found, size = zlib.decompressobj(), [], 0
    try:
        for start in range(0, len(data), _FEED):
            found.append(unpacker.decompress(data[start : start + _FEED], most - size))
            size += len(found[-1])
            if size >= most or unpacker.eof:
                break
    except zlib.error:
        pass
    return b"".join(found)


def insert_chunks(png: bytes, added: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Behind the header, where those that tell of colours have to be."""
    return png[:33] + b"".join(chunk(kind, data) for kind, data in added) + png[33:]
