"""Each term against its formula, the gradient penalty against a network whose gradient is known."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpen_nodes.backbones import AlexNet, DistilledVgg19, Vgg19, feature_distance
from gpen_nodes.errors import CheckpointError, MissingWeightsError, OptionError
from gpen_nodes.faces.regions import region_windows
from gpen_nodes.training import TrainingConfig
from gpen_nodes.training.losses import (
    TERMS,
    Chroma,
    Features,
    Identity,
    LogisticGame,
    Lpips,
    Networks,
    Objective,
    Perceptual,
    Pixel,
    ProjectedDiscriminator,
    ProjectedGame,
    Regions,
    Remembered,
    discriminator_loss,
    gradient_penalty,
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


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slope(term: nn.Module, restored: Tensor, truth: Tensor, *, along: Tensor) -> float:
    """How fast a term grows in a direction, from its values alone, in double precision."""
    term, step = term.double(), 1e-6
    ahead, behind = (
        term(restored.double() + sign * step * along.double(), truth.double()) for sign in (1, -1)
    )
    return ((ahead - behind) / (2 * step)).item()


def gradient_along(term: nn.Module, restored: Tensor, truth: Tensor, *, along: Tensor) -> float:
    restored = restored.double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(term.double()(restored, truth.double()), restored)
    return (gradient * along).sum().item()


def build(config: TrainingConfig) -> Objective:
    return Objective.build(config.weights, config.networks)


class Stairs(nn.Module):
    """Stands in for VGG-19 and AlexNet: two layers, weights from a seed."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> list[Tensor]:
        first = F.softplus(self.one(image))
        return [first, F.softplus(self.two(first))]


class FourMaps(Stairs):
    """Stands in for VGG-19's four maps."""

    def forward(self, image: Tensor) -> list[Tensor]:
        first, second = super().forward(image)
        return [first, second, F.avg_pool2d(second, 2), F.avg_pool2d(second, 4)]


MODULES = {
    "pixel": Pixel(),
    "chroma": Chroma(),
    "perceptual": Perceptual(Stairs()),
    "features": Features(FourMaps()),
    "regions": Regions(FourMaps()),
    "identity": Identity(ColourEmbedder()),
    "lpips": Lpips(Stairs(), [torch.rand(4, generator=seeded()), torch.rand(6, generator=seeded())]),
}


@pytest.mark.parametrize("name", MODULES)
def test_each_gradient_is_the_slope_of_its_term(name):
    term, along = MODULES[name], pictures(2, size=64) + pictures(3, size=1)
    restored, truth = pictures(0, size=64) / 2, pictures(1, size=64) / 2
    expected = slope(term, restored, truth, along=along)
    assert gradient_along(term, restored, truth, along=along) == pytest.approx(expected, rel=1e-5)
    assert abs(expected) > 1e-6
    assert term.double()(truth.double(), truth.double()).item() == pytest.approx(0, abs=1e-9)


def test_every_term_of_the_table_has_its_slope_checked():
    assert set(MODULES) == set(TERMS)


def test_objective_weighs_its_terms_and_leaves_out_those_of_no_weight():
    a, b = pictures(0), pictures(1)
    objective = Objective({"pixel": Pixel(), "chroma": Chroma()}, {"pixel": 2.5, "chroma": 0})
    terms = objective(a, b)
    assert set(terms) == {"pixel"}
    assert terms["pixel"].item() == pytest.approx(2.5 * (a - b).abs().sum().item() / a.numel())
    with pytest.raises(OptionError, match="No term"):
        Objective({"pixel": Pixel()}, {"pixel": 0})


def test_identity_term_is_one_minus_the_cosine():
    a, b = pictures(0), pictures(1)
    ours, theirs = (((x + 1) / 2).mean(dim=(2, 3)) for x in (a, b))
    cosines = [
        sum(x * y for x, y in zip(p, q, strict=True)) / (math.hypot(*p) * math.hypot(*q))
        for p, q in zip(ours.tolist(), theirs.tolist(), strict=True)
    ]
    assert Identity(ColourEmbedder())(a, b).item() == pytest.approx(1 - sum(cosines) / 3, rel=1e-4)


