"""Each term against its formula, the gradient penalty against a network whose gradient is known."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpen_nodes.training import TrainingConfig
from gpen_nodes.training.losses import (
    GeneratorObjective,
    discriminator_loss,
    gradient_penalty,
    local_sharpness,
    random_windows,
)


class ColourEmbedder(nn.Module):
    """Stands in for MobileFaceNet: a face's mean colour, as a direction."""

    def embed(self, crops: Tensor) -> Tensor:
        assert crops.min() >= 0
        assert crops.max() <= 1
        return F.normalize(crops.mean(dim=(2, 3)))


def pictures(seed: int, batch: int = 3, size: int = 8) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pixel_term_is_the_weighted_mean_difference():
    a, b = pictures(0), pictures(1)
    terms = GeneratorObjective(TrainingConfig(pixel=2.5))(a, b)
    assert set(terms) == {"pixel"}
    assert terms["pixel"].item() == pytest.approx(2.5 * (a - b).abs().sum().item() / a.numel())


def test_identity_term_is_one_minus_the_cosine():
    a, b = pictures(0), pictures(1)
    objective = GeneratorObjective(TrainingConfig(pixel=0, identity=0.5), ColourEmbedder())
    ours, theirs = (((x + 1) / 2).mean(dim=(2, 3)) for x in (a, b))
    cosines = [
        sum(x * y for x, y in zip(p, q, strict=True)) / (math.hypot(*p) * math.hypot(*q))
        for p, q in zip(ours.tolist(), theirs.tolist(), strict=True)
    ]
    assert objective(a, b)["identity"].item() == pytest.approx(0.5 * (1 - sum(cosines) / 3), rel=1e-4)
    assert objective(a, a)["identity"].item() == pytest.approx(0, abs=1e-6)


def test_sharpness_is_the_root_mean_square_slope_of_each_window():
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    plane = 0.03 * ramp + 0.04 * ramp.transpose(2, 3)
    measured = local_sharpness(plane, window=16)
    assert measured.shape == (1, 1, 4, 4)
    # The last row and column have no neighbour to differ from.
    torch.testing.assert_close(measured[..., :3, :3], torch.full((1, 1, 3, 3), 0.05), rtol=0.01, atol=0)


def test_sharpness_term_misses_detail_that_blur_took_and_not_where_it_was():
    truth = pictures(0, size=32)
    objective = GeneratorObjective(TrainingConfig(size=64, pixel=0, sharpness=1))
    blurred = F.avg_pool2d(F.pad(truth, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    assert objective(blurred, truth)["sharpness"] > 0.1
    assert objective(truth + 0.3, truth)["sharpness"].item() == pytest.approx(0, abs=1e-6)
    assert "sharpness" not in GeneratorObjective(TrainingConfig())(blurred, truth)


def test_adversarial_term_wants_high_logits_for_the_window_that_chance_picks():
    seen = []

    def judge(window: Tensor) -> Tensor:
        seen.append(window)
        return window.mean(dim=(1, 2, 3)).unsqueeze(1)

    a, b = pictures(0), pictures(1)
    config = TrainingConfig(adversarial=0.3, size=64, discriminator_size=4)
    term = GeneratorObjective(config)(a, b, judge, chance(5))["adversarial"]
    (window,) = random_windows(4, chance(5), a)
    assert torch.equal(seen[0], window)
    logits = window.mean(dim=(1, 2, 3)).tolist()
    assert term.item() == pytest.approx(0.3 * sum(math.log1p(math.exp(-x)) for x in logits) / 3, rel=1e-5)


def test_terms_without_weight_or_network_are_left_out():
    a, b = pictures(0), pictures(1)
    assert set(GeneratorObjective(TrainingConfig(), ColourEmbedder())(a, b, lambda x: x, chance())) == {
        "pixel"
    }


def test_logistic_loss():
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2
    expected += (math.log1p(math.exp(0.5)) + math.log1p(math.exp(3))) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-6)


class Quadratic(nn.Module):
    """|x - c|²·a of each picture: a gradient of 2a(x - c)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Parameter(torch.tensor(0.7)), 0.25

    def forward(self, x: Tensor) -> Tensor:
        return self.a * (x - self.c).square().sum(dim=(1, 2, 3)).unsqueeze(1)


def test_gradient_penalty_of_a_linear_network_is_its_weights_squared_norm():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 1))
    penalty = gradient_penalty(linear, pictures(0))
    assert penalty.item() == pytest.approx(linear[1].weight.square().sum().item(), rel=1e-5)


def test_gradient_penalty_is_a_mean_over_the_batch_and_differentiable():
    net, x = Quadratic(), pictures(0)
    norms = (2 * 0.7 * (x - 0.25)).square().sum(dim=(1, 2, 3))
    penalty = gradient_penalty(net, x)
    assert penalty.item() == pytest.approx(norms.mean().item(), rel=1e-5)
    penalty.backward()
    # d/da of a²·k is 2·a²·k / a.
    assert net.a.grad is not None
    assert net.a.grad.item() == pytest.approx(2 * norms.mean().item() / 0.7, rel=1e-5)


def test_windows_lie_inside_and_at_the_same_place_for_all():
    rows, columns = torch.meshgrid(torch.arange(9), torch.arange(7), indexing="ij")
    places = torch.stack((rows, columns)).expand(2, -1, -1, -1)
    corners, generator = set(), chance()
    for _ in range(300):
        one, other = random_windows(5, generator, places, places + 100)
        assert one.shape == (2, 2, 5, 5)
        assert torch.equal(one + 100, other)
        assert torch.equal(one[0], one[1])
        corners.add(tuple(one[0, :, 0, 0].tolist()))
    assert corners == {(y, x) for y in range(5) for x in range(3)}
    assert random_windows(7, generator, places[..., :7, :])[0].shape[-2:] == (7, 7)
