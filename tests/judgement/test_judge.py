"""What of a picture stays in a restored face, on a real portrait that is degraded in known ways."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gpen_nodes.degradation import DegradationValues, apply_degradation
from gpen_nodes.judgement import guard_identity, judge_face, measure_held
from gpen_nodes.judgement.bands import to_rgb, to_ycc
from gpen_nodes.judgement.detail import keep_power


@pytest.fixture(scope="module")
def sharp(astronaut: Tensor) -> Tensor:
    """About what an aligned crop shows."""
    return astronaut[:256, 96:352].contiguous()


@pytest.fixture(scope="module")
def softer(sharp: Tensor) -> Tensor:
    """A face as a small network draws it: a little soft."""
    return blurred(sharp, 1.0)


def blurred(crop: Tensor, sigma: float) -> Tensor:
    return apply_degradation(crop, DegradationValues(blur_sigma=sigma))


def psnr(crop: Tensor, truth: Tensor) -> float:
    return -10 * torch.log10((crop - truth).square().mean()).item()


def sharpness(crop: Tensor) -> float:
    luma = to_ycc(crop)[:1]
    return (luma - F.avg_pool2d(luma, 3, 1, 1))[:, 4:-4, 4:-4].std().item()


def test_a_sharp_face_is_not_softened(sharp, softer):
    face, judgement = judge_face(sharp, softer)
    assert sharpness(softer) < 0.6 * sharpness(sharp)
    assert sharpness(face) > 0.95 * sharpness(sharp)
    assert judgement.detail is not None
    assert judgement.detail.kept > 0.9
    assert "own detail was kept" in str(judgement)


def test_a_bad_picture_takes_the_models_detail(sharp, softer):
    values = DegradationValues(scale=6, blur_sigma=3, noise_sigma=18, jpeg_quality=40)
    bad = apply_degradation(sharp, values)
    face, judgement = judge_face(bad, softer)
    assert sharpness(face) > 0.9 * sharpness(softer)
    assert psnr(face, sharp) > psnr(bad, sharp) + 3
    assert judgement.detail is not None
    assert judgement.detail.kept < 0.1


def test_more_is_held_the_better_the_picture(sharp, softer):
    held = [measure_held(blurred(sharp, sigma), softer).item() for sigma in (0, 2, 4, 8)]
    assert held == sorted(held, reverse=True)
    assert held[0] > 1.3
    assert held[-1] < 0.75


def test_noise_counts_for_no_detail(sharp, softer):
    noisy = apply_degradation(sharp, DegradationValues(noise_sigma=40, noise_seed=1))
    face, _ = judge_face(noisy, softer)
    assert psnr(face, sharp) > psnr(noisy, sharp) + 3


def test_with_everything_off_the_face_is_the_models(sharp, softer):
    face, judgement = judge_face(sharp, softer, colour="model", keep_detail=0, in_front=False)
    assert torch.allclose(face, softer, atol=1e-5)
    assert judgement.detail is judgement.identity is judgement.hidden is None


@given(seed=st.integers(0, 2**32), side=st.sampled_from([64, 96, 256]))
@settings(max_examples=15)
def test_what_always_holds(seed, side):
    generator = torch.Generator().manual_seed(seed)
    before, after = (torch.rand(side, side, 3, generator=generator) for _ in range(2))
    face, _ = judge_face(before, after, grain=1.0)
    assert face.shape == before.shape
    assert 0 <= face.min() <= face.max() <= 1
    gray, _ = judge_face(before[..., :1].expand(-1, -1, 3).contiguous(), after)
    assert (gray.amax(-1) - gray.amin(-1)).max() == 0


def test_equal_crops_pass_through(sharp):
    face, judgement = judge_face(sharp, sharp)
    assert (face - sharp).abs().mean() * 255 < 0.3  # but for the finest noise of its colours
    assert judgement.hidden == 0


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_crop_gives_no_nan(value):
    flat = torch.full((128, 128, 3), value)
    face, judgement = judge_face(flat, flat)
    assert torch.allclose(face, flat, atol=1e-6)
    assert "nan" not in str(judgement)


def test_a_toned_picture_keeps_its_tone(sharp, softer):
    tone = torch.tensor([1.1, 0.95, 0.75])
    sepia = to_ycc(blurred(sharp, 4))[0][..., None] * tone * 0.9
    face, _ = judge_face(sepia, softer)  # the model has made it a colour photo

    def off(crop: Tensor) -> float:
        own = to_ycc(tone[None, None])[:, 0, 0]
        planes = to_ycc(crop)
        return (planes[1:] - (own[1:] / own[0])[:, None, None] * planes[0]).abs().mean().item() * 255

    assert off(face) < 2.5
    assert off(softer) > 4


def test_colours_are_the_pictures_or_the_models_as_asked(sharp, softer):
    green = softer * torch.tensor([0.7, 1.0, 0.7])
    difference = {
        colour: (to_ycc(judge_face(sharp, green, colour=colour)[0])[1:] - to_ycc(sharp)[1:]).abs().mean()
        for colour in ("picture", "auto", "model")
    }
    assert difference["picture"] == difference["auto"] < 0.002
    assert difference["model"] > 0.03


def test_blotches_of_colour_are_found_broken(sharp, softer):
    blotched = to_ycc(blurred(sharp, 4))
    noise = torch.randn(1, 2, 24, 24, generator=torch.Generator().manual_seed(0)) * 0.15
    blotched[1:] += F.interpolate(noise, (256, 256), mode="bicubic")[0]
    _, judgement = judge_face(to_rgb(blotched), softer)
    assert judgement.colour is not None
    assert (judgement.colour.source, judgement.colour.broken) == ("model", True)


def test_what_is_in_front_stays(sharp, softer):
    covered, wrong = blurred(sharp, 4), softer.clone()
    covered[150:210, 90:160] = 0.9  # a hand that the model takes for a mouth
    wrong[150:210, 90:160] = 0.3
    face, judgement = judge_face(covered, wrong)
    inside = slice(155, 205), slice(95, 155)
    assert (face - covered)[inside].abs().mean() * 255 < 4
    assert judgement.hidden is not None
    assert judgement.hidden > 0.03
    assert "behind something" in str(judgement)
    assert judge_face(covered, wrong, in_front=False)[1].hidden is None
    assert judge_face(blurred(sharp, 4), softer)[1].hidden == 0  # nothing is in front


def test_what_is_in_front_is_found_by_its_colour(sharp, softer):
    """A hand of the face's own brightness, that the model has painted over."""
    seen = to_ycc(blurred(sharp, 4))
    seen[1:, 150:210, 90:160] += 0.12
    seen = to_rgb(seen)
    kept, judgement = judge_face(seen, softer)
    inside = slice(160, 200), slice(100, 150)
    assert (kept - seen)[inside].abs().mean() * 255 < 4
    assert judgement.hidden is not None
    assert judgement.hidden > 0.03
    gray = to_ycc(blurred(sharp, 4))[0][..., None].expand(-1, -1, 3)
    assert judge_face(gray, softer)[1].hidden == 0  # a gray picture contradicts no colour
    bright = judge_face(blurred(sharp, 4), softer + 0.1)[1]
    assert bright.hidden is not None
    assert bright.hidden < 0.03  # nor a bright model a dark one


