"""What only a running WebUI shows of memory: one model, the host's flags, and a sentence when it fails."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest

from tests.hosts.webui.server import HAS_RESTORERS, encoded, pixels

pytestmark = pytest.mark.skipif(not HAS_RESTORERS, reason="no WebUI that has face restorers")
ACCOUNT = "me:secret"
CHOOSE = {"face_restoration_model": "GPEN"}
# Hosts skip what they don't know.
FRUGAL = ["--lowvram", "--medvram", "--always-offload-from-vram", "--use-cpu", "gpen"]


@pytest.fixture(scope="module")
def frugal(start, tmp_path_factory, tiny_checkpoint):
    """A host without a page, with accounts, and with all flags that GPEN obeys."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(tiny_checkpoint, folder / "elsewhere.safetensors")
    return start("--nowebui", "--api", "--api-auth", ACCOUNT, "--gpen-models-path", str(folder), *FRUGAL)


def memory(server) -> dict:
    return server.call("/test/memory")[1]


def cleared_by(server, request: dict, account: str = "") -> int:
    """How often the host's device was cleared for a request of ours, the model being there."""
    server.call("/gpen/v1/restore", request, account)
    before = memory(server)["cleared"]
    assert server.call("/gpen/v1/restore", request, account)[0] == 200
    return memory(server)["cleared"] - before


def test_the_route_takes_the_hosts_accounts(frugal, portrait):
    for path, data in (("/gpen/v1/models", None), ("/gpen/v1/restore", {"image": encoded(portrait)})):
        assert frugal.call(path, data)[0] == 401
        assert frugal.call(path, data, "me:wrong")[0] == 401
        assert frugal.call(path, data, ACCOUNT)[0] == 200


def test_models_of_another_folder_are_found(frugal, portrait):
    _, found = frugal.call("/gpen/v1/models", account=ACCOUNT)
    assert "elsewhere.safetensors" in [one["name"] for one in found]
    request = {"image": encoded(portrait), "model": "elsewhere.safetensors"}
    status, reply = frugal.call("/gpen/v1/restore", request, ACCOUNT)
    assert status == 200
    assert reply["faces"][0]["restored"]


def test_the_device_is_the_hosts_but_for_a_flag(server, frugal):
    assert memory(server)["device"] == "meta"
    assert memory(frugal)["device"] == "cpu"


def test_the_device_is_cleared_where_the_host_wants_it(server, frugal, portrait):
    request = {"image": encoded(portrait)}
    as_ever = cleared_by(server, request)
    server.call("/sdapi/v1/options", {"face_restoration_unload": True})
    assert cleared_by(server, request) == as_ever + 2  # of the detector and the network
    server.call("/sdapi/v1/options", {"face_restoration_unload": False})
    assert cleared_by(server, request) == as_ever
    assert cleared_by(frugal, request, ACCOUNT) == as_ever + 2


def test_one_network_serves_all_doors(server, portrait, tiny_checkpoint):
    server.call("/gpen/v1/restore", {"image": encoded(portrait)})
    (network,) = memory(server)["networks"]
    section = {"alwayson_scripts": {"GPEN": {"args": [True, 1.0]}}}
    _, said = server.generate(restore_faces=True, override_settings=CHOOSE, **section)
    assert "GPEN restorer: 1 of 1 faces" in said
    assert "GPEN faces: 1 of 1" in said
    assert memory(server)["networks"] == [network]
    shutil.copy(tiny_checkpoint, server.folder / "models" / "GPEN" / "other-one.safetensors")
    server.call("/gpen/v1/restore", {"image": encoded(portrait), "model": "other-one.safetensors"})
    assert len(memory(server)["networks"]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process that runs")
def test_out_of_memory_is_a_sentence_and_the_host_lives_on(server, portrait, slow):
    request = {"image": encoded(portrait), "model": slow}
    server.call("/gpen/v1/restore", {"image": encoded(portrait)})
    with server.short_of_memory(100_000_000):
        status, reply = server.call("/gpen/v1/restore", request)
    assert (status, reply["detail"][:14]) == (503, "Out of memory;")
    assert "GPEN: Out of memory;" in server.said()
    setting = {"override_settings": CHOOSE | {"gpen_model": slow}}
    with server.short_of_memory(100_000_000):
        found, said = server.generate(restore_faces=True, **setting)
    assert np.array_equal(found, pixels(portrait))
    assert 'GPEN restorer: "not restored: Out of memory;' in said
    assert server.call("/gpen/v1/restore", request)[0] == 200


def test_a_broken_file_and_no_weights_are_sentences(server, portrait):
    (server.folder / "models" / "GPEN" / "broken.safetensors").write_bytes(b"broken")
    shipped = server.extension / "weights" / "gpen-lite-256.safetensors"
    shipped.rename(shipped.with_suffix(".gone"))
    try:
        for name in ("broken.safetensors", shipped.name):
            setting = CHOOSE | {"gpen_model": name}
            found, said = server.generate(restore_faces=True, override_settings=setting)
            assert np.array_equal(found, pixels(portrait))
            assert name in said.partition("not restored: ")[2]
            assert "Face restoration" not in said
            assert name in server.said()
    finally:
        shipped.with_suffix(".gone").rename(shipped)
