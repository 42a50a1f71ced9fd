"""V3 nodes, as 0.3.64 has them: a Schema without search aliases, inputs that take no extra values."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class ComfyExtension(ABC):
    @abstractmethod
    async def get_node_list(self): ...


def _type(io_type, *, widget, **known):
    class Input:
        def __init__(self, id, display_name=None, optional=False, tooltip=None, lazy=None, **options):
            allowed = {*known, *(("default", "socketless", "force_input") if widget else ())}
            if not set(options) <= allowed:
                raise TypeError(f"{io_type} knows no {sorted(set(options) - allowed)}")
            self.id, self.io_type, self.optional, self.tooltip = id, io_type, optional, tooltip
            self.options, self.extra_dict = {**known, **options}, {}
            self.lazy = lazy

        def as_dict(self):
            values = {"tooltip": self.tooltip, "lazy": self.lazy, **self.options, **self.extra_dict}
            return {name: value for name, value in values.items() if value is not None}

    class Output:
        def __init__(self, id=None, display_name=None, tooltip=None, is_output_list=False):
            self.id, self.io_type, self.tooltip = id, io_type, tooltip
            self.display_name = display_name or io_type

    return SimpleNamespace(Input=Input, Output=Output, io_type=io_type)


@dataclass
class Schema:
    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)
    description: str = ""
    is_output_node: bool = False


class ComfyNode:
    hidden = None

    @classmethod
    def define_schema(cls) -> Schema:
        raise NotImplementedError

    @classmethod
    def GET_NODE_INFO_V1(cls):
        schema = cls.define_schema()
        groups: dict[str, dict[str, Any]] = {"required": {}, "optional": {}}
        if schema.hidden:
            groups["hidden"] = {one.lower(): (one,) for one in schema.hidden}
        for one in schema.inputs:
            groups["optional" if one.optional else "required"][one.id] = (one.io_type, one.as_dict())
        return {
            "input": groups,
            "output": [one.io_type for one in schema.outputs],
            "output_name": [one.display_name for one in schema.outputs],
            "output_tooltips": [one.tooltip for one in schema.outputs],
            "name": schema.node_id,
            "display_name": schema.display_name,
            "category": schema.category,
            "description": schema.description,
        }


class NodeOutput:
    def __init__(self, *args, ui=None, block_execution=None):
        self.args, self.ui = args, ui

    @property
    def result(self):
        return self.args


_NUMBER = {"min": None, "max": None, "step": None}
io = SimpleNamespace(
    Schema=Schema,
    ComfyNode=ComfyNode,
    NodeOutput=NodeOutput,
    Input=object,
    Hidden=SimpleNamespace(unique_id="UNIQUE_ID", prompt="PROMPT"),
    Custom=lambda io_type: _type(io_type, widget=False),
    Image=_type("IMAGE", widget=False),
    Mask=_type("MASK", widget=False),
    Int=_type("INT", widget=True, control_after_generate=None, **_NUMBER),
    Float=_type("FLOAT", widget=True, round=None, **_NUMBER),
    Boolean=_type("BOOLEAN", widget=True),
    String=_type("STRING", widget=True, multiline=None),
    Combo=_type("COMBO", widget=True, options=None),
)
