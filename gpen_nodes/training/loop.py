"""The training loop, on Lightning Fabric: one process and many run the same code."""

from __future__ import annotations

import csv
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..checkpoints import Checkpoint, write_checkpoint
from ..errors import OptionError
from ..faces.identity import FaceEmbedder
from ..model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig, grow
from .config import TrainingConfig
from .dataset import FaceStore, TrainingPairs
from .ema import Ema
from .losses import GeneratorObjective, discriminator_loss, gradient_penalty, random_windows
from .samples import Samples

__all__ = ["train"]


def train(
    config: TrainingConfig,
    faces: str | Path,
    folder: str | Path,
    *,
    start: Gpen | None = None,
    embedder: FaceEmbedder | None = None,
    fabric: Fabric | None = None,
    workers: int = 1,
) -> Gpen:
    """Train one stage and return the averaged model. A stopped run goes on where its state was saved.

    Args:
        config: what to train and for how long.
        faces: folder of aligned faces, see ``FaceStore``.
        folder: of the run: ``config.json``, ``losses.csv``, ``samples-N.png``, ``state.pt``, and at the
            end ``model.safetensors``.
        start: the model to go on from; grown if it has half the size. None starts a new one.
        embedder: for the identity term.
        fabric: device, precision and processes; None takes one process on this machine.
        workers: processes that load and degrade.

    Raises:
        OptionError: ``start`` does not lead to the config's size, or a term lacks its network.
    """
    fabric = fabric or Fabric(accelerator="auto", devices=1, precision=config.precision)
    fabric.launch()
    if config.identity and embedder is None:
        raise OptionError(
            "The identity term needs MobileFaceNet's weights; give their file or set identity to 0."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if fabric.is_global_zero:
        (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    stage = Stage(config, fabric, start, embedder)
    first = stage.resume(folder / "state.pt")
    store = FaceStore(faces)
    kept_out = Samples(store, config)
    pairs = TrainingPairs(store, config.size, config.recipe, seed=config.seed, indices=kept_out.others)
    batches = _batches(pairs, config, fabric, first, workers)
    log = Log(folder / "losses.csv", first) if fabric.is_global_zero else None
    progress = tqdm(batches, initial=first, total=config.steps, disable=not fabric.is_global_zero)
    step = first
    try:
        for step, (degraded, truth) in enumerate(progress, start=first + 1):
            terms = stage.step(step, degraded, truth)
            if log is None:
                continue
            log.add(terms)
            if step % config.sample_every == 0 or step == config.steps:
                figures = kept_out.write(stage.ema.model, folder / f"samples-{step:06d}.png")
                progress.set_postfix_str(log.write(step, figures))
            if step % config.save_every == 0:
                stage.save(folder / "state.pt", step)
    finally:
        # Ctrl-C included: nothing learnt is lost.
        stage.save(folder / "state.pt", step)
    if fabric.is_global_zero:
        average = stage.ema.model
        write_checkpoint(Checkpoint(average.state_dict(), average.config), folder / "model.safetensors")
    return stage.ema.model


def _batches(
    pairs: TrainingPairs, config: TrainingConfig, fabric: Fabric, first: int, workers: int
) -> Iterator[Any]:
    """Each process takes every ``world_size``-th sample number of what is left of the run."""
    per_step = config.batch * fabric.world_size
    numbers = range(first * per_step + fabric.global_rank, config.steps * per_step, fabric.world_size)
    loader = DataLoader(pairs, config.batch, sampler=numbers, num_workers=workers, drop_last=True)
    return iter(fabric.setup_dataloaders(loader, use_distributed_sampler=False))


class Stage:
    """Both networks, their optimisers and the average: all that a state file holds."""

    def __init__(
        self, config: TrainingConfig, fabric: Fabric, start: Gpen | None, embedder: FaceEmbedder | None
    ) -> None:
        self.config, self.fabric = config, fabric
        self.chance = torch.Generator().manual_seed(config.seed)
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
        # StyleGAN's betas: no momentum against a moving opponent.
        betas = (0.0, 0.99) if self.config.adversarial else (0.9, 0.99)
        return Adam(network.parameters(), self.config.learning_rate, betas=betas)

    def step(self, step: int, degraded: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """One update of each network; the terms of both losses, detached."""
        degraded = degraded.contiguous(memory_format=torch.channels_last)
        restored = self.model(degraded)
        if self.raw_judge is not None:
            self.raw_judge.requires_grad_(False)
        with self.fabric.autocast():
            terms = self.objective(restored, truth, self.judge, self.chance)
        self.fabric.backward(torch.stack(list(terms.values())).sum())
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.raw, step)
        if self.raw_judge is not None:
            self.raw_judge.requires_grad_(True)
            terms |= self._judge_step(step, restored.detach(), truth)
        return {name: term.detach() for name, term in terms.items()}

    def _judge_step(self, step: int, restored: Tensor, truth: Tensor) -> dict[str, Tensor]:
        assert self.judge is not None
        assert self.raw_judge is not None
        c = self.config
        restored, truth = random_windows(c.discriminator_size, self.chance, restored, truth)
        with self.fabric.autocast():
            terms = {"discriminator": discriminator_loss(self.judge(truth), self.judge(restored))}
        if step % c.r1_every == 0:
            # Lazy: r1_every times as strong, every r1_every steps (StyleGAN2, section 4.1).
            terms["r1"] = gradient_penalty(self.raw_judge, truth) * (c.r1 / 2 * c.r1_every)
        self.fabric.backward(torch.stack(list(terms.values())).sum())
        self._average_gradients(self.raw_judge)
        self.judge_optimizer.step()
        self.judge_optimizer.zero_grad()
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

    def save(self, path: Path, step: int) -> None:
        """Write what a resumed run needs, first beside the old state, then in its place."""
        if not self.fabric.is_global_zero:
            return
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        partial = path.with_suffix(".partial")
        torch.save(state | {"step": step}, partial)
        partial.replace(path)

    def resume(self, path: Path) -> int:
        """Load a saved state if there is one; the number of steps done."""
        if not path.is_file():
            return 0
        state = torch.load(path, map_location=self.fabric.device, weights_only=True)
        for name, part in self._parts().items():
            if name in state:  # A state without a discriminator may go on with one.
                part.load_state_dict(state[name])
        return state["step"]


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
    if start.config.size * 2 == config.size:
        start = grow(start)
    if start.config.size != config.size:
        raise OptionError(
            f"The start model has {start.config.size} px and the run {config.size} px; "
            "expected the same or half."
        )
    return start


class Log:
    """Losses averaged between two lines of a CSV file; no device is waited for in between."""

    COLUMNS = (
        *("step", "seconds", "pixel", "identity", "adversarial", "discriminator", "r1"),
        *("psnr", "psnr_degraded", "gradient", "gradient_degraded"),
    )

    def __init__(self, path: Path, first: int) -> None:
        self.path, self.began = path, time.monotonic()
        self.sums: dict[str, list[Tensor]] = {}
        if first == 0 or not path.exists():
            path.write_text(",".join(self.COLUMNS) + "\n")

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, term in terms.items():
            self.sums.setdefault(name, []).append(term)

    def write(self, step: int, figures: dict[str, float]) -> str:
        """Add a line; the same as a short text for the progress bar."""
        row = {name: torch.stack(values).mean().item() for name, values in self.sums.items()} | figures
        self.sums.clear()
        row["seconds"] = time.monotonic() - self.began
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.COLUMNS).writerow(
                {"step": step} | {name: f"{value:.5g}" for name, value in row.items()}
            )
        return " ".join(f"{name} {row[name]:.4g}" for name in ("pixel", "psnr", "gradient") if name in row)
