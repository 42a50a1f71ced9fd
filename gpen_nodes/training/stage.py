"""What a training run holds from step to step: networks, optimisers, average; one step; its state file."""

from __future__ import annotations

import dataclasses
import io
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..atomic import replacing
from ..errors import DegenerateOutputError, OptionError
from ..model import Gpen
from .config import TrainingConfig
from .ema import Ema
from .interrupts import interrupts_wait
from .losses import Objective
from .seeds import generator_for
from .start import make_game, make_optimizer, set_pace

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Pair", "Stage"]

Pair = tuple[Tensor, Tensor]
"""Degraded and true faces, [B, 3, S, S] in [-1, 1]."""


class Stage:
    """Both networks, their optimisers and the average: all that a state file holds.

    Attributes:
        done: completed steps, those of earlier runs included.
        best: the lowest objective on faces kept out of training so far.
        faces: what identifies the set of faces, so that a resumed run notices another one.
        changed: a sentence for each thing that differs from the state that was resumed.
    """

    def __init__(
        self,
        config: TrainingConfig,
        fabric: Fabric,
        objective: Objective,
        model: Gpen,
        discriminator: nn.Module | None,
    ) -> None:
        self.config, self.fabric, self.done, self.best = config, fabric, 0, math.inf
        self.faces, self.changed = "", list[str]()
        self.raw, self.raw_discriminator = (
            model.to(fabric.device),
            discriminator and discriminator.to(fabric.device),
        )
        self.ema = Ema(self.raw, config.ema_decay)
        self.objective = objective.to(fabric.device)
        self.game = make_game(config, fabric.device) if discriminator is not None else None
        for weight in self.raw.parameters():
            if weight.dim() == 4 and weight.shape[2:] == (1, 1):
                weight.register_hook(_plain_strides)
        self.model, own = fabric.setup(self._compiled(self.raw), make_optimizer(self.raw, config))
        self.optimizers = {"optimizer": own}
        self.discriminator = None
        if self.raw_discriminator is not None:
            # Not wrapped: DDP supports neither a gradient penalty nor two batches in one backward pass.
            self.discriminator = self._compiled(self.raw_discriminator)
            # One optimiser in gives one back; Fabric's annotation does not say so.
            own = fabric.setup_optimizers(make_optimizer(self.raw_discriminator, config))
            self.optimizers["discriminator_optimizer"] = cast("Optimizer", own)
        # fp16's gradients are scaled: one scale for both networks.
        self.scaler = getattr(fabric.strategy.precision, "scaler", None)

    def _compiled(self, network: nn.Module) -> nn.Module:
        return cast("nn.Module", torch.compile(network)) if self.config.compile else network

    def step(self, batches: Sequence[Pair]) -> dict[str, Tensor]:
        """One update of each network by the mean over all batches; the terms of both losses, detached.

        All gradients are computed before the first weight moves, so an error on the way leaves the state as
        the last step left it.
        """
        for optimizer in self.optimizers.values():
            set_pace(optimizer, self.config, self.done)
            optimizer.zero_grad()
        sums: dict[str, Tensor] = {}
        for number, (degraded, truth) in enumerate(batches, start=1):
            terms = self._gradients(degraded, truth, 1 / len(batches), last=number == len(batches))
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach() / len(batches)
        if self.raw_discriminator is not None:
            self._average_gradients(self.raw_discriminator)
        with interrupts_wait():
            self._move_weights()
            if self.game is not None:
                self.game.weights_moved(cast("Any", self.raw_discriminator))
            self.done += 1
            self.ema.update(self.raw, self.done)
        return self._averaged(sums)

    def _averaged(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Over all processes, which have seen different faces."""
        if self.fabric.world_size == 1:
            return terms
        means = cast("Tensor", self.fabric.all_reduce(torch.stack(list(terms.values())), reduce_op="mean"))
        return dict(zip(terms, means, strict=True))

    def _gradients(self, degraded: Tensor, truth: Tensor, share: float, *, last: bool) -> dict[str, Tensor]:
        """Add ``share`` of this batch's gradients to those of both networks."""
        # Seeded by the step's number alone, so that a resumed run draws what an uninterrupted one does.
        generator = generator_for(self.config.seed, self.done)
        with self.fabric.no_backward_sync(self.model, enabled=not last):
            restored = self.model(degraded.contiguous(memory_format=torch.channels_last))
            if self.raw_discriminator is not None:
                self.raw_discriminator.requires_grad_(False)
            with self.fabric.autocast():
                terms = self.objective(restored, truth)
                if self.discriminator is not None and self.game is not None:
                    terms["adversarial"] = self.game.generator_term(self.discriminator, restored, generator)
            self._backward(terms, share)
        if self.raw_discriminator is not None:
            self.raw_discriminator.requires_grad_(True)
            terms |= self._discriminator_gradients(restored, truth, share, generator)
        return terms

    def _discriminator_gradients(
        self, restored: Tensor, truth: Tensor, share: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        assert self.discriminator is not None
        assert self.game is not None
        with self.fabric.autocast():
            terms = self.game.discriminator_terms(
                self.discriminator, restored, truth, generator, self.done + 1
            )
        self._backward(terms, share)
        return terms

    def _backward(self, terms: dict[str, Tensor], share: float) -> None:
        self.fabric.backward(torch.stack(list(terms.values())).sum() * share)

    def _average_gradients(self, network: nn.Module) -> None:
        """Over all processes."""
        if self.fabric.world_size == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        flat = cast("Tensor", self.fabric.all_reduce(flat, reduce_op="mean"))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _move_weights(self) -> None:
        if self.scaler is None:
            for optimizer in self.optimizers.values():
                optimizer.step()
            return
        # Fabric would change the scale after the first optimiser's step, while the second one's gradients
        # still have the old scale.
        for optimizer in self.optimizers.values():
            self.scaler.step(cast("Any", optimizer).optimizer)
        self.scaler.update()

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"model": self.raw, "ema": self.ema.model, **self.optimizers}
        if self.raw_discriminator is not None:
            parts["discriminator"] = self.raw_discriminator
        if self.scaler is not None:
            parts["scaler"] = self.scaler
        return parts

    def _data(self) -> dict[str, Any]:
        """The options that decide what is learnt from."""
        recipe = dataclasses.asdict(self.config.recipe)
        return {"seed": self.config.seed, "faces": self.faces} | {f"recipe.{k}": v for k, v in recipe.items()}

    def save(self, path: Path) -> None:
        """Write what a resumed run needs, whole or not at all.

        Raises:
            DegenerateOutputError: the weights are not finite any more; what was saved before stays.
            OSError: the file cannot be written; what was saved before stays.
        """
        if not all(bool(torch.isfinite(p).all()) for p in self.raw.parameters()):
            kept = (
                f"{path} still holds the last good state: go on from there"
                if path.exists()
                else "No state was saved before: start anew"
            )
            raise DegenerateOutputError(
                f"After step {self.done} the weights hold NaN or infinity. {kept} with a lower "
                "learning_rate, or another precision."
            )
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        # In memory: torch's own zip writer may crash the process when the disk is full.
        stream = io.BytesIO()
        torch.save(state | {"step": self.done, "best": self.best, "data": self._data()}, stream)
        with replacing(path) as temporary:
            # Not getbuffer(): after a failed write its view stays in a reference cycle, and Python 3.12
            # crashes.
            temporary.write_bytes(stream.getvalue())

    def resume(self, path: Path) -> None:
        """Load a saved state if there is one. Learning rate, precision and discriminator may differ from it.

        Raises:
            OptionError: the state is another network's, or damaged.
        """
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.fabric.device, weights_only=True)
            for name, part in self._parts().items():
                if name in state:  # A state without a discriminator may go on with one.
                    part.load_state_dict(state[name])
            self.done, self.best = state["step"], state.get("best", math.inf)
            before = state.get("data", {})  # states of older versions do not say
            self.changed = [
                f"{name} was {before[name]} and is {now}."
                for name, now in self._data().items()
                if name in before and before[name] != now
            ]
        except (RuntimeError, ValueError, TypeError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise OptionError(
                f"{path} is damaged or of another network than this run's. Choose another folder, or remove "
                "the file to start anew."
            ) from error


def _plain_strides(gradient: Tensor) -> Tensor:
    """View the gradient with the strides that its weight has.

    A 1×1 weight is contiguous and channels_last at once; convolutions give its gradient the strides of the
    latter, and DDP would copy that gradient into its bucket on its own, with a warning.
    """
    return gradient.reshape(-1).view(gradient.shape)
