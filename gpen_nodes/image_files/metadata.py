"""What an image file says about its pixels and still holds once they change."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

from PIL import Image

from .jpeg import xmp_and_iptc
from .png import inflate

__all__ = [
    "Metadata",
    "metadata_chunks",
    "metadata_options",
    "read_metadata",
    "read_orientation",
    "tell_pillow",
]

_ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
# Description, make, model, software, date, artist, copyright. The other tags of the first directory tell how
# the file is laid out (a TIFF's strips) or repeat what is kept elsewhere (resolution).
_LASTING_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
# Width, height and the directory of the thumbnail's rules.
_PASSING_EXIF_TAGS = (0xA002, 0xA003, 0xA005)
# Their colours become RGB on reading, so their profile would no longer be true.
_CONVERTED_MODES = ("CMYK", "LAB", "YCbCr", "HSV")
# A JPEG segment's length is a 16-bit number.
_LARGEST_JPEG_EXIF, _LARGEST_JPEG_COMMENT = 65_000, 65_533
_TIFF_XMP, _TIFF_IPTC, _JPEG_IPTC = 700, 33723, 0x0404
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP = b"XML:com.adobe.xmp\0"
# What a PNG tells of its colours, and texts.
_LASTING_CHUNKS = (b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI", b"tEXt", b"zTXt", b"iTXt")
# EXIF and XMP as ImageMagick writes them; they are kept in their own way, or name an orientation.
_PASSING_TEXTS = (b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp")
_LARGEST_PROFILE = 2**24
# A thumbnail shows the old pixels; a gain map of other pixels, and parts of a motion photo, are not written.
_XMP_THUMBNAILS = re.compile(rb"<xmp:Thumbnails\b.*?</xmp:Thumbnails>", re.DOTALL)
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[0-9]+")
_XMP_OF_OTHER_PARTS = (b"hdrgm:", b"Container:Directory", b"xmpNote:HasExtendedXMP")


@dataclass(frozen=True)
class Metadata:
    """Kept from the file that was read to the file that is written.

    Attributes:
        icc_profile: bytes of the colour profile; None too where reading converted the colours.
        exif: an EXIF block without orientation, size, layout and thumbnail.
        dpi: pixels per inch, (x, y).
        xmp: a packet, whose orientation is upright, without thumbnails.
        iptc: records of IPTC-IIM.
        comment: a JPEG's or GIF's.
        chunks: a PNG's own, kind and content: gamma, primaries, CICP, and texts.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()


def read_metadata(file: Image.Image, chunks: tuple[tuple[bytes, bytes], ...] = ()) -> Metadata:
    """What lasts of an open file's metadata, to be asked before its pixels are converted or turned.

    A damaged block, or one of a wrong type, is no reason to refuse an image: it is left out.

    Args:
        chunks: of a PNG, those beside its pixels.
    """
    profile, comment = file.info.get("icc_profile"), file.info.get("comment")
    return Metadata(
        icc_profile=profile if is_profile(profile) and file.mode not in _CONVERTED_MODES else None,
        exif=_lasting_exif(file),
        dpi=_valid_dpi(file.info.get("dpi")),
        xmp=_lasting_xmp(_find_xmp(file)),
        iptc=_find_iptc(file),
        comment=comment if isinstance(comment, bytes) and comment and b"\0" not in comment else None,
        chunks=tuple((kind, data) for kind, data in chunks if kind in _LASTING_CHUNKS and _lasts(data)),
    )


def read_orientation(file: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none or nonsense."""
    try:
        orientation = file.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return orientation if orientation in range(1, 9) else 1


def tell_pillow(file: Image.Image, chunks: tuple[tuple[bytes, bytes], ...]) -> None:
    """Set what Pillow would have found in a PNG's chunks, had it been shown them, with limits of our own."""
    for kind, data in chunks:
        keyword = data.split(b"\0")[0]
        if kind == b"iCCP":
            file.info["icc_profile"] = inflate(data[len(keyword) + 2 :], _LARGEST_PROFILE)
        elif kind == b"eXIf":
            file.info["exif"] = data
        elif kind == b"pHYs" and len(data) == 9 and data[8] == 1:  # per metre
            file.info["dpi"] = tuple(value * 0.0254 for value in struct.unpack(">II", data[:8]))
        elif kind == b"iTXt" and data.startswith(_PNG_XMP):
            flag, (_, _, packet) = data[len(_PNG_XMP)], data[len(_PNG_XMP) + 2 :].split(b"\0", 2)
            file.info["xmp"] = inflate(packet, _LARGEST_PROFILE) if flag else packet
        elif kind in (b"tEXt", b"zTXt") and keyword in _PASSING_TEXTS[:2] and "exif" not in file.info:
            text = data[len(keyword) + 1 :]
            text = inflate(text[1:], _LARGEST_PROFILE) if kind == b"zTXt" else text
            file.info["exif"] = bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))


