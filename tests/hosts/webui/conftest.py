"""Stable Diffusion WebUI for tests: a real one where WEBUI_DIR names its folder; stubs in any case."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import (
    EVALUATION_RECIPE,
    Checkpoint,
    Gpen,
    GpenConfig,
    LocalHost,
    degrade,
    forget_restorers,
    from_uint8,
    get_restorer,
    restore_image,
    shipped_model,
    to_uint8,
    write_checkpoint,
)
from tests.hosts.webui import stub
from tests.hosts.webui.server import ROOT, WEBUI_DIR, Server


class StubHost:
    """A stub in sys.modules, with our extension in it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.modules = stub.build(name, folder)
        sys.modules.update(self.modules)
        self.shared, self.told = self.modules["modules.shared"], self.modules["modules"].told
        self.script = self.load()

    def load(self, root: Path = ROOT) -> ModuleType:
        """Run the extension's script as the host does: by its path, without a place in sys.modules."""
        spec = importlib.util.spec_from_file_location("gpen.py", root / "scripts" / "gpen.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def door(self, part: str) -> ModuleType:
        return importlib.import_module(f"a1111_extension.{part}")

    def start(self, app) -> None:
        """Tell the extension that the host has started."""
        (callback,) = [callback for known, callback in self.told if known == "on_app_started"]
        callback(None, app)


def _forget_extension() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "a1111_extension"]:
        del sys.modules[name]


@pytest.fixture(params=stub.HOSTS)
def host(request, tmp_path, monkeypatch):
    """Each of the hosts as a stub, and no model resident."""
    before, path = dict(sys.modules), list(sys.path)
    _forget_extension()
    monkeypatch.syspath_prepend(str(ROOT))
    folder = tmp_path / "models"
    folder.mkdir()
    made = StubHost(request.param, folder)
    yield made
    forget_restorers()
    _forget_extension()
    for name in made.modules:
        sys.modules.pop(name, None)
    sys.modules.update({name: before[name] for name in made.modules if name in before})
    sys.path[:] = path


@pytest.fixture(scope="session")
def portrait(astronaut) -> Image.Image:
    """One face that is worth restoring, 512×512."""
    degraded, _ = degrade(astronaut[None], EVALUATION_RECIPE, torch.Generator().manual_seed(0))
    return Image.fromarray(to_uint8(degraded[0]))


@pytest.fixture(scope="session")
def expected():
    """What the core makes of a picture and options, on a CPU in fp32: RGB as uint8."""

    def restored(image: Image.Image, **options) -> np.ndarray:
        model = get_restorer(shipped_model(), "fp32")
        pixels = from_uint8(np.array(image.convert("RGB")))
        return to_uint8(restore_image(pixels, model, host=LocalHost("cpu"), **options).image[0]).astype(int)

    return restored


@pytest.fixture(scope="session")
def start(tmp_path_factory, portrait):
    """Start the real host with flags of one's own."""
    if not WEBUI_DIR:
        pytest.skip("WEBUI_DIR names no WebUI")
    servers = []

    def run(*flags: str, network: bool = False) -> Server:
        folder = tmp_path_factory.mktemp("webui")
        portrait.save(folder / "portrait.png")
        servers.append(Server(folder, folder / "portrait.png", *flags, network=network))
        return servers[-1]

    yield run
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def server(start):
    """The real host with its page and its API, and GPEN also in txt2img and img2img."""
    return start("--api", network=True)


@pytest.fixture(scope="session")
def slow(server):
    """The name of a model that takes about a second for a face."""
    model, path = Gpen(GpenConfig(512, 512, 1, 2)), server.folder / "models" / "GPEN" / "slow.safetensors"
    write_checkpoint(Checkpoint(model.state_dict(), model.config), path)
    return path.name
