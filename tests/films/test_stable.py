"""Restored crops that are held steady, and what may not be held."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gpen_nodes.films.stable import Stabiliser
from gpen_nodes.images import resize

SIDE = 128


def soft(seed: int, cells: int = 16) -> Tensor:
    """[S, S, 3] with detail of all sizes."""
    noise = torch.rand(1, cells, cells, 3, generator=torch.Generator().manual_seed(seed))
    return resize(noise, SIDE, SIDE)[0] * 0.6 + 0.2


def noisy(image: Tensor, seed: int, sigma: float = 0.03) -> Tensor:
    return image + sigma * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def boil(count: int = 24) -> tuple[list[Tensor], list[Tensor]]:
    """A still face: inputs with noise, and what a network makes of each."""
    face = soft(0)
    return [noisy(face, k) for k in range(count)], [noisy(face, 100 + k) for k in range(count)]


def flicker(crops: list[Tensor]) -> float:
    return torch.stack(crops).diff(dim=0).abs().mean().item()


def blended(befores, afters, stability: float = 0.8, restored: float = 1.0) -> list[Tensor]:
    stabiliser = Stabiliser(stability)
    return [stabiliser.blend(b, a, restored) for b, a in zip(befores, afters, strict=True)]


def test_without_stability_each_frame_is_itself():
    befores, afters = boil(4)
    assert all(torch.equal(a, b) for a, b in zip(blended(befores, afters, 0), afters, strict=True))


def test_what_is_the_pictures_own_stays():
    befores, _ = boil(4)
    kept = blended(befores, [b.clamp(0, 1) for b in befores], restored=0)
    assert all(torch.allclose(a, b.clamp(0, 1), atol=1e-6) for a, b in zip(kept, befores, strict=True))


@pytest.mark.parametrize(("stability", "share"), [(0.4, 0.75), (0.8, 0.4), (1.0, 0.25)])
def test_more_stability_is_less_flicker(stability, share):
    befores, afters = boil()
    steady = blended(befores, afters, stability)
    assert flicker(steady[6:]) < share * flicker(afters[6:])
    truth = soft(0)
    assert (steady[-1] - truth).abs().mean() < (afters[-1] - truth).abs().mean()


def test_light_that_changes_acts_at_once():
    befores, afters = boil(12)
    befores[10:], afters[10:] = [b * 0.7 for b in befores[10:]], [a * 0.7 for a in afters[10:]]
    steady = blended(befores, afters)
    assert steady[10].mean().item() == pytest.approx(0.7 * steady[9].mean().item(), abs=0.01)


def test_something_new_is_seen_at_once():
    befores, afters = boil(12)
    befores[11], afters[11] = noisy(soft(5), 11), noisy(soft(5), 111)
    steady = blended(befores, afters)
    inside = slice(16, -16)
    ghost = (steady[11] - afters[11])[inside, inside].abs().mean()
    assert ghost < 0.25 * (steady[10] - afters[11])[inside, inside].abs().mean()


def test_a_part_that_is_covered_shows_what_covers_it_and_the_rest_stays_steady():
    befores, afters = boil(12)
    for crop in (befores[11], afters[11]):
        crop[:, :48] = 0.95
    steady = blended(befores, afters)
    assert (steady[11][16:-16, 4:36] - 0.95).abs().mean() < 0.03
    apart = (slice(16, -16), slice(80, -16))
    assert (steady[11] - steady[10])[apart].abs().mean() < 0.5 * (afters[11] - afters[10])[apart].abs().mean()


def test_detail_moves_along():
    """A face that turns within its crop: detail of the past is where the face is now."""
    wide = resize(torch.rand(1, 24, 24, 3, generator=torch.Generator().manual_seed(3)), 192, 192)[0]
    frames = [wide[32 : 32 + SIDE, 2 * k : 2 * k + SIDE] for k in range(16)]
    befores, afters = ([noisy(f, s + k, 0.01) for k, f in enumerate(frames)] for s in (0, 100))
    steady = blended(befores, afters)
    error = (steady[-1] - frames[-1])[20:-20, 20:-20].abs().mean()
    assert error < (frames[-2] - frames[-1])[20:-20, 20:-20].abs().mean() / 4


def test_a_crop_of_another_side_goes_on():
    befores, afters = boil(8)
    stabiliser, last = Stabiliser(0.8), soft(0)
    for k, (before, after) in enumerate(zip(befores, afters, strict=True)):
        side = SIDE + k
        last = stabiliser.blend(resize(before[None], side, side)[0], resize(after[None], side, side)[0])
        assert last.shape == (side, side, 3)
    assert (resize(last[None], SIDE, SIDE)[0] - soft(0)).abs().mean() < (afters[-1] - soft(0)).abs().mean()
