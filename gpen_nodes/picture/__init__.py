"""Picture files: what one holds beside its pixels, read and written back."""

from __future__ import annotations

from .read import Picture, read_picture
from .write import WRITABLE_SUFFIXES, write_picture

__all__ = ["WRITABLE_SUFFIXES", "Picture", "read_picture", "write_picture"]
