"""Options as values: each is described, ranged and checked once, and every door derives its own from that."""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .errors import OptionError

__all__ = ["Option", "Options", "gather", "option"]

_Options = TypeVar("_Options", bound="Options")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


# By kind: how an error calls it, and what is of that kind.
_KINDS: Mapping[type, tuple[str, Callable[[Any], bool]]] = {
    float: ("a number", _is_number),
    int: ("a whole number", lambda value: _is_number(value) and isinstance(value, Integral)),
    bool: ("true or false", lambda value: isinstance(value, (bool, np.bool_))),
    str: ("a text", lambda value: isinstance(value, str)),
    object: ("another value", lambda value: True),
    Path: ("a path", lambda value: isinstance(value, (str, os.PathLike))),
}


@dataclass(frozen=True)
class Option:
    """What is known of one option.

    Attributes:
        default: a default of None means that the option may be left open.
        text: what it does, in a sentence without its range.
        kind: float, int, bool, str or Path, and object for all others; float takes whole numbers, too.
        low, high: the range of a number.
        above: whether ``low`` itself is excluded.
        choices: the only texts that are valid; empty allows all.
        valid: a check beyond those; what it raises as ValueError says what is expected.
    """

    default: Any
    text: str
    kind: type = object
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    choices: tuple[str, ...] = ()
    valid: Callable[[Any], object] | None = None

    @property
    def expected(self) -> str:
        """Such as ``a number from 0 to 1, or None``."""
        said = f"one of {', '.join(self.choices)}" if self.choices else _KINDS[self.kind][0]
        if self.above:
            said += f" above {self.low:g}" + (f", up to {self.high:g}" if self.high < math.inf else "")
        elif self.high < math.inf:
            said += f" from {self.low:g} to {self.high:g}"
        elif self.low > -math.inf:
            said += f" of {self.low:g} or more"
        return said + (", or None" if self.default is None else "")

    def check(self, name: str, value: Any) -> None:
        """Make sure that a value is valid.

        Raises:
            OptionError: names the option, what was found and what is expected.
        """
        if self.default is None and value is None:
            return
        expected = self.expected
        good = _KINDS[self.kind][1](value)
        if good and self.kind in (float, int):
            # NaN fails each comparison.
            good = (self.low < value if self.above else self.low <= value) and value <= self.high
        if good and self.choices:
            good = value in self.choices
        if good and self.valid is not None:
            try:
                self.valid(value)
            except ValueError as error:
                good, expected = False, str(error)
        if not good:
            raise OptionError(f"{name} is {reprlib.repr(value)}; expected {expected}.")


def option(default: Any, text: str, kind: type = object, **more: Any) -> Any:
    """A dataclass field that is an option; ``more`` are attributes of ``Option``."""
    return field(default=default, metadata={"option": Option(default, text, kind, **more)})


@dataclass(frozen=True)
class Options:
    """Base of frozen dataclasses whose fields are made by ``option``, or are ``Options`` themselves.

    Values are checked when an object is made.
    """

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if "option" in one.metadata:
                one.metadata["option"].check(one.name, value)
            elif not isinstance(value, Options):
                raise OptionError(f"{one.name} is {reprlib.repr(value)}; expected {one.type}.")

    def described(self) -> dict[str, Option]:
        """All options by name, those of the parts included, with the values of this object as defaults."""
        known: dict[str, Option] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Options):
                known |= value.described()
            else:
                known[one.name] = replace(one.metadata["option"], default=value)
        return known

    def changed(self: _Options, **values: Any) -> _Options:
        """The same with other values, by the names that ``described`` gives.

        Raises:
            OptionError: an unknown name, or a value that makes no sense.
        """
        known = self.described()
        if unknown := sorted(values.keys() - known.keys()):
            raise OptionError(f"Found unknown options: {', '.join(unknown)}. Known are {', '.join(known)}.")
        own: dict[str, Any] = {}
        for one in fields(self):
            part = getattr(self, one.name)
            if isinstance(part, Options):
                own[one.name] = part.changed(**{k: v for k, v in values.items() if k in part.described()})
            elif one.name in values:
                own[one.name] = values[one.name]
        return replace(self, **own)


def gather(kind: type[_Options], options: _Options | None, keywords: Mapping[str, Any]) -> _Options:
    """Options from an object of them, single ones given by keyword, or both: then keywords count.

    Raises:
        OptionError: another kind of object, an unknown name, or a value that makes no sense.
    """
    if options is None:
        options = kind()
    if not isinstance(options, kind):
        raise OptionError(f"Found options of {type(options).__name__}; expected {kind.__name__}.")
    return options.changed(**keywords) if keywords else options
