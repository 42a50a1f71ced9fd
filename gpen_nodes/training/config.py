"""Everything that decides how a training run goes, in one frozen value."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..degradation import DegradationRecipe
from ..errors import OptionError

__all__ = ["TrainingConfig"]

Precision = Literal["32-true", "bf16-mixed"]


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
        sharpness: weight of L1 between the root mean square gradients of 16 px windows.
        identity: weight of 1 - cosine between MobileFaceNet embeddings.
        adversarial: weight of the non-saturating logistic loss; 0 trains no discriminator.
        r1: weight γ of the gradient penalty γ/2·|∇D|² (Mescheder et al. 2018), every ``r1_every`` steps.
        discriminator_size: side of what the discriminator sees; smaller than ``size`` means random windows.
        recipe: how the faces are degraded, in pixels of the stored faces.
        seed: of weights, order and degradation.
        precision: ``32-true`` or ``bf16-mixed``, as Lightning Fabric calls them.
        compile: run the networks through ``torch.compile``.
        sample_every, save_every: steps between sample sheets and between resumable states.
    """

    size: int = 256
    narrow: float = 0.25
    multiplier: float = 1.0
    style_dim: int = 256
    mapping_depth: int = 4
    steps: int = 10_000
    batch: int = 8
    learning_rate: float = 2e-3
    ema_decay: float = 0.999
    pixel: float = 1.0
    sharpness: float = 0.0
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
        for option in dataclasses.fields(self):
            _check(option.name, getattr(self, option.name), option.default)
        if self.precision not in get_args(Precision):
            raise OptionError(
                f"precision is {self.precision!r}; expected one of {', '.join(get_args(Precision))}."
            )
        if self.adversarial and self.discriminator_size > self.size:
            raise OptionError(
                f"discriminator_size {self.discriminator_size} is larger than the faces' size {self.size}; "
                "expected at most that."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingConfig:
        """Build a config from plain values, such as those of a TOML or JSON file; ``recipe`` is a table.

        Raises:
            OptionError: names the values that are unknown, of the wrong kind, or out of range.
        """
        values = dict(values)
        _check_names("training options", values, cls)
        if "recipe" in values:
            recipe = values["recipe"]
            if not isinstance(recipe, dict):
                raise OptionError(f"recipe is {recipe!r}; expected a table of ranges.")
            _check_names("options of the recipe", recipe, DegradationRecipe)
            ranges: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.items()}
            values["recipe"] = DegradationRecipe(**ranges)
        return cls(**values)


def _check_names(what: str, values: dict[str, Any], cls: type) -> None:
    names = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - names):
        raise OptionError(f"Unknown {what}: {', '.join(unknown)}. Known: {', '.join(sorted(names))}.")


def _check(name: str, value: Any, default: Any) -> None:
    """Whole numbers count something, so they are at least 1; the others are weights, rates and widths."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, bool):
        valid, expected = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        lowest = 0 if name == "seed" else 1
        valid = is_number and isinstance(value, int) and value >= lowest
        expected = f"a whole number from {lowest}"
    elif isinstance(default, float):
        valid, expected = is_number and value >= 0, "a number from 0"
    else:
        return
    if not valid:
        raise OptionError(f"{name} is {value!r}; expected {expected}.")
