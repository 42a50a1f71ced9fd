"""From a graph as ComfyUI's page saves it to the prompt that its HTTP API takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "IMAGECOMPARE", "COMFY_DYNAMICCOMBO_V3")


def to_prompt(graph: dict[str, Any], info: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Link the nodes by number and give each widget's value its name.

    Args:
        graph: version 0.4 of the page's format.
        info: gives a node's description, as ``/object_info`` has it.
    """
    links = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}
    prompt = {}
    for node in graph["nodes"]:
        if node["type"] == "Note":
            continue
        groups = info(node["type"])["input"]
        values = iter(node["widgets_values"])
        inputs = {}
        for name, (kind, *options) in [*groups["required"].items(), *groups.get("optional", {}).items()]:
            if isinstance(kind, list) or kind in WIDGETS:
                default = options[0].get("default") if options else None
                inputs[name] = next(values, default)
                if options and options[0].get("control_after_generate"):
                    next(values)
        linked = {one["name"]: links[one["link"]] for one in node["inputs"] if one["link"] is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs | linked}
    return prompt
