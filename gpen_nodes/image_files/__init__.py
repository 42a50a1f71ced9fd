"""Image files: what one holds beside its pixels, read and written back.

An image is a tensor (``images.py``); an image file is what lies on a disk.
"""

from __future__ import annotations

from .find import describe_left_out, find_image_files, is_image_file_name
from .formats import READABLE_SUFFIXES, WRITABLE_SUFFIXES
from .read import ImageFile, decode_image_file, read_image_file
from .write import encode_image_file, write_image_file

__all__ = [
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "ImageFile",
    "decode_image_file",
    "describe_left_out",
    "encode_image_file",
    "find_image_files",
    "is_image_file_name",
    "read_image_file",
    "write_image_file",
]
