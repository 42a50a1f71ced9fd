"""Small networks with distinct weights, made without touching the global random state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gpen_nodes.checkpoints import Checkpoint
from gpen_nodes.model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig


def random_checkpoint(config: GpenConfig | DiscriminatorConfig, **fields: object) -> Checkpoint:
    with torch.device("meta"):
        network = Gpen(config) if isinstance(config, GpenConfig) else Discriminator(config)
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {
        name: torch.randn(tensor.shape, generator=generator) for name, tensor in network.state_dict().items()
    }
    return Checkpoint(state, config, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def small() -> Checkpoint:
    config = GpenConfig(64, 64, narrow=0.0625, multiplier=1, style_dim=32, mapping_depth=2)
    return random_checkpoint(config, args={"version": "GPEN-lite-64", "license": "Apache-2.0", "steps": 10})


@pytest.fixture(scope="session")
def resnet() -> Checkpoint:
    config = GpenConfig(
        64, 64, narrow=0.0625, multiplier=1, style_dim=32, mapping_depth=2, encoder="resnet50"
    )
    return random_checkpoint(config, args={"version": "GPEN-BFR-v2.0-64"})


@pytest.fixture(scope="session")
def discriminator() -> Checkpoint:
    return random_checkpoint(DiscriminatorConfig(64, narrow=0.0625, multiplier=1))
