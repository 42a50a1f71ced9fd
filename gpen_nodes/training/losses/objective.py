"""The weighted sum that the restoring network is trained for, without the adversarial term."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...errors import OptionError
from .networks import Networks
from .terms import TERMS

__all__ = ["Objective"]


class Objective(nn.Module):
    """Terms by name, each with its weight λ; a term of weight 0 is left out.

    Args:
        terms: modules that take restored and true faces, [B, 3, S, S] in [-1, 1], and give a scalar.
        weights: λ of each term.

    Raises:
        OptionError: no term has a weight.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = {name: weights[name] for name in terms if weights[name]}
        if not self.weights:
            raise OptionError("No term of the objective has a weight. Set pixel = 1, for example.")
        self.terms = nn.ModuleDict({name: terms[name] for name in self.weights})

    @classmethod
    def build(cls, weights: Mapping[str, float], networks: Networks) -> Objective:
        """The terms of the table that have a weight, with their networks.

        Raises:
            MissingWeightsError: a network's weights are not there; says where to get them.
            CheckpointError: they are damaged or another network's.
        """
        wanted = {name: weight for name, weight in weights.items() if weight}
        return cls({name: TERMS[name].build(networks) for name in wanted}, wanted)

    def forward(self, restored: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Each term times its weight, by name."""
        return {name: self.weights[name] * term(restored, truth) for name, term in self.terms.items()}
