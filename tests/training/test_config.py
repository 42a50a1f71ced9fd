"""A stage of training as a user writes it down."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from gpen_nodes.degradation import DegradationRecipe
from gpen_nodes.errors import OptionError
from gpen_nodes.training import TrainingConfig

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
}
OPTIONS: dict[str, Any] = {
    "size": 128,
    "narrow": 0.5,
    "multiplier": 2,
    "style_dim": 128,
    "mapping_depth": 2,
    "steps": 2000,
    "batch": 16,
    "learning_rate": 0.001,
    "ema_decay": 0.99,
    "pixel": 2,
    "sharpness": 0.7,
    "identity": 0.5,
    "adversarial": 0.1,
    "r1": 5,
    "r1_every": 8,
    "discriminator_size": 64,
    "seed": 3,
    "precision": "bf16-mixed",
    "compile": True,
    "sample_every": 250,
    "save_every": 100,
}


def toml(options: dict[str, Any], recipe: dict[str, Any]) -> str:
    def value(x: Any) -> str:
        return str(x).lower() if isinstance(x, bool) else repr(x)

    lines = [f"{name} = {value(x)}" for name, x in options.items()]
    return "\n".join([*lines, "[recipe]", *(f"{name} = {value(x)}" for name, x in recipe.items())])


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_every_field_comes_back_from_toml():
    import tomllib

    config = TrainingConfig.from_dict(tomllib.loads(toml(OPTIONS, RECIPE)))
    assert set(OPTIONS) | {"recipe"} == {f.name for f in dataclasses.fields(TrainingConfig)}
    assert set(RECIPE) == {f.name for f in dataclasses.fields(DegradationRecipe)}
    expected = {name: tuple(x) if isinstance(x, list) else x for name, x in RECIPE.items()}
    assert dataclasses.asdict(config) == OPTIONS | {"recipe": expected}
    defaults = dataclasses.asdict(TrainingConfig())
    assert all(defaults[name] != value for name, value in OPTIONS.items())


def test_what_config_json_holds_is_the_config():
    config = TrainingConfig(size=128, recipe=DegradationRecipe(scale=(3, 5)))
    assert TrainingConfig.from_dict(dataclasses.asdict(config)) == config


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"stepz": 3}, "Unknown training options: stepz. Known: adversarial, batch,"),
        ({"recipe": {"blurr": [0, 1]}}, "Unknown options of the recipe: blurr. Known: blur_probability,"),
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
        ({"precision": "16-mixed"}, "precision is '16-mixed'; expected one of 32-true, bf16-mixed"),
        ({"size": 64, "adversarial": 1}, "discriminator_size 128 is larger than the faces' size 64"),
    ],
)
def test_nonsense_is_refused_by_name(options, sentence):
    with pytest.raises(OptionError, match=sentence):
        TrainingConfig.from_dict(options)


def test_the_discriminators_size_matters_only_with_a_discriminator():
    assert TrainingConfig(size=64).discriminator_size == 128


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
@pytest.mark.parametrize("recipe", sorted((ROOT / "weights" / "recipe").glob("*.toml")), ids=lambda p: p.name)
def test_the_recipes_of_the_shipped_model_are_valid(recipe):
    import tomllib

    config = TrainingConfig.from_dict(tomllib.loads(recipe.read_text()))
    assert str(config.size) in recipe.name
