"""Everything that decides how a training run goes, in one frozen value and one readable file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ..degradation import DegradationRecipe
from ..errors import OptionError
from .losses import TERMS, Networks

__all__ = ["TrainingConfig", "read_config", "to_toml"]

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Encoder = Literal["conv", "resnet50"]
DiscriminatorKind = Literal["stylegan2", "projected"]

_CHOICES: dict[str, Any] = {"precision": Precision, "encoder": Encoder, "discriminator": DiscriminatorKind}
_FROM_ZERO = (
    "seed",
    "drop_at",
    "old_size",
    "workers",
)  # Other whole numbers count something, so they are at least 1.


# A new term is an option of every run, under its name.
_Weights: Any = dataclasses.make_dataclass(
    "_Weights", [(name, float, term.weight) for name, term in TERMS.items()], frozen=True
)


@dataclass(frozen=True)
class TrainingConfig(_Weights):
    """One stage of training: a fixed size, one data set, one set of loss weights.

    Attributes:
        faces: aligned faces: a folder that ``prepare`` has written, a folder of images, a zip file, or
            WebDataset shards (a tar file, a folder of them, or a pattern such as ``shards/*.tar``).
        min_true_size: leave out faces known to cover fewer of their photo's pixels a side; 0 takes all.
        run: folder of the run. A run that was stopped goes on from here.
        start: checkpoint to go on from; one of half the size is grown. Empty starts a new model.
        size: side of the faces in pixels.
        narrow, multiplier, style_dim, mapping_depth, encoder: of a new model, see ``GpenConfig``.
        steps: optimiser steps in all.
        batch: faces that a process takes at once. The ``stylegan2`` discriminator takes a standard deviation
            over groups of up to four of them.
        accumulate: batches whose gradients a process adds up before a step.
        processes, nodes: how many processes train together on each machine, and on how many machines
            (nodes). Under ``torchrun`` its own numbers hold.
        workers: processes that load and degrade faces, for each process that trains.
        learning_rate: Adam's, for both networks.
        drop_at, drop_to: after ``drop_at`` completed steps the learning rate becomes ``drop_to``; 0 keeps
            the rate as it is.
        old_size, old_rate: of a grown model: the size it was grown from, and the share of the learning rate
            that its old layers get; 0 makes no difference between layers.
        ema_decay: share of the old average kept at each step; the average is what ships.
        pixel, perceptual, identity and so on: weight of each term in ``losses.TERMS``, which describes them.
        adversarial: weight of the adversarial term; 0 trains no discriminator.
        discriminator: ``stylegan2``, with the logistic loss, or ``projected``, on features of VGG-19 and with
            the hinge loss.
        r1: of ``stylegan2``, weight γ of the gradient penalty γ/2·|∇D|² (Mescheder et al. 2018), every
            ``r1_every`` steps.
        discriminator_size: side of what ``stylegan2`` sees; smaller than ``size`` means random windows.
        networks: files of the weights that some terms need.
        recipe: how the faces are degraded, in pixels of the stored faces.
        seed: of weights, order and degradation.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``, as Lightning Fabric calls them.
        compile: run the networks through ``torch.compile``.
        sample_every, save_every: steps between evaluations with sample sheets, and between resumable states.
        tensorboard: log for TensorBoard, too.
    """

    faces: str = ""
    min_true_size: float = 0.0
    run: str = ""
    start: str = ""
    size: int = 256
    narrow: float = 0.25
    multiplier: float = 1.0
    style_dim: int = 256
    mapping_depth: int = 4
    encoder: Encoder = "conv"
    steps: int = 10_000
    batch: int = 8
    accumulate: int = 1
    processes: int = 1
    nodes: int = 1
    workers: int = 1
    learning_rate: float = 2e-3
    drop_at: int = 0
    drop_to: float = 2e-5
    old_size: int = 0
    old_rate: float = 0.1
    ema_decay: float = 0.999
    adversarial: float = 0.0
    discriminator: DiscriminatorKind = "stylegan2"
    r1: float = 10.0
    r1_every: int = 16
    discriminator_size: int = 128
    seed: int = 0
    precision: Precision = "32-true"
    compile: bool = False
    sample_every: int = 500
    save_every: int = 500
    tensorboard: bool = False
    networks: Networks = field(default_factory=Networks)
    recipe: DegradationRecipe = field(default_factory=DegradationRecipe)

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            _check(option.name, getattr(self, option.name), option.default)
        for network in dataclasses.fields(self.networks):
            _check(f"networks.{network.name}", getattr(self.networks, network.name), network.default)
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                raise OptionError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(get_args(kind))}."
                )
        if self.adversarial and self.discriminator == "stylegan2" and self.discriminator_size > self.size:
            raise OptionError(
                f"discriminator_size {self.discriminator_size} is larger than the faces' size {self.size}; "
                "expected at most that."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """Build a config from plain values, such as those of a TOML file; recipe and networks are tables.

        Raises:
            OptionError: names the values that are unknown, of the wrong kind, or out of range.
        """
        values = dict(values)
        _check_names("training options", values, cls)
        for name, kind in (("recipe", DegradationRecipe), ("networks", Networks)):
            if name not in values:
                continue
            table = values[name]
            if not isinstance(table, dict):
                raise OptionError(f"{name} is {table!r}; expected a table.")
            _check_names(f"options of {name}", table, kind)
            ranges: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
            values[name] = kind(**ranges)
        return cls(**values)

    @property
    def weights(self) -> dict[str, float]:
        """λ of every term of the objective, by name."""
        return {name: getattr(self, name) for name in TERMS}

    def rate(self, step: int) -> float:
        """The learning rate of the step that follows ``step`` completed ones."""
        return self.drop_to if 0 < self.drop_at <= step else self.learning_rate


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """The config of a TOML file.

    Args:
        overrides: ``name=value`` or ``table.name=value``; they replace what the file says. A value is read
            as TOML; if it is not valid TOML it is taken as text, so that paths need no quotes.

    Raises:
        OptionError: the file can't be read, or an option makes no sense.
    """
    try:
        values = _loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # a TOMLDecodeError is a ValueError, and so is another encoding
        raise OptionError(f"{path} cannot be read as TOML: {error}.") from error
    for override in overrides:
        name, found, value = override.partition("=")
        if not found:
            raise OptionError(f"Found {override!r}; expected name=value, such as steps=1000.")
        *tables, last = name.strip().split(".")
        inner = values
        for table in tables:
            inner = inner.setdefault(table, {})
            if not isinstance(inner, dict):
                raise OptionError(f"{override}: {table} is no table.")
        inner[last] = _value(value.strip())
    return TrainingConfig.from_dict(values)


def to_toml(config: TrainingConfig) -> str:
    """The config as a TOML file that ``read_config`` reads back."""
    plain, tables = [], []
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, dict):
            tables += ["", f"[{name}]", *(f"{key} = {_quoted(x)}" for key, x in value.items())]
        else:
            plain.append(f"{name} = {_quoted(value)}")
    return "\n".join([*plain, *tables]) + "\n"


def _quoted(value: Any) -> str:
    # TOML writes strings as JSON does, except for escaped characters beyond 16 bits: none is escaped here.
    return json.dumps(value, ensure_ascii=False)


def _loads(text: str) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # pyright: ignore[reportMissingImports]  # there on 3.10 alone
    return tomllib.loads(text)


def _value(text: str) -> Any:
    try:
        return _loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _check_names(what: str, values: Mapping[str, Any], cls: type) -> None:
    names = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - names):
        raise OptionError(f"Unknown {what}: {', '.join(unknown)}. Known: {', '.join(sorted(names))}.")


def _check(name: str, value: Any, default: Any) -> None:
    """Check one value against its default's type. A float is a weight, a rate or a width: at least 0."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, bool):
        valid, expected = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        lowest = 0 if name in _FROM_ZERO else 1
        valid = is_number and isinstance(value, int) and value >= lowest
        expected = f"a whole number from {lowest}"
    elif isinstance(default, float):
        valid, expected = is_number and value >= 0, "a number from 0"
    elif isinstance(default, str):
        valid, expected = isinstance(value, str), "text"
    else:
        return
    if not valid:
        raise OptionError(f"{name} is {value!r}; expected {expected}.")
