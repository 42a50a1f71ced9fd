"""Everything that decides how a training run goes, in one frozen value."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from ..degradation import DegradationRecipe
from ..errors import OptionError

__all__ = ["TrainingConfig"]

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class TrainingConfig:
    """One stage of training: a fixed size, one data set, one set of loss weights.

    Attributes:
        size: side of the faces in pixels. A start model of half that size is grown.
        narrow, multiplier, style_dim, mapping_depth: widths of a new model, see ``GpenConfig``.
        steps: optimiser steps in all.
        batch: faces a step and process.
        learning_rate: Adam's, for both networks.
        ema_decay: share of the old average kept at each step; the average is what ships.
        pixel: weight of L1 between restored and true face, both in [-1, 1].
        identity: weight of 1 - cosine between MobileFaceNet embeddings.
        adversarial: weight of the non-saturating logistic loss; 0 trains no discriminator.
        r1: weight γ of the gradient penalty γ/2·|∇D|² (Mescheder et al. 2018), every ``r1_every`` steps.
        discriminator_size: side of what the discriminator sees; smaller than ``size`` means random windows.
        recipe: how the faces are degraded, in pixels of the stored faces.
        seed: of weights, order and degradation.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``, as Lightning Fabric calls them.
        compile: run the networks through ``torch.compile``.
        sample_every, save_every: steps between sample sheets and between resumable states.
    """

    size: int = 256
    narrow: float = 0.25
    multiplier: float = 1
    style_dim: int = 256
    mapping_depth: int = 4
    steps: int = 10_000
    batch: int = 8
    learning_rate: float = 2e-3
    ema_decay: float = 0.999
    pixel: float = 1.0
    identity: float = 0.0
    adversarial: float = 0.0
    r1: float = 10.0
    r1_every: int = 16
    discriminator_size: int = 128
    recipe: DegradationRecipe = field(default_factory=DegradationRecipe)
    seed: int = 0
    precision: Precision = "32-true"
    compile: bool = False
    sample_every: int = 500
    save_every: int = 500

    def __post_init__(self) -> None:
        if self.discriminator_size > self.size:
            raise OptionError(
                f"discriminator_size {self.discriminator_size} is larger than the faces' size {self.size}; "
                "expected at most that."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingConfig:
        """Build a config from plain values, such as those of a TOML or JSON file; ``recipe`` is a table.

        Raises:
            OptionError: names the values that are unknown.
        """
        values = dict(values)
        names = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - names):
            raise OptionError(
                f"Unknown training options: {', '.join(unknown)}. Known: {', '.join(sorted(names))}."
            )
        if "recipe" in values:
            recipe: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in values["recipe"].items()
            }
            values["recipe"] = DegradationRecipe(**recipe)
        return cls(**values)
