"""``gpen-nodes grow``: a model of twice the size that starts as the same function."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_parsers"]


def add_parsers(commands: Any) -> None:
    """Register ``grow``."""
    p = commands.add_parser("grow", help="double the size of a model without changing what it does")
    p.add_argument("input", metavar="IN")
    p.add_argument("output", metavar="OUT")
    p.set_defaults(run=_grow)


def _grow(args: argparse.Namespace) -> int:
    from ..checkpoints import Checkpoint, read_checkpoint, write_checkpoint
    from ..checkpoints.checkpoint import UNKNOWN
    from ..model import Gpen, grow

    source = read_checkpoint(args.input)
    model = grow(Gpen.from_state_dict(source.state))
    # Duplicated weights are under the licence of their source; what else it says is about another size.
    told = {"version": f"{source.version}, grown to {model.config.size} px", "license": source.licence}
    known = {name: value for name, value in told.items() if not value.startswith(UNKNOWN)}
    write_checkpoint(Checkpoint(model.state_dict(), model.config, known), args.output)
    print(f"{args.output}: {model.config}")
    return 0
