"""Image files: what one holds beside its pixels, read and written back. (An image is a tensor: `images.py`.)"""

from __future__ import annotations

from .find import READABLE_SUFFIXES, find_image_files, is_image_file_name
from .read import ImageFile, decode_image_file, read_image_file
from .write import WRITABLE_SUFFIXES, write_image_file

__all__ = [
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "ImageFile",
    "decode_image_file",
    "find_image_files",
    "is_image_file_name",
    "read_image_file",
    "write_image_file",
]
