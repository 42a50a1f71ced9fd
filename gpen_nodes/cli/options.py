"""Options of the core as arguments of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from ..errors import OptionError
from ..options import Options

__all__ = ["add_options", "chosen_options"]

_Options = TypeVar("_Options", bound=Options)


def add_options(
    parser: argparse._ActionsContainer, options: Options, names: Iterable[str], **choices: tuple[str, ...]
) -> None:
    """Add an argument for each named option, with the default that ``options`` holds.

    Args:
        parser: or a group of one.
        choices: fewer choices than the option itself has, where not all make sense here.
    """
    known = options.described()
    for name in names:
        one = known[name]
        if one.kind is bool:
            action = argparse.BooleanOptionalAction if one.default else "store_true"
            parser.add_argument(f"--{name}", action=action, default=one.default, help=one.text)
        else:
            parser.add_argument(
                f"--{name}",
                type=one.kind,
                default=one.default,
                choices=choices.get(name, one.choices) or None,
                metavar=None if one.choices else "FILE" if one.kind is Path else "N",
                help=one.text.replace("%", "%%"),
            )


def chosen_options(args: argparse.Namespace, options: _Options, names: Iterable[str]) -> _Options:
    """The same options with what the command line says.

    Raises:
        OptionError: a value that makes no sense; names the argument.
    """
    try:
        return options.changed(**{name: getattr(args, name) for name in names})
    except OptionError as error:
        raise OptionError(f"--{error}") from error
