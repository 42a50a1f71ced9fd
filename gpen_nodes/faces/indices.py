"""Numbers as users write them: ``0, 2-4, 7-``."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from numbers import Integral

__all__ = ["parse_indices"]

_PART = re.compile(r"([0-9]{1,9})(-([0-9]{0,9}))?")
_EXPECTED = "numbers from 0 on or ranges of them, such as 0, 2-4 or 7-"


def parse_indices(text: str | Collection[int] | None) -> Collection[Collection[int]] | None:
    """Ranges of numbers, which take no memory however long they are; None for all numbers.

    Args:
        text: numbers and ranges, both ends included, with commas or spaces between them; a range without an
            end is open, an empty text means all. Or numbers that are parsed already.

    Raises:
        ValueError: says what is expected.
    """
    if text is None:
        return None
    if not isinstance(text, str):
        numbers = isinstance(text, Collection) and not isinstance(text, bytes)
        # A range may be too long to look at each of its numbers.
        if not numbers or not (isinstance(text, range) or all(isinstance(one, Integral) for one in text)):
            raise ValueError(_EXPECTED)
        return (text,)
    ranges = []
    for part in text.replace(",", " ").split():
        match = _PART.fullmatch(part)
        if not match:
            raise ValueError(_EXPECTED)
        first, dash, last = match.groups()
        end = int(last) if last else sys.maxsize - 1 if dash else int(first)
        if end < int(first):
            raise ValueError(f"{_EXPECTED}, the lower end first")
        ranges.append(range(int(first), end + 1))
    return ranges or None
