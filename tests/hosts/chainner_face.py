"""chaiNNer's own *Load Model* and *Upscale Face*, run in a process of theirs: ``MODEL PHOTO DETECTOR OUT``.

The folder of chaiNNer's backend has to be on the path. In the place of what facexlib would download there are
its smaller detector, from DETECTOR, and a parser that takes the whole crop for skin.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import torch
from api import NodeContext
from api.settings import SettingsParser
from facexlib.detection.retinaface import RetinaFace
from facexlib.utils import face_restoration_helper
from packages.chaiNNer_pytorch.pytorch.io.load_model import load_model_node
from packages.chaiNNer_pytorch.pytorch.restoration.upscale_face import upscale_face_node

import gpen_nodes.spandrel
from gpen_nodes.checkpoints.read import read_tensors


class Context(NodeContext):
    """A node's surroundings, on the CPU."""

    aborted = paused = False  # type: ignore[assignment]
    settings = SettingsParser({"use_cpu": True})  # type: ignore[assignment]
    storage_dir = Path(tempfile.gettempdir())  # type: ignore[assignment]

    def set_progress(self, progress: float) -> None: ...

    def add_cleanup(self, fn: object, after: str = "chain") -> None: ...


class AllSkin(torch.nn.Module):
    def forward(self, face: torch.Tensor) -> tuple[torch.Tensor]:
        classes = torch.zeros(len(face), 19, *face.shape[2:])
        classes[:, 1] = 1
        return (classes,)


def detector(*_: object, **__: object) -> torch.nn.Module:
    network = RetinaFace(network_name="mobile0.25", device="cpu")
    state = read_tensors(sys.argv[3])
    network.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    return network.eval()


face_restoration_helper.init_detection_model = detector
face_restoration_helper.init_parsing_model = lambda **_: AllSkin()
gpen_nodes.spandrel.register()
model, _, name = load_model_node(Context(), Path(sys.argv[1]))
read = cv2.imread(sys.argv[2])
assert read is not None
photo = read.astype("float32") / 255
restored = upscale_face_node(Context(), photo, model, None, 2, 0.7)
cv2.imwrite(sys.argv[4], (restored * 255).round().astype("uint8"))
print(name, model.architecture.id, model.purpose)
