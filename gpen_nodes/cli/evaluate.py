"""``gpen-nodes evaluate``: figures of models."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_parsers"]


def add_parsers(commands: Any) -> None:
    """Register ``evaluate``; what it needs is imported when it runs."""
    p = commands.add_parser(
        "evaluate", help="degrade aligned faces by the fixed recipe, restore them, print figures"
    )
    p.add_argument("faces", help="folder that prepare has written")
    p.add_argument("--model_path", metavar="FILE", help="else the small model that ships with the pack")
    p.add_argument("--embedder", metavar="FILE", help="MobileFaceNet.onnx, for the identity cosine")
    p.add_argument("--sheet", metavar="FILE", help="write degraded, restored and true faces as a picture")
    p.add_argument("--limit", type=int, metavar="N", help="only the first N faces")
    p.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from ..cache import get_restorer
    from ..evaluation.report import evaluate
    from ..faces.identity import FaceEmbedder
    from ..training.dataset import FaceStore
    from ..weights import shipped_model

    restorer = get_restorer(args.model_path or shipped_model(), "fp32")
    embedder = FaceEmbedder.load(args.embedder) if args.embedder else None
    table = evaluate(restorer, FaceStore(args.faces), embedder=embedder, sheet=args.sheet, limit=args.limit)
    print(table)
    return 0
