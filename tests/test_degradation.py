"""Each step against a formula or a codec that is not ours, ranges, reproducibility."""

from __future__ import annotations

import io
import json
import math
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gpen_nodes.degradation import (
    EVALUATION_RECIPE,
    DegradationRecipe,
    DegradationValues,
    apply_degradation,
    degrade,
)
from gpen_nodes.errors import ImageError, OptionError

EVERYTHING = DegradationRecipe(
    blur_probability=1, motion_probability=1, noise_probability=1, jpeg_probability=1, colour_probability=1
)
NOTHING = DegradationRecipe(
    scale=(1, 1),
    blur_probability=0,
    motion_probability=0,
    noise_probability=0,
    jpeg_probability=0,
    colour_probability=0,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_picture(*shape: int) -> torch.Tensor:
    batch, height, width, channels = shape
    coarse = torch.rand(batch, channels, 6, 6, generator=seeded(7))
    picture = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return picture.permute(0, 2, 3, 1).contiguous()


def point(side: int) -> torch.Tensor:
    image = torch.zeros(side, side, 3)
    image[side // 2, side // 2] = 1
    return image


def moments(image: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance (x, y) of one channel as a density, with y upwards."""
    density = image[..., 0].double().numpy()
    density /= density.sum()
    rows, columns = np.indices(density.shape)
    centre = density.shape[0] // 2
    points = np.stack([columns - centre, centre - rows])
    mean = (points * density).sum(axis=(1, 2))
    return mean, np.einsum("aij,bij,ij->ab", points, points, density) - np.outer(mean, mean)


# --- the recipe ---


@given(st.integers(0, 2**63 - 1), st.data())
@settings(max_examples=60, deadline=None)
def test_values_stay_in_any_ranges(seed: int, data: st.DataObject) -> None:
    widest = {f.name: f.default for f in fields(DegradationRecipe) if isinstance(f.default, tuple)}
    ranges = {name: tuple(sorted(data.draw(st.tuples(*[st.floats(*r)] * 2)))) for name, r in widest.items()}
    drawn = replace(EVERYTHING, **ranges).draw(seeded(seed))
    for name, (low, high) in ranges.items():
        found = getattr(drawn, name)
        slack = 0.5 if name == "jpeg_quality" else 1e-9
        for value in found if isinstance(found, tuple) else (found,):
            assert low - slack <= value <= high + slack, name


def test_the_documented_ranges_are_the_defaults() -> None:
    recipe = DegradationRecipe()
    assert recipe.scale == (2, 16)
    assert recipe.blur_sigma == (0, 3)
    assert recipe.motion_length == (0, 25)
    assert recipe.noise_sigma == (0, 25)
    assert recipe.jpeg_quality == (10, 100)


def test_probabilities_decide_how_often_a_step_is_taken() -> None:
    recipe, generator = replace(EVERYTHING, motion_probability=0.25), seeded()
    moved = sum(recipe.draw(generator).motion_length > 0 for _ in range(800))
    assert 160 <= moved <= 240  # 200 ± 3.3 standard deviations
    assert NOTHING.draw(generator) == DegradationValues()


def test_a_step_left_out_changes_no_later_image() -> None:
    with_jpeg, without = seeded(), seeded()
    EVERYTHING.draw(with_jpeg)
    replace(EVERYTHING, jpeg_probability=0).draw(without)
    assert EVERYTHING.draw(with_jpeg) == EVERYTHING.draw(without)


def test_mild_ones_come_from_the_mildest_quarter_of_each_range() -> None:
    recipe, generator = replace(EVERYTHING, mild_probability=1), seeded()
    for _ in range(200):
        values = recipe.draw(generator)
        assert 2 <= values.scale <= 2 * 8 ** (1 / 4) + 1e-9
        assert values.blur_sigma <= 3 / 4
        assert values.motion_length <= 25 / 4
        assert values.noise_sigma <= 25 / 4
        assert values.jpeg_quality is not None
        assert values.jpeg_quality >= 77


def test_how_often_images_are_mild_or_degraded_twice() -> None:
    recipe, generator = replace(EVERYTHING, mild_probability=0.25, second_probability=0.5), seeded()
    drawn = [recipe.draw(generator) for _ in range(800)]
    assert 160 <= sum(v.scale <= 2 * 8 ** (1 / 4) and v.noise_sigma <= 25 / 4 for v in drawn) <= 290
    assert 350 <= sum(v.again is not None for v in drawn) <= 450
    assert all(v.again.gamma == 1 and v.again.scale <= 2 * 8**0.5 + 1e-9 for v in drawn if v.again)


def test_a_second_pass_is_the_first_ones_result_degraded_again() -> None:
    (image,) = smooth_picture(1, 24, 32, 3)
    second = DegradationValues(scale=1.5, noise_sigma=5, noise_seed=3, jpeg_quality=70)
    first = DegradationValues(scale=2, blur_sigma=1, jpeg_quality=60)
    expected = apply_degradation(apply_degradation(image, first), second)
    both = replace(first, again=second)
    assert torch.equal(apply_degradation(image, both), expected)
    loaded = DegradationValues(**json.loads(json.dumps(both.to_dict())))
    assert torch.equal(apply_degradation(image, loaded), expected)
    assert str(both) == "×2, blur σ 1, JPEG 60, and again ×1.5, noise σ 5, JPEG 70"


def test_the_evaluation_recipe_is_fixed_but_for_the_noise() -> None:
    generator = seeded()
    first, second = EVALUATION_RECIPE.draw(generator), EVALUATION_RECIPE.draw(generator)
    assert first.noise_seed != second.noise_seed
    assert replace(first, noise_seed=0) == DegradationValues(
        scale=4, blur_sigma=1.5, noise_sigma=12.5, jpeg_quality=55
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scale", (0.5, 2)),
        ("scale", (4, 2)),
        ("scale", 4),
        ("blur_sigma", (-1, 2)),
        ("noise_sigma", (0, math.nan)),
        ("jpeg_quality", (0, 50)),
        ("jpeg_quality", (10, 101)),
        ("gamma", ("a", "b")),
        ("motion_length", (1, 2, 3)),
        ("jpeg_probability", 1.5),
        ("colour_probability", None),
    ],
)
def test_a_senseless_recipe_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(OptionError, match=field):
        DegradationRecipe(**{field: value})  # type: ignore[arg-type]


# --- the whole ---


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shape_range_and_alpha_are_kept(channels: int) -> None:
    image = smooth_picture(3, 45, 62, channels)
    before = image.clone()
    result, values = degrade(image, EVERYTHING, seeded())
    assert result.shape == image.shape
    assert result.dtype == torch.float32
    assert len(values) == 3
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(result[..., 3:], image[..., 3:])
    assert torch.equal(image, before)
    assert not torch.equal(result[..., :3], image[..., :3])


def test_one_image_without_a_batch_axis() -> None:
    image = smooth_picture(1, 32, 40, 3)
    batch_result, _ = degrade(image, EVERYTHING, seeded())
    result, values = degrade(image[0], EVERYTHING, seeded())
    assert torch.equal(result, batch_result[0])
    assert len(values) == 1


def test_no_image_is_no_image() -> None:
    assert degrade(torch.zeros(0, 8, 8, 3), EVERYTHING, seeded())[0].shape == (0, 8, 8, 3)
    with pytest.raises(ImageError):
        degrade(torch.zeros(8, 8, 2), EVERYTHING, seeded())


def test_reproducible_from_the_generator_alone() -> None:
    image = smooth_picture(2, 48, 48, 3)
    first, values = degrade(image, EVERYTHING, seeded(3))
    torch_state, numpy_state = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    second, again = degrade(image, EVERYTHING, seeded(3))
    assert torch.equal(first, second)
    assert values == again
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert str(np.random.get_state()) == numpy_state  # noqa: NPY002
    assert not torch.equal(first, degrade(image, EVERYTHING, seeded(4))[0])


def test_the_values_repeat_the_result_even_after_a_trip_through_json() -> None:
    image = smooth_picture(1, 48, 48, 3)
    result, (values,) = degrade(image, EVERYTHING, seeded())
    loaded = json.loads(json.dumps(values.to_dict()))
    assert torch.equal(apply_degradation(image[0], DegradationValues(**loaded)), result[0])


def test_no_values_no_change() -> None:
    image = smooth_picture(1, 17, 23, 4)[0]
    assert torch.equal(apply_degradation(image, DegradationValues()), image)
    assert torch.equal(degrade(image, NOTHING, seeded())[0], image)


def test_endpoints_that_mean_nothing_happens() -> None:
    image = smooth_picture(1, 17, 23, 3)[0]
    for values in (DegradationValues(motion_length=1, motion_angle=30), DegradationValues(noise_seed=5)):
        assert torch.equal(apply_degradation(image, values), image)


def test_values_are_printed_in_words() -> None:
    values = DegradationValues(4, 1.5, 12, 30, 12.5, 9, 55, 0.9, 1.1, (0.05, 0, -0.02))
    assert str(values) == (
        "×4, blur σ 1.5, motion 12 px at 30°, noise σ 12.5, JPEG 55, gamma 0.9, contrast 1.1, "
        "colour +0.05 +0.00 -0.02"
    )
    assert str(DegradationValues()) == "×1"


# --- each step alone ---


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_blur_is_a_gaussian_of_that_sigma(sigma: float) -> None:
    mean, covariance = moments(apply_degradation(point(61), DegradationValues(blur_sigma=sigma)))
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(covariance, np.eye(2) * sigma**2, atol=0.02 * sigma**2)


@pytest.mark.parametrize("shape", [(130, 97, 3), (97, 130, 1), (9, 200, 3), (1, 5, 3)])
@pytest.mark.parametrize("sigma", [0.3, 2.2, 10.0])
@pytest.mark.parametrize("scale", [1, 1.7, 4])
def test_blur_and_down_sampling_together_are_one_after_the_other(shape, sigma: float, scale: float) -> None:
    image = torch.rand(shape, generator=seeded())
    height, width = shape[:2]
    expected = cv2.GaussianBlur(image.numpy(), (0, 0), sigma)
    expected = cv2.resize(
        expected, (round(width / scale), max(1, round(height / scale))), interpolation=cv2.INTER_AREA
    )
    expected = cv2.resize(expected, (width, height), interpolation=cv2.INTER_LINEAR).reshape(shape)
    result = apply_degradation(image, DegradationValues(scale=scale, blur_sigma=sigma))
    torch.testing.assert_close(result, torch.from_numpy(expected), atol=2e-6, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0, 171.0])
@pytest.mark.parametrize("length", [1.5, 4.0, 12.5, 25.0])
def test_motion_is_a_line_of_that_length_and_angle(length: float, angle: float) -> None:
    values = DegradationValues(motion_length=length, motion_angle=angle)
    result = apply_degradation(point(61), values)
    assert result[..., 0].sum() == pytest.approx(1, abs=1e-4)
    mean, covariance = moments(result)
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    direction = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    # A uniform line's variance is length² / 12; sharing out among pixels adds up to 1/4 px² on each axis.
    excess = covariance - np.outer(direction, direction) * (length - 1) ** 2 / 12
    assert np.linalg.eigvalsh(excess).min() > -0.02 * length
    assert np.linalg.eigvalsh(excess).max() < 0.26 + 0.02 * length


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_down_sampling_averages_boxes(scale: int) -> None:
    image = torch.rand(32, 48, 3, generator=seeded())
    small = torch.nn.functional.avg_pool2d(image.permute(2, 0, 1)[None], scale)
    expected = torch.nn.functional.interpolate(small, (32, 48), mode="bilinear", align_corners=False)
    result = apply_degradation(image, DegradationValues(scale=scale))
    torch.testing.assert_close(result, expected[0].permute(1, 2, 0), atol=1e-5, rtol=0)


def test_scaling_below_one_pixel_leaves_one() -> None:
    result = apply_degradation(smooth_picture(1, 5, 7, 3)[0], DegradationValues(scale=16))
    torch.testing.assert_close(result, result[:1, :1].expand(5, 7, 3))


@pytest.mark.parametrize("sigma", [5.0, 25.0])
def test_noise_has_that_standard_deviation(sigma: float) -> None:
    gray = torch.full((128, 128, 3), 0.5)
    noise = apply_degradation(gray, DegradationValues(noise_sigma=sigma, noise_seed=1)) - gray
    assert noise.std().item() * 255 == pytest.approx(sigma, rel=0.02)
    assert noise.mean().item() * 255 == pytest.approx(0, abs=0.03 * sigma)
    red, green = noise[..., 0].flatten(), noise[..., 1].flatten()
    assert abs(torch.corrcoef(torch.stack([red, green]))[0, 1]) < 0.03  # each channel has its own


@pytest.mark.parametrize("channels", [3, 1])
def test_jpeg_is_what_another_codec_makes(channels: int) -> None:
    image = smooth_picture(1, 64, 96, channels)[0]
    pixels = image.mul(255).round().to(torch.uint8).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(64, 96, -1).squeeze()).save(file, "JPEG", quality=30, subsampling=2)
    expected = np.asarray(Image.open(file), dtype=np.float32).reshape(64, 96, -1) / 255
    result = apply_degradation(image, DegradationValues(jpeg_quality=30)).numpy()
    assert np.abs(result - expected).mean() < 0.5 / 255
    assert np.abs(result - pixels / 255).mean() > 1 / 255  # and it did lose something


def test_red_stays_red_through_jpeg() -> None:
    image = torch.tensor([0.9, 0.4, 0.1]).expand(16, 16, 3)
    result = apply_degradation(image, DegradationValues(jpeg_quality=90))
    torch.testing.assert_close(result, image, atol=0.02, rtol=0)


def test_colour_follows_its_formula() -> None:
    image = torch.rand(8, 8, 3, generator=seeded())
    values = DegradationValues(gamma=1.2, contrast=0.9, colour_shift=(0.05, 0.0, -0.05))
    expected = (image**1.2 - 0.5) * 0.9 + 0.5 + torch.tensor([0.05, 0.0, -0.05])
    torch.testing.assert_close(apply_degradation(image, values), expected.clamp(0, 1))


def test_gray_has_no_colours_to_shift() -> None:
    image = smooth_picture(1, 8, 8, 1)[0]
    assert torch.equal(apply_degradation(image, DegradationValues(colour_shift=(0.1, 0, 0))), image)


def test_limits_and_defaults_are_told_by_field() -> None:
    limits, defaults = DegradationRecipe.limits(), DegradationRecipe.defaults()
    assert DegradationRecipe(**defaults) == DegradationRecipe()
    assert limits.keys() == defaults.keys()
    for name, (low, high) in limits.items():
        is_range = isinstance(defaults[name], tuple)
        widest, wider = ((low, high), (low, high + 1)) if is_range else (high, high + 1)
        assert getattr(replace(DegradationRecipe(), **{name: widest}), name) == widest
        with pytest.raises(OptionError, match=name):
            replace(DegradationRecipe(), **{name: wider})
