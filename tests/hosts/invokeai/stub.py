"""What we touch of InvokeAI, for machines without it. None of it is the host's code."""

from __future__ import annotations

import inspect
import logging
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field, RootModel, create_model

INVOCATIONS: dict[str, type] = {}
OUTPUTS: dict[str, type] = {}


class Input(str, Enum):
    Any, Connection, Direct = "any", "connection", "direct"


class ImageCategory(str, Enum):
    GENERAL, MASK = "general", "mask"


class ImageField(BaseModel):
    image_name: str


class BoardField(BaseModel):
    board_id: str


class MetadataField(RootModel[dict[str, Any]]):
    pass


class BoundingBoxField(BaseModel):
    x_min: int = Field(ge=0)
    x_max: int = Field(ge=0)
    y_min: int = Field(ge=0)
    y_max: int = Field(ge=0)
    score: float | None = Field(default=None, ge=0, le=1)


class WithMetadata(BaseModel):
    metadata: MetadataField | None = None


class WithBoard(BaseModel):
    board: BoardField | None = None


class BaseInvocation(BaseModel):
    id: str = "node"
    is_intermediate: bool = False
    use_cache: bool = True
    model_config = {"protected_namespaces": (), "validate_assignment": True}


class BaseInvocationOutput(BaseModel):
    model_config = {"protected_namespaces": ()}


class InvocationContext:
    pass


class CanceledException(Exception):
    pass


def InputField(  # the host's name
    default: Any = None, input: Input = Input.Any, ui_order: int | None = None, **more: Any
) -> Any:
    """As the host's: no input has to be there before its node runs."""
    return Field(default=default, json_schema_extra={"input": input.value, "ui_order": ui_order}, **more)


def OutputField(**more: Any) -> Any:
    return Field(**more)


def _typed(cls: type[BaseModel], name: str) -> type:
    fields: dict[str, Any] = {"type": (Literal[name], Field(default=name))}
    made = create_model(cls.__qualname__, __base__=cls, __module__=cls.__module__, **fields)
    made.__doc__ = cls.__doc__
    return made


def invocation(type: str, title: str, tags: list[str], category: str, version: str) -> Any:
    def register(cls: Any) -> Any:
        output = inspect.signature(cls.invoke).return_annotation
        assert issubclass(output, BaseInvocationOutput), "the host takes what invoke() returns for a class"
        made: Any = _typed(cls, type)
        pack = cls.__module__.split(".")[0]
        made.UIConfig = SimpleNamespace(
            title=title, tags=tags, category=category, version=version, node_pack=pack
        )
        INVOCATIONS[type] = made
        return made

    return register


def invocation_output(type: str) -> Any:
    def register(cls: Any) -> Any:
        OUTPUTS[type] = made = _typed(cls, type)
        return made

    return register


@invocation_output("image_output")
class ImageOutput(BaseInvocationOutput):
    image: ImageField
    width: int
    height: int


class TorchDevice:
    @classmethod
    def choose_torch_device(cls) -> torch.device:
        return torch.device("cpu")

    @classmethod
    def choose_torch_dtype(cls) -> torch.dtype:
        return torch.float32


class InvokeAILogger:
    @classmethod
    def get_logger(cls) -> logging.Logger:
        return logging.getLogger("InvokeAI")


API = [BaseInvocation, BaseInvocationOutput, BoundingBoxField, ImageCategory, ImageField, ImageOutput, Input]
API += [InputField, InvocationContext, OutputField, WithBoard, WithMetadata, invocation, invocation_output]


def install(folder: Path) -> None:
    """Put the stub into ``sys.modules``; ``folder`` is the host's root."""
    config = SimpleNamespace(models_path=folder / "models")
    parts: dict[str, dict[str, Any]] = {
        "app.invocations": {},
        "app.services.config.config_default": {"get_config": lambda: config},
        "app.services.session_processor.session_processor_common": {"CanceledException": CanceledException},
        "backend.util.devices": {"TorchDevice": TorchDevice},
        "backend.util.logging": {"InvokeAILogger": InvokeAILogger},
        "invocation_api": {one.__name__: one for one in API} | {"SEED_MAX": 2**32 - 1},
    }
    for path, content in parts.items():
        names = ["invokeai", *path.split(".")]
        for length in range(1, len(names) + 1):
            name = ".".join(names[:length])
            if name not in sys.modules:
                module = sys.modules[name] = ModuleType(name)
                module.__path__ = []
        vars(sys.modules[f"invokeai.{path}"]).update(content)