def test_perceptual_term_is_the_mean_difference_of_features():
    a, b, network = pictures(0), pictures(1), Stairs()
    expected = sum(
        sum(abs(x - y) for x, y in zip(p.flatten().tolist(), q.flatten().tolist(), strict=True)) / p.numel()
        for p, q in zip(network(a), network(b), strict=True)
    )
    assert Perceptual(network)(a, b).item() == pytest.approx(expected, rel=1e-5)


def test_feature_distance_does_not_change_with_a_networks_scale():
    ours, theirs = ([pictures(k + seed) for k in range(2)] for seed in (0, 5))
    expected = sum(
        weight * ((o - t).abs().sum() / t.abs().sum()).item()
        for o, t, weight in zip(ours, theirs, (0.5, 2), strict=True)
    )
    assert feature_distance(ours, theirs, (0.5, 2)).item() == pytest.approx(expected, rel=1e-5)
    louder, their_louder = ([10 * x for x in maps] for maps in (ours, theirs))
    assert feature_distance(louder, their_louder, (0.5, 2)).item() == pytest.approx(expected, rel=1e-5)


def test_regions_see_eyes_and_mouth_alone():
    term, truth = Regions(FourMaps()), pictures(0, size=128)
    places = torch.zeros(128, 128, dtype=torch.bool)
    for top, left, height, width in region_windows("gpen", 128):
        places[top : top + height, left : left + width] = True
    assert 0.05 < places.float().mean() < 0.2
    assert term(torch.where(places, truth, -truth), truth).item() == 0
    assert term(torch.where(places, -truth, truth), truth).item() > 0.5


def test_region_windows_lie_around_the_templates_points():
    left, right, mouth = region_windows("gpen", 512)
    # Eyes at (202.0, 242.9) and (309.4, 242.3); the mouth between (212.0, 366.8) and (300.9, 366.3).
    for (top, start, height, width), (x, y) in ((left, (202, 243)), (right, (309, 242)), (mouth, (256, 367))):
        assert abs(top + height / 2 - y) <= 1
        assert abs(start + width / 2 - x) <= 1
    assert left[3] == right[3] == 97  # 0.9 × 107.4
    assert mouth[3] == 129


def test_lpips_by_its_formula():
    a, b, network = pictures(0), pictures(1), Stairs()
    weights = [torch.rand(4, generator=seeded()), torch.rand(6, generator=seeded())]
    expected = 0.0
    for p, q, w in zip(network(a), network(b), weights, strict=True):
        p, q = (x / x.norm(dim=1, keepdim=True) for x in (p, q))
        distances = torch.einsum("bchw,c->bhw", (p - q) ** 2, w)
        expected += sum(d.mean().item() for d in distances) / len(distances)
    assert Lpips(network, weights)(a, b).item() == pytest.approx(expected, rel=1e-4)


def test_lpips_is_finite_where_features_are_dead():
    class Dead(nn.Module):
        def forward(self, image: Tensor) -> list[Tensor]:
            return [F.relu(image - 9)]

    a = pictures(0).requires_grad_(True)
    distance = Lpips(Dead(), [torch.ones(3)])(a, pictures(1))
    distance.backward()
    assert distance.item() == 0
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


@pytest.fixture(scope="module")
def torchvision_files(tmp_path_factory):
    """The files of torchvision's networks with random weights, the networks themselves, and LPIPS's file."""
    models = pytest.importorskip("torchvision.models")
    folder = tmp_path_factory.mktemp("networks")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = {
            "vgg19": models.vgg19(weights=None).features,
            "alexnet": models.alexnet(weights=None).features,
        }
    for name, features in found.items():
        # The classifiers, most of both files, are not needed.
        torch.save({f"features.{key}": x for key, x in features.state_dict().items()}, folder / f"{name}.pth")
    weights = {
        f"lin{layer}.model.1.weight": torch.rand(1, width, 1, 1, generator=seeded(layer))
        for layer, width in enumerate(AlexNet.CHANNELS)
    }
    torch.save(weights, folder / "lpips.pth")
    return Networks(**{name: str(folder / f"{name}.pth") for name in (*found, "lpips")}), found


