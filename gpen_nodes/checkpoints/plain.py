"""What a file says beside its weights, as values that can be shown and written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .unpickle import Ignored

__all__ = ["plain_values"]

MAX_DEPTH = 16
MAX_LENGTH = 2**18
"""Characters of all strings, plus 16 for each value. An object that occurs twice counts twice."""
_NUMBER_BITS = 64


def plain_values(values: Any, path: Path) -> dict[str, Any]:
    """A copy by name that shares nothing, without the objects of numpy.

    Raises:
        CheckpointError: values other than numbers, strings and lists or dictionaries of them, too deep, or
            too many; names the entry.
    """
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: its args are not plain numbers, strings and lists of them.")
    copy = _Copy(path)
    return copy.of_dictionary(values, ("args",))


class _Copy:
    def __init__(self, path: Path) -> None:
        self._path, self._left = path, MAX_LENGTH

    def of_dictionary(self, values: dict, keys: tuple[str, ...]) -> dict[str, Any]:
        copied = {}
        for name, value in values.items():
            if not isinstance(name, str):
                raise self._refuse(keys, f"has a {type(name).__name__} as a name")
            if not isinstance(value, Ignored):
                copied[self._string(name, keys)] = self._of(value, (*keys, name))
        return copied

    def _of(self, value: Any, keys: tuple[str, ...]) -> Any:
        self._count(16, keys)
        if len(keys) > MAX_DEPTH:
            raise self._refuse(keys, f"is more than {MAX_DEPTH} deep")
        if isinstance(value, dict):
            return self.of_dictionary(value, keys)
        if isinstance(value, (list, tuple)):
            return type(value)(
                self._of(entry, (*keys, "[]")) for entry in value if not isinstance(entry, Ignored)
            )
        if isinstance(value, str):
            return self._string(value, keys)
        if isinstance(value, int) and value.bit_length() > _NUMBER_BITS:
            raise self._refuse(keys, f"is a number of {value.bit_length()} bits")
        if isinstance(value, (bool, int, float, type(None))):
            return value
        raise self._refuse(keys, f"is a {type(value).__name__}")

    def _string(self, text: str, keys: tuple[str, ...]) -> str:
        self._count(len(text), keys)
        return text.encode("utf-8", "backslashreplace").decode()  # half of a character cannot be written

    def _count(self, length: int, keys: tuple[str, ...]) -> None:
        self._left -= length
        if self._left < 0:
            raise self._refuse(keys, "is where they become longer than any that training writes")

    def _refuse(self, keys: tuple[str, ...], what: str) -> CheckpointError:
        name = ".".join(key[:40] for key in keys[:6])
        return CheckpointError(
            f"{self._path}: its args are not plain numbers, strings and lists of them: {name} {what}."
        )
