"""JPEG by its segments: what ends early is ended, and XMP and IPTC are written.

Formats: ITU-T T.81; XMP specification part 3; Adobe's image resource blocks.
"""

from __future__ import annotations

import struct

__all__ = ["MAX_PIXELS_PER_BYTE", "MAX_SCANS", "ended", "scans", "xmp_and_iptc"]

# A block of 8 × 8 pixels takes at least one bit.
MAX_PIXELS_PER_BYTE = 512
# Encoders write up to 14; each costs a pass over all blocks, whatever it holds.
MAX_SCANS = 100

_END = b"\xff\xd9"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_LARGEST_SEGMENT = 65_533
_IPTC_RESOURCE = 0x0404


def scans(data: bytes) -> int:
    """How many passes a file makes over its pixels, and a few of embedded thumbnails."""
    return data.count(b"\xff\xda")


def ended(data: bytes) -> list[bytes]:
    """A file that ends early with an end, as libjpeg's own reader of files adds one: two guesses."""
    # The second leaves out the segment within which the file may break off.
    return [data + _END, data[: max(data.rfind(b"\xff"), 0)] + _END]


def xmp_and_iptc(xmp: bytes | None, iptc: bytes | None) -> bytes:
    """Segments for Pillow's ``extra``; what is too long for one is left out."""
    found = b""
    if xmp is not None:
        found += _segment(0xE1, _XMP + xmp)
    if iptc is not None:
        resource = (
            struct.pack(">4sHHI", b"8BIM", _IPTC_RESOURCE, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
        )
        found += _segment(0xED, b"Photoshop 3.0\0" + resource)
    return found


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body if len(body) <= _LARGEST_SEGMENT else b""
