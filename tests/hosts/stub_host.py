"""Runs prompts on the stub: our nodes, and the few of ComfyUI's own that the example workflows use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image


def describe(links: dict[str, str], widgets: tuple[str, ...] = ()) -> dict[str, Any]:
    required = {name: (kind, {}) for name, kind in links.items()}
    return {"input": {"required": required | {name: ("STRING", {}) for name in widgets}}}


CORE = {
    "LoadImage": describe({}, ("image",)),
    "SaveImage": describe({"images": "IMAGE"}, ("filename_prefix",)),
    "SaveVideo": describe({"video": "VIDEO"}, ("filename_prefix", "format", "codec")),
    "CreateVideo": describe({"images": "IMAGE", "audio": "AUDIO"}, ("fps", "bit_depth")),
    "ImageCompare": describe({"image_a": "IMAGE", "image_b": "IMAGE"}, ("compare_view",)),
    "PreviewImage": describe({"images": "IMAGE"}),
    "PreviewAny": describe({"source": "*"}),
    "ImageScaleBy": describe({"image": "IMAGE"}, ("upscale_method", "scale_by")),
    "LoadVideo": describe({}, ("file",)),
    "GetVideoComponents": describe({"video": "VIDEO"}),
}


class StubHost:
    """Nodes run in the order of their dependencies; nothing is cached. Lazy inputs come if asked for."""

    def __init__(self, nodes: dict[str, Any], folder: Path) -> None:
        self.nodes, self.folder = nodes, folder

    def info(self, node: str) -> dict[str, Any]:
        return CORE[node] if node in CORE else self.nodes[node].GET_NODE_INFO_V1()

    def put(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """What each output node shows: ``images`` as uint8 arrays, or ``text``."""
        results: dict[str, tuple[Any, ...]] = {}
        shown: dict[str, Any] = {}

        def result(number: str) -> tuple[Any, ...]:
            if number not in results:
                node = prompt[number]
                own = self.nodes.get(node["class_type"])
                links = {name: value for name, value in node["inputs"].items() if isinstance(value, list)}
                late = lazy(self.info(node["class_type"])) & {*links}
                inputs = node["inputs"] | dict.fromkeys(late)
                inputs |= {k: result(v[0])[v[1]] for k, v in links.items() if k not in late}
                for name in own.check_lazy_status(**inputs) if own is not None and late else ():
                    inputs[name] = result(links[name][0])[links[name][1]]
                if blockers := [*filter(is_blocker, inputs.values())]:
                    results[number] = (blockers[0],) * 9
                elif own is not None:
                    results[number] = own.execute(**inputs).args
                else:
                    results[number] = self.core(node["class_type"], inputs, shown.setdefault(number, {}))
            return results[number]

        with torch.inference_mode():
            for number in prompt:
                result(number)
        return {number: out for number, out in shown.items() if out}

    def core(self, node: str, inputs: dict[str, Any], shown: dict[str, Any]) -> tuple[Any, ...]:
        if node == "LoadImage":
            pixels = np.asarray(Image.open(self.folder / inputs["image"]).convert("RGB"))
            return torch.from_numpy(pixels.copy())[None] / 255, torch.zeros(1, 64, 64)
        if node in ("SaveImage", "PreviewImage"):
            assert len(inputs["images"]), "the host's own nodes fail on an empty batch"
            shown["images"] = [(image * 255).clip(0, 255).byte().numpy() for image in inputs["images"]]
            return ()
        if node == "ImageCompare":
            return ()
        if node == "CreateVideo":
            return ((inputs["images"], inputs["audio"], inputs["fps"]),)
        if node == "SaveVideo":
            shown["video"] = inputs["video"]
            return ()
        if node == "PreviewAny":
            shown["text"] = inputs["source"]
            return (inputs["source"],)
        if node == "ImageScaleBy":
            return (scaled(inputs["image"], inputs["scale_by"]),)
        if node == "LoadVideo":
            return (str(self.folder / inputs["file"]),)
        assert node == "GetVideoComponents"
        video = cv2.VideoCapture(inputs["video"])
        frames = []
        while (read := video.read())[0]:
            frames.append(torch.from_numpy(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)) / 255)
        return torch.stack(frames), "its sound", 8.0


def lazy(info: dict[str, Any]) -> set[str]:
    inputs = [*info["input"]["required"].items(), *info["input"].get("optional", {}).items()]
    return {name for name, (_, options) in inputs if options.get("lazy")}


def is_blocker(value: Any) -> bool:
    return type(value).__name__ == "ExecutionBlocker"


def scaled(image: torch.Tensor, factor: float) -> torch.Tensor:
    """As ComfyUI's "lanczos": Pillow's, on 8 bits."""
    size = round(image.shape[2] * factor), round(image.shape[1] * factor)
    pictures = [Image.fromarray((255 * one.numpy()).clip(0, 255).astype(np.uint8)) for one in image]
    resized = [np.asarray(one.resize(size, Image.Resampling.LANCZOS)) for one in pictures]
    return torch.from_numpy(np.stack(resized)).float() / 255
