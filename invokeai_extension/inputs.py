"""Inputs that follow the core's options, as mixins of the nodes, like the host's own ``WithBoard``."""
# pyright: reportMissingImports=false

import importlib.util
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from invokeai.invocation_api import InputField
from pydantic import BaseModel, ConfigDict, WithJsonSchema, create_model

from gpen_nodes import DETECTORS, ORDERS, DegradationRecipe, Option, RestoreOptions

from .models import SHIPPED, model_names

__all__ = [
    "AlignInputs",
    "DetectInputs",
    "JudgeInputs",
    "ModelInputs",
    "PasteInputs",
    "RecipeInputs",
    "SelectInputs",
    "options_of",
]

OPTIONS = RestoreOptions().described()
# 0 in the page stands for no limit, as JSON knows no infinity.
UNLIMITED = {name: one.default for name, one in OPTIONS.items() if one.default == math.inf}
UNLIMITED["max_faces"] = None
# Some of the core's choices need what isn't there: another image to be like, or facexlib, which is not to be
# advised here, since pip would put another opencv over the host's with it.
CHOICES = {
    "detector": DETECTORS if importlib.util.find_spec("facexlib") else DETECTORS[:1],
    "order": ORDERS,
}


def _inputs(name: str, *options: str) -> Any:
    """A mixin with an input for each of these options of the core."""
    fields: dict[str, Any] = {id: _input(id, OPTIONS[id]) for id in options}
    return create_model(name, __module__=__name__, **fields)


def _input(id: str, one: Option) -> tuple[Any, Any]:
    """The type of one option's input and the input, with the option's default, range, choices and text."""
    choices = CHOICES.get(id, one.choices)
    kind: Any = Literal[choices] if choices else one.kind
    more: dict[str, Any] = {"gt" if one.above else "ge": one.low} if one.low > -math.inf else {}
    if one.high < math.inf:
        more["le"] = one.high
    if id in UNLIMITED:
        text = one.text.rstrip(".") + "; 0 is no limit."
        return kind, InputField(default=0, ge=0, description=text)
    if id == "indices":
        return str, InputField(default="", description=one.text)
    return kind, InputField(default=one.default, description=one.text, **more)


def options_of(node: BaseModel, *mixins: type[BaseModel]) -> dict[str, Any]:
    """What a node's mixins hold, as keywords of the core."""
    values = {id: getattr(node, id) for mixin in mixins for id in mixin.model_fields}
    return {id: UNLIMITED[id] if id in UNLIMITED and not value else value for id, value in values.items()}


DetectInputs = _inputs("DetectInputs", "detector", "min_score", "quarter_turns")
SelectInputs = _inputs("SelectInputs", "max_faces", "order", "min_face", "max_face", "indices")
AlignInputs = _inputs("AlignInputs", "template")
JudgeInputs = _inputs("JudgeInputs", "colour", "keep_detail", "grain", "keep_front", "guard_identity")
PasteInputs = _inputs("PasteInputs", "strength", "softness", "match_colour")


def _recipe_inputs() -> Any:
    """A mixin with both ends of each range of the degradation recipe."""
    limits, fields = DegradationRecipe.limits(), {}
    for id, default in DegradationRecipe.defaults().items():
        for end, value in zip(("min", "max"), default, strict=True) if isinstance(default, tuple) else ():
            low, high = limits[id]
            text = f"The {'least' if end == 'min' else 'greatest'} {id.replace('_', ' ')} of a random recipe."
            fields[f"{id}_{end}"] = (float, InputField(default=value, ge=low, le=high, description=text))
    return create_model("RecipeInputs", __module__=__name__, **fields)


RecipeInputs = _recipe_inputs()


def recipe_ranges(node: BaseModel) -> Mapping[str, tuple[float, float]]:
    """The ranges that a node's ``RecipeInputs`` hold, by the recipe's names."""
    names = {id.removesuffix("_min") for id in RecipeInputs.model_fields if id.endswith("_min")}
    return {id: (getattr(node, f"{id}_min"), getattr(node, f"{id}_max")) for id in names}


class ModelInputs(BaseModel):
    """Which model restores, and what it computes in."""

    model_config = ConfigDict(protected_namespaces=())

    # A list in the page, but any name in a graph: files come and go while the host runs, and a graph that
    # names one that is gone has to be read, and to end in our sentence on it.
    model_name: Annotated[str, WithJsonSchema({"type": "string", "enum": model_names()})] = InputField(
        default=SHIPPED,
        description="The first one ships with the pack; others lie in models/gpen when InvokeAI starts.",
    )
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = InputField(
        default="auto", description="What the network computes in; auto is InvokeAI's own precision."
    )
