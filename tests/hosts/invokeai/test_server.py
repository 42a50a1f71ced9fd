"""What only a running InvokeAI shows: its graphs, gallery, cache of models, and installer of packs."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from PIL import Image

from gpen_nodes import (
    Checkpoint,
    Gpen,
    GpenConfig,
    LocalHost,
    from_uint8,
    get_restorer,
    restore_image,
    shipped_model,
    to_uint8,
    write_checkpoint,
)
from tests.hosts.invokeai.conftest import INSTALLED
from tests.hosts.invokeai.server import Server, clone

pytestmark = pytest.mark.skipif(not INSTALLED, reason="the package invokeai is not installed")
RESTORE = {"type": "gpen_restore_faces", "dtype": "fp32"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invokeai")
    # A model that takes a second or more for a face.
    model = Gpen(GpenConfig(512, 512, 1, 2))
    (folder / "models" / "gpen").mkdir(parents=True)
    write_checkpoint(
        Checkpoint(model.state_dict(), model.config), folder / "models" / "gpen" / "slow.safetensors"
    )
    server = Server(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def image(server, portrait):
    return server.put(portrait)


@pytest.fixture(scope="module")
def expected(portrait):
    """What the core makes of the portrait, on a CPU in fp32."""
    pixels = from_uint8(np.array(portrait))[None]
    result = restore_image(pixels, get_restorer(shipped_model(), "fp32"), host=LocalHost("cpu"))
    return to_uint8(result.image[0])


def pictures(server) -> int:
    return server.call("/api/v1/images/?limit=1&is_intermediate=false")["total"]


def test_the_pack_is_loaded_and_nothing_is_complained_of(server):
    said = server.said()
    assert "Loading node pack gpen-nodes" in said
    assert "Failed to load node pack" not in said
    assert "GPEN:" not in said
    assert "Overriding" not in said


def test_the_page_is_given_every_node_with_its_output(server):
    schemas = server.call("/openapi.json")["components"]["schemas"]
    ours = {name: one for name, one in schemas.items() if one.get("node_pack") == "gpen-nodes"}
    assert len(ours) == 7
    for name, one in ours.items():
        assert re.fullmatch("Gpen.*Invocation", name)
        output = schemas[one["output"]["$ref"].rpartition("/")[2]]
        assert output["class"] == "output"
    names = ours["GpenRestoreFacesInvocation"]["properties"]["model_name"]
    assert names["enum"] == ["gpen-lite-256.safetensors", "slow.safetensors"]


def test_one_node_gives_what_the_core_gives(server, image, expected):
    output = server.run({"restore": {**RESTORE, "image": image}})["restore"]
    assert np.array_equal(server.get(output["image"])[..., :3], expected)
    assert "restored" in output["report"]


def test_the_five_steps_give_the_same(server, image, expected):
    nodes = {
        "find": {"type": "gpen_find_faces", "image": image},
        "align": {"type": "gpen_align_faces", "image": image, "crop_size": 256},
        "restore": {"type": "gpen_restore_crops", "dtype": "fp32"},
        "judge": {"type": "gpen_judge_faces", "image": image},
        "paste": {"type": "gpen_paste_faces", "image": image},
    }
    edges = [
        ("find", "faces", "align", "faces"),
        ("align", "faces", "restore", "faces"),
        ("align", "faces", "judge", "aligned"),
        ("restore", "faces", "judge", "restored"),
        ("judge", "faces", "paste", "faces"),
    ]
    outputs = server.run(nodes, edges)
    assert np.array_equal(server.get(outputs["paste"]["image"])[..., :3], expected)
    assert server.get(outputs["restore"]["crops"][0]).shape[:2] == (256, 256)


def test_faces_and_crops_fit_the_hosts_own_nodes(server, image):
    nodes = {
        "find": {"type": "gpen_find_faces", "image": image},
        "align": {"type": "gpen_align_faces", "image": image},
        "each": {"type": "iterate"},
        "gray": {"type": "img_conv", "mode": "L"},
        "all": {"type": "collect"},
        "paste": {"type": "gpen_paste_faces", "image": image},
    }
    edges = [
        ("find", "faces", "align", "faces"),
        ("align", "crops", "each", "collection"),
        ("each", "item", "gray", "image"),
        ("gray", "image", "all", "item"),
        ("all", "collection", "paste", "crops"),
        ("align", "faces", "paste", "faces"),
    ]
    output = server.run(nodes, edges)["paste"]
    changed = server.get(output["mask"]) == 255
    red, green, blue = np.moveaxis(server.get(output["image"])[changed][:, :3].astype(int), 1, 0)
    assert max(np.abs(red - green).max(), np.abs(green - blue).max()) <= 1


def test_results_are_on_the_board_with_their_metadata(server, image):
    board = server.call("/api/v1/boards/?board_name=faces", method="POST")["board_id"]
    node = {
        **RESTORE,
        "image": image,
        "board": {"board_id": board},
        "metadata": {"why": "test"},
        "strength": 0.5,
    }
    output = server.run({"restore": node})["restore"]
    name = output["image"]["image_name"]
    assert server.call(f"/api/v1/images/i/{name}")["board_id"] == board
    assert server.call(f"/api/v1/images/i/{name}/metadata") == {"why": "test"}


def test_a_model_stays_in_the_hosts_cache(server, image):
    for strength in (0.3, 0.4):
        server.run({"restore": {**RESTORE, "image": image, "strength": strength}})
    (hits, misses), *_ = reversed(re.findall(r"cache hits: (\d+)\s+Model cache misses: (\d+)", server.said()))
    assert (int(hits), int(misses)) == (1, 0)


def test_cancel_stops_a_node_and_leaves_nothing(server, image):
    before = pictures(server)
    node = {**RESTORE, "image": image, "model_name": "slow.safetensors", "quarter_turns": True}
    item = server.start({"restore": node})
    while server.call(f"/api/v1/queue/default/i/{item}")["status"] == "pending":
        time.sleep(0.05)
    server.call(f"/api/v1/queue/default/i/{item}/cancel", method="PUT")
    assert server.finish(item)["status"] == "canceled"
    server.run({"degrade": {"type": "gpen_degrade", "image": image, "seed": 3}})  # after the other has ended
    assert pictures(server) == before + 1


def test_an_error_is_a_sentence_on_the_node(server, image):
    node = {**RESTORE, "image": image, "model_name": "gone.pth"}
    item = server.finish(server.start({"restore": node}))
    assert item["status"] == "failed"
    assert item["error_type"] == "MissingWeightsError"
    assert "gone.pth" in item["error_message"]


def test_the_installer_of_packs_takes_ours_again_and_imports_no_workflow(server, image, expected, tmp_path):
    if "/api/v2/custom_nodes/install" not in server.call("/openapi.json")["paths"]:
        pytest.skip("this version has no installer of packs")
    source = clone(tmp_path / "gpen-nodes")
    removed = server.call("/api/v2/custom_nodes/gpen-nodes", method="DELETE")
    assert removed["success"], removed
    installed = server.call("/api/v2/custom_nodes/install", {"source": str(source)})
    assert installed["success"], installed
    assert installed["workflows_imported"] == 0
    assert "Skipped non-workflow" not in server.said()
    (pack,) = server.call("/api/v2/custom_nodes/")["node_packs"]
    assert pack["node_count"] == 7
    server.call("/api/v2/custom_nodes/reload", method="POST")
    assert "Overriding" not in server.said()
    node = {**RESTORE, "image": image, "use_cache": False}
    output = server.run({"restore": node})["restore"]
    assert np.array_equal(server.get(output["image"])[..., :3], expected)


def test_an_image_without_a_face_comes_back_as_it_was(server):
    gray = Image.new("RGB", (80, 60), (90, 90, 90))
    output = server.run({"restore": {**RESTORE, "image": server.put(gray)}})["restore"]
    assert np.array_equal(server.get(output["image"]), np.asarray(gray))
