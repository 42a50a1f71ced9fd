"""The route on stubs of each host."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.hosts.webui.server import decoded, encoded

fastapi = pytest.importorskip("fastapi")
testclient = pytest.importorskip("fastapi.testclient")


@pytest.fixture
def client(host):
    def make():
        app = fastapi.FastAPI()
        host.start(app)
        return testclient.TestClient(app)

    return make


def test_the_schema_is_the_published_one(client):
    known = json.loads(Path(__file__).with_name("contract.json").read_text())
    schemas = client().get("/openapi.json").json()["components"]["schemas"]
    assert sorted(schemas["RestoreRequest"]["properties"]) == known["request"]
    for name, fields in known["reply"].items():
        assert sorted(schemas[name]["properties"]) == fields
    assert schemas["RestoreRequest"]["required"] == ["image"]


def test_a_picture_comes_back_restored(host, client, portrait, expected):
    reply = client().post("/gpen/v1/restore", json={"image": encoded(portrait), "softness": 0.9})
    assert reply.status_code == 200
    found = np.asarray(decoded(reply.json()["image"])).astype(int)
    assert np.abs(found - expected(portrait, softness=0.9)).max() <= 1
    assert [face["restored"] for face in reply.json()["faces"]] == [True]
    assert host.shared.state.jobs == ["gpen", "end"]


def test_the_queue_is_held(host, client, portrait, monkeypatch):
    held, begin = [], host.shared.state.begin
    lock = host.modules["modules.call_queue"].queue_lock
    monkeypatch.setattr(
        type(host.shared.state), "begin", lambda self, t: held.append(lock.locked()) or begin(t)
    )
    client().post("/gpen/v1/restore", json={"image": encoded(Image.new("RGB", (32, 32)))})
    assert held == [True]
    assert not lock.locked()


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_pictures_of_any_kind_are_taken(client, prefix):
    deep = Image.fromarray(np.full((40, 40), 30000, np.uint16))
    for image in (Image.new("RGBA", (40, 40), (9, 9, 9, 7)), Image.new("P", (40, 40)), deep):
        reply = client().post("/gpen/v1/restore", json={"image": prefix + encoded(image)})
        assert reply.status_code == 200
        assert reply.json()["faces"] == []
        assert np.array_equal(
            np.asarray(decoded(reply.json()["image"])), np.asarray(image.convert(image.mode))
        ) or (image.mode == "P")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"image": "!"}, "no base64"),
        ({"image": ""}, "no picture"),
        ({"image": "http://127.0.0.1/a.png"}, "no base64"),
        ({"image": base64.b64encode(b"\x89PNG\r\n\x1a\nbroken").decode()}, "image"),
        ({"model": "../../x.pth"}, "no model"),
        ({"size": 512}, "256 px"),
        ({"template": "x"}, "template"),
        ({"order": "x"}, "order"),
        ({"max_faces": 0}, "max_faces"),
        ({"softness": 0}, "softness"),
        ({"image": None}, "image"),
    ],
)
def test_bad_input_is_422_with_a_sentence(client, portrait, wrong, sentence):
    reply = client().post("/gpen/v1/restore", json={"image": encoded(portrait), **wrong})
    assert reply.status_code == 422
    assert sentence in json.dumps(reply.json()["detail"])
    assert "/image" not in reply.text  # where the server put it


def test_out_of_memory_is_503_and_an_interrupt_409(host, client, portrait, monkeypatch):
    def fail(*args, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(host.door("restore"), "restore_image", fail)
    reply = client().post("/gpen/v1/restore", json={"image": encoded(portrait)})
    assert reply.status_code == 503
    assert "Out of memory" in reply.json()["detail"]

    def stop(*args, **options):
        raise host.door("host").Stopped("stopped")

    monkeypatch.setattr(host.door("restore"), "restore_image", stop)
    assert client().post("/gpen/v1/restore", json={"image": encoded(portrait)}).status_code == 409
    assert host.shared.state.jobs[-1] == "end"


def test_accounts_are_the_hosts(host, client, tmp_path):
    flag = "auth" if host.name == "sdnext" else "api_auth"
    setattr(host.shared.cmd_opts, flag, "me:secret,you:word:s")
    known = client()
    assert known.get("/gpen/v1/models").status_code == 401
    assert known.get("/gpen/v1/models", auth=("me", "wörd")).status_code == 401
    assert known.get("/gpen/v1/models", auth=("you", "word:s")).status_code == 200
    setattr(host.shared.cmd_opts, flag, "no account at all")
    assert client().get("/gpen/v1/models", auth=("", "")).status_code == 401


def test_a_host_without_an_api_has_no_route(host, client):
    host.shared.cmd_opts.api = False
    assert client().get("/gpen/v1/models").status_code == 404
    host.shared.cmd_opts.nowebui = True
    assert client().get("/gpen/v1/models").status_code == 200
