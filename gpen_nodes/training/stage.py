"""What a training run holds from step to step: networks, optimisers, average; one step; its state file."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from ..atomic import replacing
from ..errors import OptionError
from ..faces.identity import FaceEmbedder
from ..model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig, grow
from .config import TrainingConfig
from .ema import Ema
from .losses import GeneratorObjective, discriminator_loss, gradient_penalty, random_windows

__all__ = ["Stage"]


class Stage:
    """Both networks, their optimisers and the average: all that a state file holds.

    Attributes:
        done: completed steps, those of earlier runs included.
    """

    def __init__(
        self, config: TrainingConfig, fabric: Fabric, start: Gpen | None, embedder: FaceEmbedder | None
    ) -> None:
        self.config, self.fabric, self.done = config, fabric, 0
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.raw = _start_model(config, start).to(fabric.device)
            self.raw_judge = self._new_judge() if config.adversarial else None
        self.ema = Ema(self.raw, config.ema_decay)
        self.objective = GeneratorObjective(config, embedder and embedder.to(fabric.device))
        self.model, self.optimizer = fabric.setup(self._compiled(self.raw), self._optimizer(self.raw))
        self.judge = None
        if self.raw_judge is not None:
            # Not wrapped: a gradient penalty and two batches in one backward pass are more than DDP follows.
            self.judge = self._compiled(self.raw_judge)
            # Fabric wraps one optimiser in one, which its annotation leaves open.
            own = fabric.setup_optimizers(self._optimizer(self.raw_judge))
            self.judge_optimizer = cast("Optimizer", own)

    def _new_judge(self) -> Discriminator:
        ours = self.raw.config
        shape = DiscriminatorConfig(self.config.discriminator_size, ours.narrow, ours.multiplier)
        return Discriminator(shape).to(self.fabric.device)

    def _compiled(self, network: nn.Module) -> nn.Module:
        return cast("nn.Module", torch.compile(network)) if self.config.compile else network

    def _optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), **self._pace())

    def _pace(self) -> dict[str, Any]:
        # StyleGAN's betas: no momentum against a moving opponent.
        betas = (0.0, 0.99) if self.config.adversarial else (0.9, 0.99)
        return {"lr": self.config.learning_rate, "betas": betas}

    def step(self, degraded: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """One update of each network; the terms of both losses, detached.

        All gradients are there before the first weight moves: what goes wrong until then leaves the state
        as the last step left it.
        """
        # Of the step's number alone, so that a resumed run draws what an uninterrupted one does.
        chance = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.done)
        self.optimizer.zero_grad()
        restored = self.model(degraded.contiguous(memory_format=torch.channels_last))
        if self.raw_judge is not None:
            self.raw_judge.requires_grad_(False)
        with self.fabric.autocast():
            terms = self.objective(restored, truth, self.judge, chance)
        self.fabric.backward(torch.stack(list(terms.values())).sum())
        if self.raw_judge is not None:
            self.raw_judge.requires_grad_(True)
            terms |= self._judge_gradients(restored.detach(), truth, chance)
        with _interrupts_wait():
            self.optimizer.step()
            if self.raw_judge is not None:
                self.judge_optimizer.step()
            self.done += 1
            self.ema.update(self.raw, self.done)
        return {name: term.detach() for name, term in terms.items()}

    def _judge_gradients(self, restored: Tensor, truth: Tensor, chance: torch.Generator) -> dict[str, Tensor]:
        assert self.judge is not None
        assert self.raw_judge is not None
        c = self.config
        self.judge_optimizer.zero_grad()
        restored, truth = random_windows(c.discriminator_size, chance, restored, truth)
        with self.fabric.autocast():
            terms = {"discriminator": discriminator_loss(self.judge(truth), self.judge(restored))}
        if (self.done + 1) % c.r1_every == 0:
            # Lazy: r1_every times as strong, every r1_every steps (StyleGAN2, section 4.1).
            terms["r1"] = gradient_penalty(self.raw_judge, truth) * (c.r1 / 2 * c.r1_every)
        self.fabric.backward(torch.stack(list(terms.values())).sum())
        self._average_gradients(self.raw_judge)
        return terms

    def _average_gradients(self, network: nn.Module) -> None:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        flat = cast("Tensor", self.fabric.all_reduce(flat, reduce_op="mean"))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.raw, "ema": self.ema.model, "optimizer": self.optimizer}
        if self.raw_judge is not None:
            parts |= {"judge": self.raw_judge, "judge_optimizer": self.judge_optimizer}
        return parts

    def save(self, path: Path) -> None:
        """Write what a resumed run needs, whole or not at all."""
        if not self.fabric.is_global_zero:
            return
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        # In memory: torch's own zip writer may crash the process when the disk is full.
        stream = io.BytesIO()
        torch.save(state | {"step": self.done}, stream)
        with replacing(path) as temporary:
            temporary.write_bytes(stream.getbuffer())

    def resume(self, path: Path) -> None:
        """Load a saved state if there is one. Pace and discriminator may change on the way.

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
            self.done = state["step"]
        except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise OptionError(
                f"{path} is damaged or of another network than this run's. Choose another folder, or remove "
                "the file to start anew."
            ) from error
        # An optimiser's state brings its old pace along; the config decides.
        for name, part in self._parts().items():
            if name.endswith("optimizer"):
                part.param_groups[0].update(self._pace())


def _start_model(config: TrainingConfig, start: Gpen | None) -> Gpen:
    if start is None:
        return Gpen(
            GpenConfig(
                config.size,
                config.size,
                config.narrow,
                config.multiplier,
                style_dim=config.style_dim,
                mapping_depth=config.mapping_depth,
            )
        )
    shape = start.config
    if shape.input_size != shape.size or config.size not in (shape.size, 2 * shape.size):
        raise OptionError(
            f"The start model has {shape.input_size} px in and {shape.size} px out, and the run "
            f"{config.size} px; expected a model of the run's size or half of it, in and out."
        )
    return grow(start) if shape.size < config.size else copy.deepcopy(start)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back until the block is through: half updated weights are no state to go on from."""
    if threading.current_thread() is not threading.main_thread() or not signal.getsignal(signal.SIGINT):
        yield  # Signals reach the main thread alone, and Python only where it handles them.
        return
    came: list[Any] = []
    before = signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)
