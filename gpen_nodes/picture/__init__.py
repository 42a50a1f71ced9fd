"""Picture files: what one holds beside its pixels, read and written back."""

from __future__ import annotations

from .find import READABLE_SUFFIXES, find_pictures, is_picture_name
from .read import Picture, decode_picture, read_picture
from .write import WRITABLE_SUFFIXES, write_picture

__all__ = [
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Picture",
    "decode_picture",
    "find_pictures",
    "is_picture_name",
    "read_picture",
    "write_picture",
]
