"""What the generator and the discriminator are trained for."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..faces.identity import FaceEmbedder
from .config import TrainingConfig

__all__ = [
    "GeneratorObjective",
    "discriminator_loss",
    "gradient_penalty",
    "local_sharpness",
    "random_windows",
]


def random_windows(size: int, chance: torch.Generator, *batches: Tensor) -> list[Tensor]:
    """Cut the same random ``size``² window out of each [B, C, H, W], one place for the whole batch."""
    height, width = batches[0].shape[-2:]
    y, x = (int(torch.randint(0, span - size + 1, (), generator=chance)) for span in (height, width))
    return [b[..., y : y + size, x : x + size] for b in batches]


def local_sharpness(image: Tensor, window: int = 16) -> Tensor:
    """Root mean square difference between neighbouring pixels, [B, 1, H // window, W // window].

    L1 alone gives the median of all plausible faces, which is blurred. That a window be as sharp as the true
    one tells the network how much detail is due, and leaves it to L1 where.
    """
    down = image[..., 1:, :-1] - image[..., :-1, :-1]
    right = image[..., :-1, 1:] - image[..., :-1, :-1]
    energy = (down.square() + right.square()).mean(dim=1, keepdim=True)
    return torch.sqrt(F.avg_pool2d(F.pad(energy, (0, 1, 0, 1)), window) + 1e-5)  # no infinite slope at 0


class GeneratorObjective(nn.Module):
    """The weighted terms of the restoring network's loss, each a scalar by its name."""

    def __init__(self, config: TrainingConfig, embedder: FaceEmbedder | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedder = embedder

    def forward(
        self,
        restored: Tensor,
        truth: Tensor,
        judge: Callable[[Tensor], Tensor] | None = None,
        chance: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Terms for [B, 3, S, S] in [-1, 1].

        ``judge`` gives the discriminator's logits [B, 1] of the window that ``chance`` picks.
        """
        c = self.config
        terms = {"pixel": c.pixel * F.l1_loss(restored, truth)}
        if c.sharpness:
            terms["sharpness"] = c.sharpness * F.l1_loss(local_sharpness(restored), local_sharpness(truth))
        if c.identity and self.embedder is not None:
            ours, theirs = (self.embedder.embed((x + 1) / 2) for x in (restored, truth))
            terms["identity"] = c.identity * (1 - (ours * theirs).sum(dim=1)).mean()
        if c.adversarial and judge is not None and chance is not None:
            (window,) = random_windows(c.discriminator_size, chance, restored)
            terms["adversarial"] = c.adversarial * F.softplus(-judge(window)).mean()
        return terms


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic loss of logits [B, 1] (Goodfellow et al. 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """Mean squared norm of the logit's gradient at real pictures (R1, Mescheder et al. 2018)."""
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
