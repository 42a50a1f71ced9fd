from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gpen_nodes.errors import FaceError, OptionError
from gpen_nodes.faces.alignment import align_face
from gpen_nodes.faces.blending import paste
from gpen_nodes.faces.blending.colour import matched
from gpen_nodes.faces.blending.paste import paste_back
from gpen_nodes.faces.face import AlignedFace, DetectedFace
from gpen_nodes.faces.finding import detect_faces
from gpen_nodes.faces.geometry.resample import compose, invert, resizing, warp
from gpen_nodes.faces.geometry.templates import template_points
from gpen_nodes.host import LocalHost
from tests.figures import decibels


def face_at(
    x: float, y: float, side: float, angle: float, crop: Tensor, size: tuple[int, int]
) -> AlignedFace:
    """A face whose crop, of any resolution, covers a turned square of the picture."""
    n = len(crop)
    scale = n / side
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    matrix = torch.tensor([[c, -s, 0], [s, c, 0]], dtype=torch.float64)
    matrix[:, 2] = (n - 1) / 2 - matrix[:, :2] @ torch.tensor([x, y], dtype=torch.float64)
    return AlignedFace((0, 0, 1, 1), template_points("gpen", n), 1.0, 0, size, matrix, crop, n)


@st.composite
def faces(draw: st.DrawFn) -> AlignedFace:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    crop = torch.rand(draw(st.sampled_from([8, 24, 64])), 1, 3, generator=generator)
    crop = crop * torch.rand(1, len(crop), 3, generator=generator)
    place = (
        draw(st.floats(-20, 70)),
        draw(st.floats(-20, 60)),
        draw(st.floats(1, 60)),
        draw(st.floats(-4, 4)),
    )
    return face_at(*place, crop, (40, 50))


def bits(image: Tensor) -> Tensor:
    return image.contiguous().view(torch.int32)


@given(st.lists(faces(), max_size=4), st.sampled_from([1, 3, 4]), st.floats(0, 1), st.randoms())
@settings(deadline=None, max_examples=60)
def test_what_must_always_hold(found: list[AlignedFace], channels: int, strength: float, random) -> None:
    image = torch.rand(40, 50, channels, generator=torch.Generator().manual_seed(1))
    image[0, 0], image[0, 1] = -0.0, 1.0
    before = image.clone()
    out, mask = paste_back(image, found, strength=strength)
    assert torch.equal(bits(image), bits(before))
    assert out.shape == (1, *image.shape)
    assert mask.shape == (1, 40, 50)
    outside = mask[0] == 0
    assert torch.equal(bits(out[0][outside]), bits(image[outside]))
    assert mask.min() >= 0
    assert mask.max() <= strength
    assert out.min() >= 0
    assert out.max() <= 1
    if channels == 4:
        assert torch.equal(out[0, ..., 3], image[..., 3])
    random.shuffle(found)
    again, mask_again = paste_back(image, found, strength=strength)
    assert torch.equal(bits(again), bits(out))
    assert torch.equal(bits(mask_again), bits(mask))


@given(st.lists(faces(), max_size=3))
@settings(deadline=None, max_examples=20)
def test_strength_0_leaves_every_bit(found: list[AlignedFace]) -> None:
    image = torch.rand(40, 50, 3) * 3 - 1
    image[10, 10] = float("nan")
    out, mask = paste_back(image, found, strength=0)
    assert torch.equal(bits(out[0]), bits(image))
    assert not mask.any()


@pytest.mark.parametrize("template", ["gpen", "ffhq"])
@pytest.mark.parametrize("size", [256, 512, 1024])
def test_align_then_paste_is_the_identity(astronaut: Tensor, template: str, size: int) -> None:
    (face,) = detect_faces(astronaut)
    out, mask = paste_back(astronaut, [align_face(astronaut, face, size, template)])
    assert decibels(out[0][mask[0] > 0], astronaut[mask[0] > 0], peak=1) >= 40
    assert (mask == 1).sum() > 50**2