def imagenet(image: Tensor) -> Tensor:
    """As torchvision's documentation says: [0, 1], minus the mean, by the deviation."""
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return ((image + 1) / 2 - mean) / deviation


def test_vgg19_is_torchvisions_up_to_relu2_2(torchvision_files):
    networks, theirs = torchvision_files
    image = pictures(0, size=64)
    (ours,) = networks.load_vgg19(["relu2_2"])(image)
    # conv1_1, relu, conv1_2, relu, pool, conv2_1, relu, conv2_2, relu
    expected = theirs["vgg19"][:9](imagenet(image))
    assert [type(layer).__name__ for layer in theirs["vgg19"][7:9]] == ["Conv2d", "ReLU"]
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_vgg19s_four_maps_are_torchvisions(torchvision_files):
    networks, theirs = torchvision_files
    image = pictures(0, size=64)
    # The first convolution of each block and its ReLU, by torchvision's configuration E.
    for ours, end in zip(networks.shared_vgg19(image), (2, 7, 12, 21), strict=True):
        torch.testing.assert_close(ours, theirs["vgg19"][:end](imagenet(image)), atol=1e-5, rtol=1e-4)


def test_distilled_vgg19_by_hand(tmp_path):
    """Reflection, a convolution, a ReLU; the largest of four after each block."""
    network = DistilledVgg19().double()
    torch.save({"model": network.state_dict(), "epoch": 3}, tmp_path / "vgg.pth")
    found = Networks(vgg19=str(tmp_path / "vgg.pth")).load_vgg19(["relu2_1"])
    image = pictures(0, size=32).double()
    (ours,) = found.double()(image)
    state = network.state_dict()
    x = F.conv2d((image + 1) / 2, state["conv0.weight"], state["conv0.bias"])
    for name in ("11", "12", "21"):
        if name == "21":
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.conv2d(x, state[f"conv{name}.weight"], state[f"conv{name}.bias"]).clamp(min=0)
    torch.testing.assert_close(ours, x, atol=1e-6, rtol=1e-5)
    assert [m.shape[1:] for m in DistilledVgg19()(pictures(0, size=32))] == [
        *((16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4)),
    ]


def test_remembered_features_are_computed_once_for_each_picture():
    seen = []

    class Counting(nn.Module):
        def forward(self, image: Tensor) -> list[Tensor]:
            seen.append(image)
            return [image * 2]

    network, a, b = Remembered(Counting()), pictures(0), pictures(1)
    for image in (a, b, a, b):
        assert torch.equal(network(image)[0], image * 2)
    assert len(seen) == 2
    network(a.clone())
    assert len(seen) == 3
    network.forget()
    network(b)
    assert len(seen) == 4


def test_alexnet_is_torchvisions_after_each_relu(torchvision_files):
    networks, theirs = torchvision_files
    image, x = pictures(0, size=64), imagenet(pictures(0, size=64))
    network, weights = networks.load_lpips()
    expected = []
    for layer in theirs["alexnet"]:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            expected.append(x.clone())
    found = network(image)
    assert [x.shape[1] for x in found] == [w.numel() for w in weights] == [x.shape[1] for x in expected]
    for ours, other in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-4)


def test_lpips_is_the_package_lpips(torchvision_files):
    """Its own arithmetic and scaling; its backbone and its weights are set to ours."""
    lpips = pytest.importorskip("lpips")
    networks, theirs = torchvision_files
    package = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    package.load_state_dict(torch.load(networks.lpips), strict=False)
    slices: list[nn.Sequential] = [getattr(package.net, f"slice{k}") for k in range(1, 6)]
    kept = [layer for part in slices for layer in part if isinstance(layer, nn.Conv2d)]
    own = [layer for layer in theirs["alexnet"] if isinstance(layer, nn.Conv2d)]
    for mine, other in zip(kept, own, strict=True):
        mine.load_state_dict(other.state_dict())
    a, b = pictures(0, size=64), pictures(1, size=64)
    expected = package.eval()(a, b).mean().item()
    assert Lpips(*networks.load_lpips())(a, b).item() == pytest.approx(expected, rel=1e-4)