def metadata_options(metadata: Metadata, format_name: str) -> dict[str, Any]:
    """Keyword arguments for Pillow's ``save`` in that format; what the format cannot hold is left out.

    For TIFF, which ``encode_tiff`` writes, also ``xmp`` and ``iptc``.
    """
    options: dict[str, Any] = {
        name: getattr(metadata, name) for name in ("icc_profile", "exif", "dpi", "xmp", "iptc", "comment")
    }
    if format_name == "JPEG":
        options["extra"] = xmp_and_iptc(metadata.xmp, metadata.iptc)
        for name, largest in (("exif", _LARGEST_JPEG_EXIF), ("comment", _LARGEST_JPEG_COMMENT)):
            if len(options[name] or b"") > largest:
                options[name] = None
    holds = {
        "PNG": ("icc_profile", "exif", "dpi"),
        "JPEG": ("icc_profile", "exif", "dpi", "extra", "comment"),
        "WEBP": ("icc_profile", "exif", "xmp"),
        "TIFF": ("icc_profile", "exif", "dpi", "xmp", "iptc"),
        "BMP": ("dpi",),
    }[format_name]
    return {name: options[name] for name in holds if options[name] is not None}


def metadata_chunks(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """A PNG's chunks beside those that ``metadata_options`` makes Pillow write."""
    chunks = list(metadata.chunks)
    if metadata.xmp is not None:
        chunks.append((b"iTXt", _PNG_XMP + b"\0\0\0\0" + metadata.xmp))
    if metadata.comment is not None:
        chunks.append((b"tEXt", b"Comment\0" + metadata.comment))
    return chunks


def is_profile(profile: Any) -> bool:
    """Whether this is an ICC profile by its signature, which stands in bytes 36 to 39."""
    return isinstance(profile, bytes) and len(profile) >= 128 and profile[36:40] == b"acsp"


def _lasts(data: bytes) -> bool:
    return not data.startswith((_PNG_XMP, *(text + b"\0" for text in _PASSING_TEXTS)))


def _find_xmp(file: Image.Image) -> Any:
    if file.format == "TIFF":
        found = file.tag_v2.get(_TIFF_XMP)  # type: ignore[attr-defined]  # TiffImageFile's
        return found[0] if isinstance(found, tuple) and found else found
    for name, segment in getattr(file, "applist", ()):  # a JPEG's
        if name == "APP1" and segment.startswith(_JPEG_XMP):
            return segment[len(_JPEG_XMP) :]
    return file.info.get("xmp")


def _lasting_xmp(xmp: Any) -> bytes | None:
    if not isinstance(xmp, bytes) or not xmp or any(part in xmp for part in _XMP_OF_OTHER_PARTS):
        return None
    return _XMP_ORIENTATION.sub(rb"\g<1>1", _XMP_THUMBNAILS.sub(b"", xmp))


def _find_iptc(file: Image.Image) -> bytes | None:
    if file.format == "TIFF":
        found = file.tag_v2.get(_TIFF_IPTC)  # type: ignore[attr-defined]  # TiffImageFile's
        if isinstance(found, tuple):  # as 32-bit numbers, which some editors write
            order = ">" if file.tag_v2.prefix == b"MM" else "<"  # type: ignore[attr-defined]  # likewise
            try:
                found = struct.pack(f"{order}{len(found)}I", *found)
            except struct.error:
                return None
    else:
        resources = file.info.get("photoshop")
        found = resources.get(_JPEG_IPTC) if isinstance(resources, dict) else None
    return found if isinstance(found, bytes) and found else None


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
    return (x, y) if 1 < x < 1e5 and 1 < y < 1e5 else None  # 1 is what Pillow says where a TIFF has none