@given(st.floats(0, 360), st.floats(1, 3))
@settings(deadline=None, max_examples=12)
def test_the_identity_at_any_turn_and_scale(astronaut: Tensor, degrees: float, scale: float) -> None:
    side = 130.0
    crop = torch.zeros(math.ceil(side * scale), math.ceil(side * scale), 3)
    face = face_at(224.3, 115.8, side, math.radians(degrees), crop, (512, 512))
    points = torch.tensor(template_points("gpen", len(crop))).double() - face.matrix[:, 2]  # pyright: ignore
    points = torch.linalg.solve(face.matrix[:, :2], points.T).T.tolist()  # pyright: ignore
    aligned = align_face(astronaut, replace(face, landmarks=tuple((x, y) for x, y in points)), len(crop))
    assert torch.allclose(aligned.matrix, face.matrix, atol=1e-4)  # pyright: ignore
    out, mask = paste_back(astronaut, [aligned])
    assert decibels(out[0][mask[0] > 0], astronaut[mask[0] > 0], peak=1) >= 40


def test_strength_is_a_straight_line(astronaut: Tensor) -> None:
    (face,) = detect_faces(astronaut)
    face = replace(align_face(astronaut, face, 128), crop=torch.zeros(128, 128, 3))
    whole, mask = paste_back(astronaut, [face])
    half, half_mask = paste_back(astronaut, [face], strength=0.5)
    assert torch.allclose(half[0], (astronaut + whole[0]) / 2, atol=1e-6)
    assert torch.allclose(half_mask, mask / 2)
    assert torch.allclose(whole[0], astronaut * (1 - mask[0, ..., None]), atol=1e-6)


@pytest.mark.parametrize("x", [100, 0, 199])
def test_no_seam_wherever_the_face_lies(x: int) -> None:
    """White on black: from pixel to pixel the picture never jumps, and only its own border cuts the face."""
    face = face_at(x, 80, 100, 0.3, torch.ones(64, 64, 3), (160, 200))
    out, mask = paste_back(torch.zeros(160, 200, 3), [face])
    assert max(out.diff(dim=d).abs().max().item() for d in (1, 2)) < 0.12  # 20 px from 0 to 1
    assert mask[0, 80, x] == 1
    ring = face_at(x, 80, 100, 0.3, F.pad(torch.zeros(62, 62, 3), (0, 0, 1, 1, 1, 1), value=1.0), (160, 200))
    assert paste_back(torch.zeros(160, 200, 3), [ring])[0].max() < 0.01


def test_overlapping_faces_are_averaged_and_blend_into_each_other() -> None:
    size = (160, 240)
    one, other = torch.zeros(64, 64, 3), torch.ones(64, 64, 3)
    same = [face_at(100, 80, 90, 0, crop, size) for crop in (one, other / 2)]
    out, mask = paste_back(torch.ones(*size, 3), same)
    assert torch.allclose(out[0, 80, 100], torch.tensor(0.25))
    assert mask[0, 80, 100] == 1
    beside = [face_at(90, 80, 90, 0, one, size), face_at(140, 80, 90, 0, other, size)]
    out, _ = paste_back(torch.full((*size, 3), 0.5), beside)
    assert out[0, 80, 75].max() == 0
    assert out[0, 80, 155].min() == 1
    assert out[0, 80].diff(dim=0).abs().max() < 0.1
    assert torch.equal(out, paste_back(torch.full((*size, 3), 0.5), beside[::-1])[0])


def test_into_a_picture_scaled_since_detection(astronaut: Tensor) -> None:
    (face,) = detect_faces(astronaut)
    aligned = align_face(astronaut, face, 512)
    twice = F.interpolate(astronaut.permute(2, 0, 1)[None], scale_factor=2, mode="bicubic").clamp(0, 1)
    twice = twice[0].permute(1, 2, 0)
    out, mask = paste_back(twice, [aligned])
    assert decibels(out[0][mask[0] > 0], twice[mask[0] > 0], peak=1) > 35  # a pixel's shift would give 26
    small = F.avg_pool2d(mask, 2)
    assert (small - paste_back(astronaut, [aligned])[1]).abs().max() < 0.01
    given, _ = paste_back(twice, [replace(aligned, image_size=(1, 1))], scale=2)
    assert torch.equal(given, out)
    half = F.avg_pool2d(astronaut.permute(2, 0, 1)[None], 2)[0].permute(1, 2, 0)
    out, mask = paste_back(half, [aligned])
    assert decibels(out[0][mask[0] > 0], half[mask[0] > 0], peak=1) > 35


