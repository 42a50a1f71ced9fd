"""The game between the restoring network and its discriminator."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Adversarial", "discriminator_loss", "gradient_penalty", "random_windows"]

Judge = Callable[[Tensor], Tensor]


class Adversarial:
    """Non-saturating logistic loss on random windows, with a lazy R1 penalty.

    Args:
        weight: of the generator's term.
        r1: weight γ of the penalty γ/2·|∇D|² (Mescheder et al. 2018).
        r1_every: take the penalty every so many steps, as many times as strong (StyleGAN2, section 4.1).
        size: side of the windows, of what the discriminator sees.
    """

    def __init__(self, weight: float, r1: float, r1_every: int, size: int) -> None:
        self.weight, self.r1, self.r1_every, self.size = weight, r1, r1_every, size

    def generator_term(self, judge: Judge, restored: Tensor, chance: torch.Generator) -> Tensor:
        """The generator wants high logits for the window that ``chance`` picks."""
        (window,) = random_windows(self.size, chance, restored)
        return self.weight * F.softplus(-judge(window)).mean()

    def windows(self, restored: Tensor, truth: Tensor, chance: torch.Generator) -> list[Tensor]:
        """What the discriminator learns from: one window of both, without a way back to the generator."""
        return random_windows(self.size, chance, restored.detach(), truth)

    def penalty(self, judge: nn.Module, truth: Tensor, step: int) -> Tensor | None:
        """R1 on true windows, in the steps (counted from 1) that are due one."""
        if not self.r1 or step % self.r1_every:
            return None
        return gradient_penalty(judge, truth) * (self.r1 / 2 * self.r1_every)


def random_windows(size: int, chance: torch.Generator, *batches: Tensor) -> list[Tensor]:
    """Cut the same random ``size``² window out of each [B, C, H, W], one place for the whole batch."""
    height, width = batches[0].shape[-2:]
    y, x = (int(torch.randint(0, span - size + 1, (), generator=chance)) for span in (height, width))
    return [b[..., y : y + size, x : x + size] for b in batches]


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic loss of logits [B, 1] (Goodfellow et al. 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """Mean squared norm of the logit's gradient at real pictures (R1, Mescheder et al. 2018)."""
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
