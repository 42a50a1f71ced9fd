"""A stage of training as a user writes it down."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gpen_nodes.degradation import DegradationRecipe
from gpen_nodes.errors import OptionError
from gpen_nodes.training import TrainingConfig, read_config, to_toml

ROOT = Path(__file__).resolve().parents[2]

# Every field, each with another value than its default.
RECIPE: dict[str, Any] = {
    "scale": [1.5, 8],
    "blur_sigma": [0.5, 2],
    "motion_length": [0, 13],
    "noise_sigma": [1, 20],
    "jpeg_quality": [30, 90],
    "gamma": [0.9, 1.1],
    "contrast": [0.9, 1.2],
    "colour_shift": [-0.05, 0.05],
    "blur_probability": 0.7,
    "motion_probability": 0.1,
    "noise_probability": 0.6,
    "jpeg_probability": 0.9,
    "colour_probability": 0.0,
    "mild_probability": 0.1,
    "second_probability": 0.2,
}
OPTIONS: dict[str, Any] = {
    "faces": "ffhq.zip",
    "run": "runs/a",
    "start": "small.safetensors",
    "size": 128,
    "narrow": 0.5,
    "multiplier": 2,
    "style_dim": 128,
    "mapping_depth": 2,
    "encoder": "resnet50",
    "steps": 2000,
    "batch": 16,
    "accumulate": 2,
    "processes": 8,
    "nodes": 2,
    "workers": 0,
    "learning_rate": 0.001,
    "min_true_size": 300,
    "drop_at": 1500,
    "drop_to": 0.0001,
    "old_size": 64,
    "old_rate": 0.5,
    "ema_decay": 0.99,
    "pixel": 2,
    "chroma": 0.3,
    "perceptual": 0.05,
    "features": 0.4,
    "regions": 0.3,
    "identity": 0.5,
    "lpips": 0.1,
    "adversarial": 0.1,
    "discriminator": "projected",
    "r1": 5,
    "r1_every": 8,
    "discriminator_size": 64,
    "seed": 3,
    "precision": "bf16-mixed",
    "compile": True,
    "sample_every": 250,
    "save_every": 100,
    "tensorboard": True,
}
NETWORKS = {"vgg19": "a.pth", "alexnet": "b.pth", "lpips": "c.pth", "mobilefacenet": 'd "quoted" é.onnx'}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_field_comes_back_from_a_file(tmp_path):
    expected = TrainingConfig.from_dict(OPTIONS | {"recipe": RECIPE, "networks": NETWORKS})
    config = read_config(write(tmp_path / "config.toml", to_toml(expected)))
    assert config == expected
    assert set(OPTIONS) | {"recipe", "networks"} == {f.name for f in dataclasses.fields(TrainingConfig)}
    assert set(RECIPE) == {f.name for f in dataclasses.fields(DegradationRecipe)}
    ranges = {name: tuple(x) if isinstance(x, list) else x for name, x in RECIPE.items()}
    assert dataclasses.asdict(config) == OPTIONS | {"recipe": ranges, "networks": NETWORKS}
    defaults = dataclasses.asdict(TrainingConfig())
    assert all(defaults[name] != value for name, value in OPTIONS.items())


def test_what_is_said_on_the_command_line_goes_first(tmp_path):
    path = write(tmp_path / "config.toml", "size = 64\nsteps = 7\n[recipe]\nscale = [2, 4]\n")
    words = ["steps=9", "recipe.scale=[1, 8]", "networks.vgg19=a b/vgg.pth", "faces=ffhq.zip", "compile=true"]
    config = read_config(path, words)
    assert (config.size, config.steps, config.compile, config.faces) == (64, 9, True, "ffhq.zip")
    assert config.recipe.scale == (1, 8)
    assert config.networks.vgg19 == "a b/vgg.pth"
    assert read_config(path).steps == 7


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("steps", "Found 'steps'; expected name=value"),
        ("steps=many", "steps is 'many'; expected a whole number"),
        ("step=3", "Unknown training options: step. Known: "),
        ("size.x=3", "size.x=3: size is no table"),
        ("networks.vgg=3", "Unknown options of networks: vgg. Known: alexnet, "),
    ],
)
def test_a_word_that_makes_no_sense_is_refused(tmp_path, word, sentence):
    path = write(tmp_path / "config.toml", "size = 64\n")
    with pytest.raises(OptionError, match=sentence):
        read_config(path, [word])


def test_the_rate_drops_once():
    config = TrainingConfig(learning_rate=2e-4, drop_at=800_000, drop_to=2e-5)
    assert [config.rate(step) for step in (0, 799_999, 800_000, 999_999)] == [2e-4, 2e-4, 2e-5, 2e-5]
    assert TrainingConfig(learning_rate=1e-3).rate(10**9) == 1e-3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"stepz": 3}, "Unknown training options: stepz. Known: accumulate, adversarial, batch,"),
        ({"recipe": {"blurr": [0, 1]}}, "Unknown options of recipe: blurr. Known: blur_probability,"),
        ({"recipe": [1, 2]}, "recipe is .* expected a table"),
        ({"recipe": {"scale": [4, 2]}}, r"scale is \(4, 2\); expected \(lowest, highest\)"),
        ({"recipe": {"jpeg_quality": [0, 90]}}, "jpeg_quality is"),
        ({"recipe": {"blur_probability": 1.5}}, "blur_probability is 1.5; expected one number from 0 to 1"),
        ({"steps": 0}, "steps is 0; expected a whole number from 1"),
        ({"steps": 1e4}, "steps is 10000.0; expected a whole number"),
        ({"r1_every": 0}, "r1_every is 0"),
        ({"seed": -1}, "seed is -1; expected a whole number from 0"),
        ({"pixel": -1}, "pixel is -1; expected a number from 0"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; expected a number"),
        ({"batch": True}, "batch is True; expected a whole number"),
        ({"compile": 1}, "compile is 1; expected true or false"),
        ({"precision": "fp16"}, "precision is 'fp16'; expected one of 32-true, bf16-mixed, 16-mixed"),
        ({"encoder": "vit"}, "encoder is 'vit'; expected one of conv, resnet50"),
        ({"faces": 3}, "faces is 3; expected text"),
        ({"networks": {"vgg19": 3}}, "networks.vgg19 is 3; expected text"),
        ({"size": 64, "adversarial": 1}, "discriminator_size 128 is larger than the faces' size 64"),
    ],
)
def test_nonsense_is_refused_by_name(options, sentence):
    with pytest.raises(OptionError, match=sentence):
        TrainingConfig.from_dict(options)


def test_the_discriminators_size_matters_only_with_a_discriminator():
    assert TrainingConfig(size=64).discriminator_size == 128


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "weights" / "recipe").glob("*.toml"), *(ROOT / "configs").glob("*.toml")]),
    ids=lambda p: p.name,
)
def test_the_configs_that_ship_are_valid(path):
    assert str(read_config(path).size) in path.name


def test_the_large_models_are_trained_as_documented():
    config = read_config(ROOT / "configs" / "gpen-bfr-1024.toml")
    terms = ("pixel", "perceptual", "identity", "adversarial", "lpips")
    assert [getattr(config, term) for term in terms] == [1.0, 0.05, 0.1, 0.005, 0.1]
    assert (config.steps, config.rate(0), config.rate(800_000)) == (1_000_000, 2e-4, 2e-5)
    assert (config.recipe.scale, config.recipe.blur_sigma) == ((2, 16), (0, 3))
    for size in (1024, 2048):
        config = read_config(ROOT / "configs" / f"gpen-bfr-{size}.toml")
        assert (config.encoder, config.mapping_depth, config.style_dim) == ("resnet50", 2, 512)
        assert (config.narrow, config.multiplier) == (1, 2)
