"""The command ``gpen-nodes``: one module a group of subcommands, whose imports wait till they run."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from ..errors import GpenError
from . import degrade, evaluate, grow, models, restore, training

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status: 0 done, 1 something failed, 2 wrong usage, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="gpen-nodes", description="Restore faces in photos with GPEN, and look after its models."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (restore, degrade, models, training, grow, evaluate):
        module.add_parsers(commands)
    args = parser.parse_args(argv)
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read our output has seen enough, such as head. What Python still holds goes nowhere.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a shell calls the end by SIGPIPE
    except GpenError as error:
        print(f"gpen-nodes: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gpen-nodes: interrupted; what was finished is kept.", file=sys.stderr)
        return 130
