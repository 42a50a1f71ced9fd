"""Stable Diffusion WebUI for tests: a real one where WEBUI_DIR names its folder; stubs in any case."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from gpen_nodes import EVALUATION_RECIPE, degrade, get_restorer, restore_image, shipped_model, to_uint8
from gpen_nodes.host import LocalHost
from tests.hosts.webui.server import WEBUI_DIR, Server


@pytest.fixture(scope="session")
def portrait(astronaut) -> Image.Image:
    """One face that is worth restoring, 512×512."""
    degraded, _ = degrade(astronaut[None], EVALUATION_RECIPE, torch.Generator().manual_seed(0))
    return Image.fromarray(to_uint8(degraded[0]))


@pytest.fixture(scope="session")
def expected():
    """What the core makes of a picture and options, on a CPU in fp32: RGB as uint8."""

    def restored(image: Image.Image, **options):
        from numpy import asarray

        pixels = torch.from_numpy(asarray(image.convert("RGB")).copy()).float() / 255
        model = get_restorer(shipped_model(), "fp32")
        return to_uint8(restore_image(pixels, model, host=LocalHost("cpu"), **options).image[0]).astype(int)

    return restored


@pytest.fixture(scope="session")
def start(tmp_path_factory, portrait):
    """Start the real host with flags of one's own."""
    if not WEBUI_DIR:
        pytest.skip("WEBUI_DIR names no WebUI")
    servers = []

    def run(*flags: str) -> Server:
        folder = tmp_path_factory.mktemp("webui")
        portrait.save(folder / "portrait.png")
        servers.append(Server(folder, folder / "portrait.png", *flags))
        return servers[-1]

    yield run
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def server(start):
    """The real host with its page and its API, and GPEN also in txt2img and img2img."""
    return start("--api")
