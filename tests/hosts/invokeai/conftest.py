"""InvokeAI for tests: the real package where it is installed, else a small stub of what we touch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import EVALUATION_RECIPE, degrade, to_uint8

pytest.importorskip("pydantic")
ROOT = Path(__file__).resolve().parents[3]
INSTALLED = importlib.util.find_spec("invokeai") is not None


def load_pack(name: str = "gpen-nodes") -> ModuleType:
    """Import the pack as the host does: from its folder, under the folder's name."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forget(*packages: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def invokeai(tmp_path_factory):
    """The host's modules, before a pack is loaded: ``api``, ``config`` and whether it is the real one."""
    root = tmp_path_factory.mktemp("invokeai")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVOKEAI_ROOT", str(root))
        patch.setattr(sys, "argv", sys.argv[:1])  # the host reads the command line
        if not INSTALLED:
            importlib.import_module("tests.hosts.invokeai.stub").install(root)
        config = importlib.import_module("invokeai.app.services.config.config_default").get_config()
        importlib.import_module("invokeai.app.invocations")
        api = importlib.import_module("invokeai.invocation_api")
        yield SimpleNamespace(api=api, config=config, real=INSTALLED)
    if not INSTALLED:
        forget("invokeai")


@pytest.fixture(scope="module")
def nodes(invokeai):
    """The pack's nodes, by their type."""
    pack: Any = load_pack()
    yield {
        node.model_fields["type"].default: node
        for node in map(vars(pack.invoke_nodes).get, pack.invoke_nodes.__all__)
    }
    forget("gpen-nodes")


class Loaded:
    """A model as the host's cache gives it."""

    def __init__(self, model: Any) -> None:
        self.model, self.asked = model, []

    @contextmanager
    def model_on_device(self, working_mem_bytes: int | None = None):
        self.asked.append(working_mem_bytes)
        yield None, self.model


class Context:
    """What a node is given: a gallery, a store of tensors, a cache of models, signals."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.pictures: dict[str, Image.Image] = {}
        self.categories: dict[str, Any] = {}
        self.kept: dict[str, torch.Tensor] = {}
        self.cache: dict[str, Loaded] = {}
        self.told: list[tuple[str, float | None, Any]] = []
        self.patience = 10**9
        self.images = SimpleNamespace(get_pil=self.get_pil, save=self.save_image)
        self.tensors = SimpleNamespace(save=self.save_tensor, load=lambda name: self.kept[name].clone())
        self.models = SimpleNamespace(load_local_model=self.load_model)
        self.util = SimpleNamespace(signal_progress=self.signal_progress, is_canceled=self.is_canceled)

    def put(self, picture: Image.Image) -> Any:
        """A picture in the gallery, as an input takes it."""
        return self.api.ImageField(image_name=self.save_image(picture).image_name)

    def get_pil(self, name: str, mode: str | None = None) -> Image.Image:
        picture = self.pictures[name]
        return picture.convert(mode) if mode else picture.copy()

    def save_image(self, image: Image.Image, image_category: Any = None) -> Any:
        name = f"{len(self.pictures)}.png"
        self.pictures[name], self.categories[name] = image, image_category
        return SimpleNamespace(image_name=name, width=image.width, height=image.height)

    def save_tensor(self, tensor: torch.Tensor) -> str:
        self.kept[name := str(len(self.kept))] = tensor
        return name

    def load_model(self, path: Path, loader: Any) -> Loaded:
        if str(path) not in self.cache:
            self.cache[str(path)] = Loaded(loader(path))
        return self.cache[str(path)]

    def signal_progress(self, message: str, percentage=None, image=None, image_size=None) -> None:
        self.told.append((message, percentage, image))

    def is_canceled(self) -> bool:
        self.patience -= 1
        return self.patience < 0

    def pixels(self, field: Any) -> np.ndarray:
        return np.asarray(self.pictures[field.image_name])


@pytest.fixture
def context(invokeai):
    return Context(invokeai.api)


@pytest.fixture(scope="session")
def portrait(astronaut) -> Image.Image:
    """One face that is worth restoring, 512×512."""
    degraded, _ = degrade(astronaut[None], EVALUATION_RECIPE, torch.Generator().manual_seed(0))
    return Image.fromarray(to_uint8(degraded[0]))
