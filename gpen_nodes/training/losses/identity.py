"""The identity term: whether the restored face is still the same person."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

__all__ = ["Identity"]


class Embedder(Protocol):
    """Tells people apart, as ``FaceEmbedder`` does."""

    def embed(self, crops: Tensor) -> Tensor:
        """[B, 3, S, S] in [0, 1] to unit vectors [B, N]."""
        ...


class Identity(nn.Module):
    """1 - cosine between the embeddings of a network that was trained by ArcFace's loss."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        ours, theirs = (self.embedder.embed((x + 1) / 2) for x in (restored, truth))
        return (1 - (ours * theirs).sum(dim=1)).mean()
