"""A run as small as one gets, with stand-ins for the networks of its terms."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpen_nodes.model import Gpen
from gpen_nodes.training import TrainingConfig, train
from gpen_nodes.training.losses import (
    TERMS,
    Chroma,
    Features,
    Identity,
    Lpips,
    Objective,
    Perceptual,
    Pixel,
    Regions,
)

CONFIG = TrainingConfig(
    size=64,
    narrow=0.0625,
    style_dim=32,
    mapping_depth=2,
    steps=4,
    batch=2,
    ema_decay=0.5,
    chroma=0.5,
    perceptual=0.05,
    features=0.1,
    regions=0.1,
    identity=0.1,
    lpips=0.1,
    adversarial=0.1,
    r1_every=2,
    discriminator_size=32,
    sample_every=2,
    save_every=2,
    workers=0,
)
PLAIN = dataclasses.replace(CONFIG, adversarial=0, **{name: float(name == "pixel") for name in TERMS})


class ColourEmbedder(nn.Module):
    """Stands in for MobileFaceNet."""

    def embed(self, crops: Tensor) -> Tensor:
        return F.normalize(crops.mean(dim=(2, 3)))


def halves(image: Tensor) -> list[Tensor]:
    """Stands in for VGG-19 and AlexNet: the picture at half and quarter size."""
    return [F.avg_pool2d(image, 2), F.avg_pool2d(image, 4)]


def four_maps(image: Tensor) -> list[Tensor]:
    """Stands in for VGG-19's four layers."""
    return [image, *halves(image), F.avg_pool2d(image, 8)]


def objective(config: TrainingConfig) -> Objective:
    """As the config describes it, with stand-ins for the networks."""
    terms = {
        "pixel": Pixel(),
        "chroma": Chroma(),
        "perceptual": Perceptual(halves),
        "features": Features(four_maps),
        "regions": Regions(four_maps),
        "identity": Identity(ColourEmbedder()),
        "lpips": Lpips(halves, [torch.ones(3), torch.ones(3)]),
    }
    return Objective(terms, {name: getattr(config, name) for name in terms})


def run(config: TrainingConfig, faces: Path, folder: Path, start: Path | str = "", **more) -> Gpen:
    config = dataclasses.replace(config, faces=str(faces), run=str(folder), start=str(start))
    return train(config, objective=objective(config), **more)


def state_of(folder: Path) -> dict:
    return torch.load(folder / "state.pt", weights_only=True)


def assert_equal(a, b, name="") -> None:
    """Nested containers of tensors and plain values are the same, to the last bit."""
    assert type(a) is type(b), name
    if isinstance(a, dict):
        assert a.keys() == b.keys(), name
        for key in a:
            assert_equal(a[key], b[key], f"{name}.{key}")
    elif isinstance(a, list | tuple):
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{name}.{k}")
    elif isinstance(a, Tensor):
        assert torch.equal(a, b), name
    else:
        assert a == b, name
