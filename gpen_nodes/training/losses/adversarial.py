"""The game between the restoring network and its discriminator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LogisticGame", "discriminator_loss", "gradient_penalty", "random_windows"]


class LogisticGame:
    """Non-saturating logistic loss on random windows, with a lazy R1 penalty.

    Args:
        weight: of the generator's term.
        r1: weight γ of the penalty γ/2·|∇D|² (Mescheder et al. 2018).
        r1_every: steps from one penalty to the next, which is multiplied by that number (StyleGAN2, section
            4.1).
        size: side of the windows, of what the discriminator sees.
    """

    def __init__(self, weight: float, r1: float, r1_every: int, size: int) -> None:
        self.weight, self.r1, self.r1_every, self.size = weight, r1, r1_every, size

    def generator_term(
        self, discriminator: nn.Module, restored: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Weighted loss that falls as the logits rise, for the window that ``generator`` picks."""
        (window,) = random_windows(self.size, generator, restored)
        return self.weight * F.softplus(-discriminator(window)).mean()

    def discriminator_terms(
        self,
        discriminator: nn.Module,
        restored: Tensor,
        truth: Tensor,
        generator: torch.Generator,
        step: int,
    ) -> dict[str, Tensor]:
        """Logistic loss of one window of both faces; in every ``r1_every``-th step also R1 on the true one.

        No gradient reaches the restoring network.
        """
        restored, truth = random_windows(self.size, generator, restored.detach(), truth)
        terms = {"discriminator": discriminator_loss(discriminator(truth), discriminator(restored))}
        if self.r1 and step % self.r1_every == 0:
            # A compiled network has no second derivative: the penalty takes the one it was compiled from.
            plain = getattr(discriminator, "_orig_mod", discriminator)
            with torch.autocast(truth.device.type, enabled=False):
                terms["r1"] = gradient_penalty(plain, truth.float()) * (self.r1 / 2 * self.r1_every)
        return terms

    def weights_moved(self, discriminator: nn.Module) -> None:
        """Called after each step; this game has nothing to update."""


def random_windows(size: int, generator: torch.Generator, *batches: Tensor) -> list[Tensor]:
    """Cut the same random ``size``² window out of each [B, C, H, W], one place for the whole batch."""
    height, width = batches[0].shape[-2:]
    y, x = (int(torch.randint(0, span - size + 1, (), generator=generator)) for span in (height, width))
    return [b[..., y : y + size, x : x + size] for b in batches]


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic loss of logits [B, 1] (Goodfellow et al. 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """Mean squared norm of the logit's gradient at real images (R1, Mescheder et al. 2018)."""
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