def test_networks_of_terms_are_frozen_and_take_the_files_of_the_config(torchvision_files):
    networks, _ = torchvision_files
    objective = build(TrainingConfig(perceptual=0.05, lpips=0.1, networks=networks))
    assert set(objective.terms) == {"pixel", "perceptual", "lpips"}
    assert not any(p.requires_grad for p in objective.parameters())


@pytest.mark.parametrize(
    ("term", "network", "licence"),
    [
        ("perceptual", "vgg19", "BSD-3-Clause"),
        ("lpips", "alexnet", "BSD-3-Clause"),
        ("identity", "mobilefacenet", "Apache-2.0"),
    ],
)
def test_a_term_whose_weights_are_missing_says_where_to_get_them(term, network, licence, tmp_path):
    with pytest.raises(MissingWeightsError) as caught:
        build(TrainingConfig(**{term: 0.1}))
    for part in (f"networks.{network} names no file", "https://", licence, f"or set {term} = 0"):
        assert part in str(caught.value)
    gone = Networks(**{network: str(tmp_path / "gone.pth")})
    with pytest.raises(MissingWeightsError, match=r"gone\.pth does not exist"):
        build(TrainingConfig(**{term: 0.1}, networks=gone))


def test_what_is_no_such_network_is_refused(tmp_path):
    path = tmp_path / "vgg.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 5, 5)}, path)
    with pytest.raises(CheckpointError, match=r"expected features\.0\.weight of shape \(64, 3, 3, 3\)"):
        Networks(vgg19=str(path)).load_vgg19(["relu2_2"])
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match="is a web page"):
        Networks(vgg19=str(path)).load_vgg19(["relu2_2"])
    torch.save(AlexNet().state_dict(), tmp_path / "alexnet.pth")
    torch.save({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, path)
    with pytest.raises(CheckpointError, match=r"weights for \[64\] channels; expected"):
        Networks(alexnet=str(tmp_path / "alexnet.pth"), lpips=str(path)).load_lpips()
    assert sum(p.numel() for p in Vgg19(["relu2_2"]).parameters()) == 260_160  # the four convolutions alone


def test_chroma_term_sees_coloured_outlines_and_no_gray_ones():
    gray = pictures(0, size=32).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    truth = torch.zeros(3, 3, 32, 32)
    assert Chroma()(gray, truth).item() == pytest.approx(0, abs=1e-6)
    assert Chroma()(truth + torch.tensor([0.5, 0, -0.5]).view(3, 1, 1), truth).item() == 0
    # Pure red that grows by 0.1 a column: Cr is half of it, Cb -0.299 / 1.772 of it (ITU-R BT.601).
    ramp = torch.zeros(1, 3, 16, 16)
    ramp[:, 0] = 0.1 * torch.arange(16.0)
    expected = 0.1 * (0.5 + 0.299 / 1.772) / 2
    assert Chroma()(ramp, torch.zeros_like(ramp)).item() == pytest.approx(expected, rel=1e-4)


def test_logistic_term_wants_high_logits_for_the_window_that_chance_picks():
    seen = []

    def discriminator(window: Tensor) -> Tensor:
        seen.append(window)
        return window.mean(dim=(1, 2, 3)).unsqueeze(1)

    a = pictures(0)
    game = LogisticGame(0.3, r1=0, r1_every=16, size=4)
    term = game.generator_term(discriminator, a, seeded(5))  # type: ignore[arg-type]  # it is only called
    (window,) = random_windows(4, seeded(5), a)
    assert torch.equal(seen[0], window)
    logits = window.mean(dim=(1, 2, 3)).tolist()
    assert term.item() == pytest.approx(0.3 * sum(math.log1p(math.exp(-x)) for x in logits) / 3, rel=1e-5)


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
    linear = nn.Linear(3 * 8 * 8, 1)
    penalty = gradient_penalty(nn.Sequential(nn.Flatten(), linear), pictures(0))
    assert penalty.item() == pytest.approx(linear.weight.square().sum().item(), rel=1e-5)


def test_gradient_penalty_is_a_mean_over_the_batch_and_differentiable():
    net, x = Quadratic(), pictures(0)
    norms = (2 * 0.7 * (x - 0.25)).square().sum(dim=(1, 2, 3))
    penalty = gradient_penalty(net, x)
    assert penalty.item() == pytest.approx(norms.mean().item(), rel=1e-5)
    penalty.backward()
    # d/da of a²·k is 2·a²·k / a.
    assert net.a.grad is not None
    assert net.a.grad.item() == pytest.approx(2 * norms.mean().item() / 0.7, rel=1e-5)


def test_the_penalty_is_lazy():
    linear = nn.Linear(3 * 8 * 8, 1)
    network = nn.Sequential(nn.Flatten(), linear)
    game = LogisticGame(1, r1=10, r1_every=4, size=8)
    expected = linear.weight.square().sum().item() * 10 / 2 * 4
    for step in range(1, 9):
        terms = game.discriminator_terms(network, pictures(0), pictures(1), seeded(), step)
        if step % 4:
            assert "r1" not in terms
        else:
            assert terms["r1"].item() == pytest.approx(expected, rel=1e-5)
    free = LogisticGame(1, r1=0, r1_every=4, size=8)
    assert "r1" not in free.discriminator_terms(network, pictures(0), pictures(1), seeded(), 4)


class Means(nn.Module):
    """Stands in for a projected discriminator: the mean colour, and that of its second map."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, image: Tensor, maps: list[Tensor]) -> list[Tensor]:
        return [self.gain * x.mean(dim=(1, 2, 3), keepdim=True) for x in (image, maps[0])]


class Doubled(nn.Module):
    def forward(self, image: Tensor) -> list[Tensor]:
        return [image, 2 * image]


def test_hinge_loss_by_hand():
    game, a, b = ProjectedGame(0.3, Remembered(Doubled())), pictures(0) * 3, pictures(1) * 3
    a.requires_grad_(True)
    term = game.generator_term(Means(), a, seeded())
    means = [x.mean().item() for x in a]
    assert term.item() == pytest.approx(-0.3 * sum(m + 2 * m for m in means) / 3 / 2, rel=1e-4)
    term.backward()
    assert a.grad is not None

    a.grad, discriminator = None, Means()
    losses = game.discriminator_terms(discriminator, a, b, seeded(), 1)
    expected = sum(
        sum(max(0, 1 - k * t.mean().item()) for t in b) / 3
        + sum(max(0, 1 + k * r.mean().item()) for r in a) / 3
        for k in (1, 2)
    )
    assert losses["discriminator"].item() == pytest.approx(expected / 2, rel=1e-4)
    losses["discriminator"].backward()
    assert a.grad is None
    assert discriminator.gain.grad is not None


def test_a_projected_discriminator_learns_to_tell_noise_from_ramps():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, discriminator = Remembered(DistilledVgg19()), ProjectedDiscriminator((32, 64, 128))
    game = ProjectedGame(1.0, network)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.0, 0.99))
    ramp = torch.linspace(-1, 1, 32).expand(4, 3, 32, 32).contiguous()
    first = last = 0.0
    for step in range(1, 31):
        optimizer.zero_grad()
        (loss,) = game.discriminator_terms(
            discriminator, pictures(step, 4, 32), ramp.clone(), seeded(), step
        ).values()
        loss.backward()
        optimizer.step()
        first, last = first or loss.item(), loss.item()
    assert last < 0.5 * first
    logits = discriminator(ramp, network(ramp)[1:])
    assert [tuple(x.shape) for x in logits] == [(4, 1, 16, 16), (4, 1, 8, 8), (4, 1, 4, 4), (4, 1, 4, 4)]


def test_windows_lie_inside_and_at_the_same_place_for_all():
    rows, columns = torch.meshgrid(torch.arange(9), torch.arange(7), indexing="ij")
    places = torch.stack((rows, columns)).expand(2, -1, -1, -1)
    corners, generator = set(), seeded()
    for _ in range(300):
        one, other = random_windows(5, generator, places, places + 100)
        assert one.shape == (2, 2, 5, 5)
        assert torch.equal(one + 100, other)
        assert torch.equal(one[0], one[1])
        corners.add(tuple(one[0, :, 0, 0].tolist()))
    assert corners == {(y, x) for y in range(5) for x in range(3)}
    assert random_windows(7, generator, places[..., :7, :])[0].shape[-2:] == (7, 7)
