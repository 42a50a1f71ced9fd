"""What a run begins with: the networks, and the rate at which each of their parameters learns."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from ..checkpoints import read_checkpoint
from ..errors import OptionError
from ..model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig
from ..model.growing import grow
from .config import TrainingConfig
from .losses import LogisticGame, ProjectedDiscriminator, ProjectedGame

__all__ = ["make_game", "make_optimizer", "set_pace", "start_networks"]


def start_networks(config: TrainingConfig) -> tuple[Gpen, nn.Module | None]:
    """The restoring network, new or from a file, and a new discriminator if there is to be one.

    Raises:
        OptionError: the start model does not lead to the config's size.
        CheckpointError: it cannot be read.
    """
    start = _read_start(config) if config.start else None
    # Done before the seed is set, because making the network that gives the maps draws random numbers, too.
    channels = _map_channels(config) if config.adversarial and config.discriminator == "projected" else []
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = start or Gpen(
            GpenConfig(
                config.size,
                config.size,
                config.narrow,
                config.multiplier,
                style_dim=config.style_dim,
                mapping_depth=config.mapping_depth,
                encoder=config.encoder,
            )
        )
        if model.config.size < config.size:
            model = grow(model)
        if not config.adversarial:
            return model, None
        if channels:
            return model, ProjectedDiscriminator(channels)
        shape = DiscriminatorConfig(config.discriminator_size, model.config.narrow, model.config.multiplier)
        return model, Discriminator(shape)


def _map_channels(config: TrainingConfig) -> list[int]:
    """Channels of the feature maps that a projected discriminator sees."""
    maps = config.networks.shared_vgg19(torch.zeros(1, 3, 32, 32))
    config.networks.shared_vgg19.forget()
    return [m.shape[1] for m in maps[1:]]


def make_game(config: TrainingConfig, device: torch.device) -> LogisticGame | ProjectedGame:
    """How the restoring network and the discriminator play against each other."""
    if config.discriminator == "projected":
        return ProjectedGame(config.adversarial, config.networks.shared_vgg19.to(device))
    return LogisticGame(config.adversarial, config.r1, config.r1_every, config.discriminator_size)


def _read_start(config: TrainingConfig) -> Gpen:
    start = Gpen.from_state_dict(read_checkpoint(config.start).state).float()
    shape = start.config
    if shape.input_size != shape.size or config.size not in (shape.size, 2 * shape.size):
        raise OptionError(
            f"The start model has {shape.input_size} px in and {shape.size} px out, and the run "
            f"{config.size} px; expected a model of the run's size or half of it, in and out."
        )
    return start


def make_optimizer(network: nn.Module, config: TrainingConfig) -> Adam:
    """Adam; a grown network's old layers are a group of their own."""
    old = _old_names(network, config.old_size) if isinstance(network, Gpen) and config.old_size else set()
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in network.named_parameters() if (name in old) == is_old], "old": is_old}
        for is_old in (False, True)
    ]
    optimizer = Adam([group for group in groups if group["params"]])
    set_pace(optimizer, config, 0)
    return optimizer


def set_pace(optimizer: Optimizer, config: TrainingConfig, step: int) -> None:
    """Rate and momentum for the step that follows ``step`` completed ones."""
    for group in optimizer.param_groups:
        group["lr"] = config.rate(step) * (config.old_rate if group.get("old") else 1)
        # StyleGAN's betas: without momentum, since the other network changes as well.
        group["betas"] = (0.0, 0.99) if config.adversarial else (0.9, 0.99)


def _old_names(model: Gpen, old_size: int) -> set[str]:
    """Names of the parameters that growing took over unchanged from the network of ``old_size`` px."""
    shape = model.config
    doublings = (shape.size // old_size).bit_length() - 1
    small = dataclasses.replace(
        shape, size=old_size, input_size=old_size, octaves=max(0, shape.octaves - doublings)
    )
    with torch.device("meta"):
        before = {_grown_name(name, doublings): p.shape for name, p in Gpen(small).named_parameters()}
    return {name for name, p in model.named_parameters() if before.get(name) == p.shape}


def _grown_name(name: str, doublings: int) -> str | None:
    """What a parameter of the smaller network is called in the grown one; None if it is not taken over.

    The convolutional encoder counts its stages from the image, so growing raises their numbers. Stage 0 reads
    the image and is not taken over: in its place the grown network has a new stage.
    """
    if not name.startswith("encoder.stages."):
        return name
    encoder, stages, number, rest = name.split(".", 3)
    return f"{encoder}.{stages}.{int(number) + doublings}.{rest}" if int(number) else None