def test_a_blend_has_the_power_of_what_is_finest():
    generator = torch.Generator().manual_seed(0)
    x, y = (
        {side: torch.randn(1, side, side, generator=generator) for side in (16, 32, 64)} for _ in range(2)
    )
    blend = {side: (x[side] + y[side]) / 2 for side in x}
    for share, wanted in ((0.0, y), (1.0, x)):
        kept = keep_power(blend, x, y, share)
        for side in (16, 32):
            assert kept[side].square().mean() == pytest.approx(wanted[side].square().mean().item(), rel=1e-4)
        assert torch.equal(kept[64], blend[64])


def test_grain_of_the_picture_comes_back(sharp, softer):
    plain = blurred(sharp, 6)
    grainy = apply_degradation(plain, DegradationValues(noise_sigma=12, noise_seed=3))
    flat = slice(20, 60), slice(5, 35)  # the background
    smooth, rough, again = (judge_face(grainy, softer, grain=grain)[0] for grain in (0.0, 1.0, 1.0))
    assert torch.equal(rough, again)
    own, added = (grainy - plain)[flat].mean(-1).std(), (rough - smooth)[flat].mean(-1).std()
    assert 0.4 < added / own < 2


def embed(faces: Tensor) -> Tensor:
    """Stands in for a network: a face is what it looks like at 16 px."""
    small = F.interpolate(faces, (16, 16), mode="area").flatten(1)
    return F.normalize(small - small.mean(1, keepdim=True))


def test_the_guard_lets_the_same_person_pass(sharp, softer):
    face, decision = guard_identity(sharp, softer, torch.tensor(1.5), embed)
    assert torch.equal(face, softer)
    assert decision.strength == 1
    assert "same person" in str(decision)


def test_the_guard_lowers_the_strength_until_the_person_is_back(sharp, softer):
    after = 1 - sharp
    face, decision = guard_identity(sharp, after, torch.tensor(1.5), embed)
    assert decision.found < decision.least <= decision.used
    assert decision.strength == 0.25
    assert torch.equal(face, torch.lerp(sharp, after, 0.25))
    assert "strength lowered to 0.25" in str(decision)


def test_a_face_that_stays_somebody_else_is_left_alone(sharp, softer):
    people = iter(torch.eye(8))
    face, decision = guard_identity(sharp, softer, torch.tensor(1.5), lambda _: next(people)[None])
    assert torch.equal(face, sharp)
    assert decision.strength == 0
    assert "unlike the person before" in str(decision)