def test_a_crop_of_another_side_lands_in_the_same_place(astronaut: Tensor) -> None:
    (face,) = detect_faces(astronaut)
    aligned = align_face(astronaut, face, 256)
    larger = F.interpolate(aligned.crop.permute(2, 0, 1)[None], scale_factor=2, mode="bicubic").clamp(0, 1)
    out, mask = paste_back(astronaut, [replace(aligned, crop=larger[0].permute(1, 2, 0))])
    expected, expected_mask = paste_back(astronaut, [aligned])
    assert (mask - expected_mask).abs().max() < 1e-5
    assert decibels(out[mask > 0], expected[mask > 0], peak=1) > 45


def test_a_large_crop_on_a_small_face_does_not_alias() -> None:
    ys, xs = torch.meshgrid(torch.arange(2048), torch.arange(2048), indexing="ij")
    checks = ((xs // 4 + ys // 4) % 2).float()[..., None].expand(-1, -1, 3)
    out, mask = paste_back(torch.zeros(128, 128, 3), [face_at(64, 64, 100, 0.2, checks, (128, 128))])
    assert (out[0][mask[0] == 1] - 0.5).abs().max() < 0.02


def test_bands_leave_no_trace(astronaut: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    (face,) = detect_faces(astronaut)
    for size in (128, 256):
        aligned = align_face(astronaut, face, size)
        whole, whole_mask = paste_back(astronaut, [aligned])
        monkeypatch.setattr(paste, "_BAND_PIXELS", 1000)
        banded, banded_mask = paste_back(astronaut, [aligned])
        monkeypatch.undo()
        assert torch.allclose(banded_mask, whole_mask, atol=1e-5)
        assert (banded - whole).abs().max() < 1e-4


def test_gray_gets_luma() -> None:
    crop = torch.tensor([1.0, 0.5, 0.25]).expand(32, 32, 3)
    out, _ = paste_back(torch.zeros(64, 64, 1), [face_at(32, 32, 40, 0, crop, (64, 64))])
    assert out[0, 32, 32].item() == pytest.approx(0.299 + 0.587 / 2 + 0.114 / 4, abs=1e-6)


def test_a_mask_restricts_pasting() -> None:
    face = face_at(32, 32, 40, 0, torch.ones(32, 32, 3), (64, 64))
    allowed = torch.ones(64, 64)
    allowed[:, 32:] = 0
    out, mask = paste_back(torch.zeros(64, 64, 3), [face], mask=allowed)
    assert not out[:, :, 32:].any()
    assert not mask[:, :, 32:].any()
    assert out[0, 32, 31].min() == 1


def test_tones_come_from_the_picture_and_detail_from_the_crop(astronaut: Tensor) -> None:
    (face,) = detect_faces(astronaut)
    aligned = align_face(astronaut, face, 256)
    ramp = torch.linspace(-0.1, 0.1, 256)[:, None, None] * torch.tensor([1.0, 0.5, -1.0])
    checks = (torch.arange(256) // 2 % 2 * 0.05)[None, :, None]
    tinted = replace(aligned, crop=(aligned.crop * 0.7 + 0.1 + ramp + checks).clamp(0, 1))
    plain, mask = paste_back(astronaut, [tinted])
    matched, same_mask = paste_back(astronaut, [tinted], match_colour=True)
    assert torch.equal(mask, same_mask)
    middle = mask == 1
    off, less = ((out[middle] - astronaut[middle[0]]).mean(0).abs().max() for out in (plain, matched))
    assert off > 0.03
    assert less < 0.01
    untouched, _ = paste_back(astronaut, [aligned], match_colour=True)
    assert (untouched - paste_back(astronaut, [aligned])[0]).abs().max() < 0.02
    gray = astronaut.mean(-1, keepdim=True)
    into_gray, _ = paste_back(gray, [tinted], match_colour=True)
    assert (into_gray[middle] - gray[middle[0]]).mean().abs() < 0.01
    twice = F.interpolate(astronaut.permute(2, 0, 1)[None], scale_factor=2, mode="bicubic").clamp(0, 1)
    twice = twice[0].permute(1, 2, 0)
    large, large_mask = paste_back(twice, [tinted], match_colour=True)
    assert (large[large_mask == 1] - twice[large_mask[0] == 1]).mean(0).abs().max() < 0.01


def test_faces_go_to_their_image_of_the_batch() -> None:
    face = face_at(32, 32, 40, 0, torch.ones(32, 32, 3), (64, 64))
    out, _ = paste_back(torch.zeros(3, 64, 64, 3), [replace(face, image_index=2)])
    assert out.amax((1, 2, 3)).tolist() == [0, 0, 1]
    outside = face_at(500, 500, 40, 0, torch.ones(32, 32, 3), (64, 64))
    assert not paste_back(torch.zeros(64, 64, 3), [outside])[0].any()


def test_what_makes_no_sense_is_refused() -> None:
    picture = torch.zeros(64, 64, 3)
    face = face_at(32, 32, 40, 0, torch.ones(32, 32, 3), (64, 64))
    cases: list[dict[str, Any]] = [
        {"strength": 1.5},
        {"strength": float("nan")},
        {"softness": 0},
        {"scale": 0.0},
    ]
    for options in cases:
        with pytest.raises(OptionError, match=next(iter(options))):
            paste_back(picture, [face], **options)
    with pytest.raises(OptionError, match="mask"):
        paste_back(picture, [face], mask=torch.ones(32, 32))
    with pytest.raises(OptionError, match=r"64×64.*64×128"):
        paste_back(picture, [replace(face, image_size=(128, 64))])
    found = DetectedFace(face.box, face.landmarks, 1.0, 0, (64, 64))
    with pytest.raises(FaceError, match="align_faces"):
        paste_back(picture, [found])
    with pytest.raises(FaceError, match="batch of 1"):
        paste_back(picture, [replace(face, image_index=1)])


def test_a_host_is_asked_before_each_band_and_told_of_each_face() -> None:
    """A face in a large image takes seconds: once for each is too seldom."""
    asked, stages = [], []

    class Host(LocalHost):
        def check_interrupt(self) -> None:
            asked.append(1)

        def stage(self, *told: object) -> None:
            stages.append(told)

    face = face_at(1000, 1000, 1500, 0, torch.ones(32, 32, 3), (2000, 2000))
    paste_back(torch.zeros(2000, 2000, 3), [face, face], host=Host("cpu"))
    assert len(asked) > 2 * 1500 * 1500 / 2**16
    assert stages == [("Pasting faces", done, 2) for done in range(3)]


def test_tones_of_a_part_are_those_of_the_whole_image() -> None:
    """Only the part about a face is read, and it is enough."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand((300, 400, 3), generator=generator)
    from_cells = resizing(8, 8)
    for x, y, side in ((200, 150, 40), (10, 290, 90), (390, 5, 200), (700, 150, 40)):
        face = face_at(x, y, side, 0.4, torch.full((64, 64, 3), 0.5), (300, 400))
        planes = picture.permute(2, 0, 1)[None]
        cells = warp(planes, compose(invert(face.matrix), from_cells), (8, 8))
        expected = F.interpolate(cells, (64, 64), mode="bicubic", align_corners=False).clamp(0, 1)
        assert torch.allclose(
            matched(face.crop, picture, face.matrix, lambda: None), expected[0].permute(1, 2, 0), atol=1e-4
        )
