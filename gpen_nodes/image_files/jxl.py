"""How large a JPEG XL is. Its reader decodes on opening, so a decompression bomb must be found before.

Format: ISO/IEC 18181-1 (SizeHeader) and 18181-2 (boxes).
"""

from __future__ import annotations

from typing import IO

from ..errors import ImageError

__all__ = ["jxl_size"]

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def jxl_size(stream: IO[bytes]) -> tuple[int, int]:
    """Width and height as the header names them.

    Raises:
        ImageError: there is no header.
    """
    stream.seek(0)
    head = stream.read(16)
    if not head.startswith(b"\xff\x0a"):
        stream.seek(_codestream(stream))
        head = stream.read(16)
    if len(head) < 4 or not head.startswith(b"\xff\x0a"):
        raise ImageError("it has no header")
    return _size_header(int.from_bytes(head[2:], "little"))


def _codestream(stream: IO[bytes]) -> int:
    """Where the content of the first box of pixels begins."""
    position = 0
    for _ in range(1000):
        stream.seek(position)
        box = stream.read(16)
        length, kind, start = int.from_bytes(box[:4], "big"), box[4:8], 8
        if length == 1:
            length, start = int.from_bytes(box[8:], "big"), 16
        if kind == b"jxlc":
            return position + start
        if kind == b"jxlp":  # a part, whose number comes first
            return position + start + 4
        if length < 8:
            break
        position += length
    raise ImageError("it has no pixels")


def _size_header(bits: int) -> tuple[int, int]:
    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    in_eights = take(1)

    def side() -> int:
        return 8 * (1 + take(5)) if in_eights else 1 + take((9, 13, 18, 30)[take(2)])

    height = side()
    ratio = take(3)
    if ratio:
        over, under = _RATIOS[ratio - 1]
        return height * over // under, height
    return side(), height
