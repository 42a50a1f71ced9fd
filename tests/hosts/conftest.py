"""ComfyUI for tests: a real one where COMFYUI_DIR names its folder, else a small stub of what we touch."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gpen_nodes import forget_restorers
from tests.hosts.server import COMFYUI_DIR, Server

ROOT = Path(__file__).resolve().parents[2]


def _load_pack(name: str = "/ComfyUI/custom_nodes/gpen-nodes"):
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, asyncio.run(module.comfy_entrypoint())


@pytest.fixture(scope="session")
def load_pack():
    """Load the pack as the host does: from its folder, under a name made of a path."""
    return _load_pack


@pytest.fixture(scope="session")
def comfyui():
    """The host's modules and our nodes in it, by id."""
    folder = COMFYUI_DIR or str(Path(__file__).parent / "stub")
    before = list(sys.path)
    sys.path.insert(0, folder)
    importlib.import_module("comfy.cli_args").args.cpu = True
    names = ("comfy.model_management", "comfy.model_patcher", "comfy.utils", "comfy.cli_args", "folder_paths")
    host: dict[str, Any] = {name.rpartition(".")[2]: importlib.import_module(name) for name in names}
    pack, extension = _load_pack()
    nodes = asyncio.run(extension.get_node_list())
    host["door"] = sys.modules[type(extension).__module__]
    host["nodes"] = {node.define_schema().node_id: node for node in nodes}
    host["pack"] = pack
    yield SimpleNamespace(**host)
    sys.path[:] = before


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real ComfyUI with our pack in it."""
    if not COMFYUI_DIR:
        pytest.skip("COMFYUI_DIR names no ComfyUI")
    server = Server(COMFYUI_DIR, tmp_path_factory.mktemp("comfyui"))
    yield server
    server.close()


@pytest.fixture
def models(comfyui, tmp_path, monkeypatch):
    """The host's folder ``models``, empty but for what a test puts there; no model is resident."""
    known = {"gpen": ([str(tmp_path / "gpen")], {".pth", ".pt", ".safetensors", ".onnx"})}
    (tmp_path / "gpen").mkdir()
    monkeypatch.setattr(comfyui.folder_paths, "folder_names_and_paths", known)
    if hasattr(comfyui.folder_paths, "filename_list_cache"):
        monkeypatch.setattr(comfyui.folder_paths, "filename_list_cache", {})
    forget_restorers()
    yield tmp_path
    forget_restorers()


@pytest.fixture
def run(comfyui):
    """Run a node with the defaults of all inputs that aren't given, as the host does."""

    def call(node_id, **inputs):
        node = comfyui.nodes[node_id]
        required = node.GET_NODE_INFO_V1()["input"]["required"]
        defaults = {name: spec[1]["default"] for name, spec in required.items() if "default" in spec[1]}
        with torch.inference_mode():
            return node.execute(**defaults | inputs).args

    return call
