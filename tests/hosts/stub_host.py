"""Runs prompts on the stub: our nodes, and the few of ComfyUI's own that the example workflows use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

WEBP = ("filename_prefix", "fps", "lossless", "quality", "method")
STITCH = ("direction", "match_image_size", "spacing_width", "spacing_color")


def describe(links: dict[str, str], widgets: tuple[str, ...] = ()) -> dict[str, Any]:
    required = {name: (kind, {}) for name, kind in links.items()}
    return {"input": {"required": required | {name: ("STRING", {}) for name in widgets}}}


CORE = {
    "LoadImage": describe({}, ("image",)),
    "SaveImage": describe({"images": "IMAGE"}, ("filename_prefix",)),
    "SaveAnimatedWEBP": describe({"images": "IMAGE"}, WEBP),
    "PreviewImage": describe({"images": "IMAGE"}),
    "PreviewAny": describe({"source": "*"}),
    "ImageScaleBy": describe({"image": "IMAGE"}, ("upscale_method", "scale_by")),
    "ImageStitch": describe({"image1": "IMAGE", "image2": "IMAGE"}, STITCH),
    "LoadVideo": describe({}, ("file",)),
    "GetVideoComponents": describe({"video": "VIDEO"}),
}


class StubHost:
    """Nodes run in the order of their numbers' dependencies; nothing is cached."""

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
                inputs = {
                    name: result(value[0])[value[1]] if isinstance(value, list) else value
                    for name, value in node["inputs"].items()
                }
                if node["class_type"] in self.nodes:
                    results[number] = self.nodes[node["class_type"]].execute(**inputs).args
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
        if node in ("SaveImage", "SaveAnimatedWEBP", "PreviewImage"):
            shown["images"] = [(image * 255).clip(0, 255).byte().numpy() for image in inputs["images"]]
            return ()
        if node == "PreviewAny":
            shown["text"] = inputs["source"]
            return (inputs["source"],)
        if node == "ImageScaleBy":
            return (scaled(inputs["image"], inputs["scale_by"]),)
        if node == "ImageStitch":
            first, second = inputs["image1"], inputs["image2"]
            return (torch.cat([first, torch.ones_like(first[:, :, : inputs["spacing_width"]]), second], 2),)
        if node == "LoadVideo":
            return (str(self.folder / inputs["file"]),)
        assert node == "GetVideoComponents"
        video = cv2.VideoCapture(inputs["video"])
        frames = []
        while (read := video.read())[0]:
            frames.append(torch.from_numpy(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)) / 255)
        return torch.stack(frames), None, 8.0


def scaled(image: torch.Tensor, factor: float) -> torch.Tensor:
    """As ComfyUI's "lanczos": Pillow's, on 8 bits."""
    size = round(image.shape[2] * factor), round(image.shape[1] * factor)
    pictures = [Image.fromarray((255 * one.numpy()).clip(0, 255).astype(np.uint8)) for one in image]
    resized = [np.asarray(one.resize(size, Image.Resampling.LANCZOS)) for one in pictures]
    return torch.from_numpy(np.stack(resized)).float() / 255
