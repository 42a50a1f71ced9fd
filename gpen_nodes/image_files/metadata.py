"""What an image file says about its pixels and still holds once they change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image, PngImagePlugin

__all__ = ["Metadata", "metadata_options", "read_metadata", "read_orientation"]

_ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
# Description, make, model, software, date, artist, copyright. The other tags of the first directory tell how
# the file is laid out (a TIFF's strips) or repeat what is kept elsewhere (resolution).
_LASTING_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
# Width, height and the directory of the thumbnail's rules.
_PASSING_EXIF_TAGS = (0xA002, 0xA003, 0xA005)
# Their colours become RGB on reading, so that a profile of theirs would lie.
_CONVERTED_MODES = ("CMYK", "LAB", "YCbCr", "HSV")
# A JPEG segment's length is a 16-bit number.
_LARGEST_JPEG_EXIF = 65_000


@dataclass(frozen=True)
class Metadata:
    """Kept from the file that was read to the file that is written.

    Attributes:
        icc_profile: bytes of the colour profile; None too where reading converted the colours.
        exif: an EXIF block without orientation, size, layout and thumbnail.
        dpi: pixels per inch, (x, y).
        text: a PNG's text chunks, but for embedded XMP and EXIF.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: dict[str, str] = field(default_factory=dict)


def read_metadata(file: Image.Image) -> Metadata:
    """What lasts of an open file's metadata, to be asked before its pixels are converted or turned.

    A damaged EXIF block is no reason to refuse an image: it is left out.
    """
    converted = file.mode in _CONVERTED_MODES
    texts = getattr(file, "text", None) or {}
    return Metadata(
        icc_profile=None if converted else file.info.get("icc_profile"),
        exif=_lasting_exif(file),
        dpi=_valid_dpi(file.info.get("dpi")),
        text={key: str(text) for key, text in texts.items() if not key.startswith(("XML:", "Raw profile"))},
    )


def read_orientation(file: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none or nonsense."""
    try:
        orientation = file.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return orientation if orientation in range(1, 9) else 1


def metadata_options(metadata: Metadata, format_name: str) -> dict[str, Any]:
    """Keyword arguments for Pillow's ``save`` in that format; what the format cannot hold is left out."""
    text = PngImagePlugin.PngInfo()
    for key, value in metadata.text.items():
        text.add_text(key, value)
    exif = metadata.exif
    if format_name == "JPEG" and exif is not None and len(exif) > _LARGEST_JPEG_EXIF:
        exif = None
    options = {"icc_profile": metadata.icc_profile, "exif": exif, "dpi": metadata.dpi, "pnginfo": text}
    holds = {
        "PNG": ("icc_profile", "exif", "dpi", "pnginfo"),
        "JPEG": ("icc_profile", "exif", "dpi"),
        "WEBP": ("icc_profile", "exif"),
        "TIFF": ("icc_profile", "exif", "dpi"),
        "BMP": ("dpi",),
    }[format_name]
    return {name: options[name] for name in holds if options[name] is not None}


def _lasting_exif(file: Image.Image) -> bytes | None:
    try:
        found, kept = file.getexif(), Image.Exif()
        for tag in _LASTING_TAGS:
            if tag in found:
                kept[tag] = found[tag]
        for directory in (_EXIF_IFD, _GPS_IFD):
            entries = found.get_ifd(directory)
            lasting = {tag: value for tag, value in entries.items() if tag not in _PASSING_EXIF_TAGS}
            if lasting:
                kept[directory] = lasting
        return kept.tobytes() if len(kept) else None
    except Exception:  # cameras and editors write all sorts of broken blocks
        return None


def _valid_dpi(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e5 and 0 < y < 1e5 else None
