"""The route on stubs of each host."""

from __future__ import annotations

import base64
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import CheckpointError
from tests.hosts.webui.server import ROOT, decoded, encoded

fastapi = pytest.importorskip("fastapi")
testclient = pytest.importorskip("fastapi.testclient")

BASIC = fastapi.Depends(fastapi.security.HTTPBasic())


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


def test_the_queue_is_held_while_faces_are_restored_and_no_longer(host, client, monkeypatch):
    api, held = host.door("api"), []
    lock = host.modules["modules.call_queue"].queue_lock

    def note(name, known, *args, **options):
        held.append((name, lock.locked()))
        return known(*args, **options)

    for name in ("decode_image_file", "restore", "encode_image_file"):
        monkeypatch.setattr(api, name, partial(note, name, getattr(api, name)))
    client().post("/gpen/v1/restore", json={"image": encoded(Image.new("RGB", (32, 32)))})
    assert held == [("decode_image_file", False), ("restore", True), ("encode_image_file", False)]
    assert not lock.locked()


def test_base64_of_the_web_is_taken(client):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))
    text = encoded(image, "BMP").rstrip("=").replace("+", "-").replace("/", "_")
    assert {"-", "_"} <= {*text}
    assert len(text) % 4
    reply = client().post("/gpen/v1/restore", json={"image": text})
    assert reply.status_code == 200
    assert np.array_equal(np.asarray(decoded(reply.json()["image"])), np.asarray(image))


@pytest.mark.parametrize("host", ["a1111"], indirect=True)
def test_avif_is_taken(client):
    pytest.importorskip("PIL.AvifImagePlugin")
    reply = client().post("/gpen/v1/restore", json={"image": encoded(Image.new("RGB", (40, 40)), "AVIF")})
    assert reply.status_code == 200


# Limits


def test_a_request_is_bounded_before_it_is_parsed(host, client):
    host.shared.opts.data["gpen_max_megabytes"] = 1
    body = b'{"image": "' + bytes(1_000_000) + b'"}'
    sent = client()
    parts = [body[:500_000], body[500_000:]]
    for content in (body, 20 * body, iter(parts), iter(10 * parts)):  # of a length that is named, or not
        reply = sent.post("/gpen/v1/restore", content=content)
        assert reply.status_code == 422
        assert "1,000,000 bytes" in reply.json()["detail"]
    assert sent.post("/gpen/v1/restore", content=body[:999_000] + b'"}').status_code == 422
    assert host.shared.state.jobs == []


def bomb(width: int, height: int) -> str:
    """A black PNG of one bit to the pixel: the smallest that there is."""
    return encoded(Image.new("1", (width, height)))


@pytest.mark.parametrize("host", ["a1111"], indirect=True)
def test_pixels_are_bounded_before_they_are_decoded(host, client, monkeypatch):
    asked = []
    monkeypatch.setattr(host.door("api"), "restore", lambda image, **options: asked.append(image.shape))
    sent, image = client(), bomb(6000, 4000)
    reply = sent.post("/gpen/v1/restore", json={"image": image})
    assert reply.status_code == 422  # 24 megapixels in 3 kB
    assert "6000×4000" in reply.json()["detail"]
    host.shared.opts.data["gpen_max_megapixels"] = 1
    assert sent.post("/gpen/v1/restore", json={"image": bomb(1001, 1000)}).status_code == 422
    assert asked == []


@pytest.mark.parametrize("host", ["a1111"], indirect=True)
def test_who_raises_the_limit_means_it(host):
    api = host.door("api")
    assert api._max_pixels(3000) == 2**24
    assert api._max_pixels(400_000) == 40_000_000
    assert api._max_pixels(9_000_000) == 50_000_000
    host.shared.opts.data["gpen_max_megapixels"] = 200
    assert api._max_pixels(3000) == 200_000_000


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"image": "", "strength": NaN}', "strength"),
        ('{"image": "", "min_face": -Infinity}', "min_face"),
        ('{"image": "", "strenght": 1}', "strenght"),
        ('{"image": "", "keep_detail": 1e999}', "keep_detail"),
        ("[" * 100_000, ""),
        ("{", ""),
        ("", ""),
    ],
)
def test_what_no_request_should_hold_is_told(client, body, named):
    reply = client().post("/gpen/v1/restore", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in ((422,) if named else (400, 422))
    assert named in json.dumps(reply.json()["detail"])


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


def test_no_answer_names_a_folder_of_the_server(host, client, portrait, tiny_checkpoint):
    folder = host.folder / "GPEN" / "my models"
    folder.mkdir()
    (folder / "broken.safetensors").write_bytes(b"broken")
    (folder / "tiny.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    sent = client()
    named = {one["name"]: one["filename"] for one in sent.get("/gpen/v1/models").json()}
    assert named == {
        "gpen-lite-256.safetensors": None,
        "my models/broken.safetensors": "broken.safetensors",
        "my models/tiny.safetensors": "tiny.safetensors",
    }
    for wrong in (
        {"model": "my models/broken.safetensors"},
        {"model": "gone.pth"},
        {"detector": "retinaface_resnet50"},
    ):
        reply = sent.post("/gpen/v1/restore", json={"image": encoded(portrait), **wrong})
        assert reply.status_code == 422
        for folder in (host.folder, Path.home(), torch.hub.get_dir(), ROOT):
            assert str(folder) not in reply.text


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        CheckpointError("a.pth: [Errno 12] Cannot allocate memory"),
    ],
)
def test_out_of_memory_is_503_and_an_interrupt_409(host, client, portrait, monkeypatch, error):
    def fail(*args, **options):
        raise error

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


@pytest.mark.parametrize("host", ["sdnext"], indirect=True)
def test_a_hosts_own_check_is_taken(host, client):
    """SD.Next's also knows the tokens of those who have logged in on its page."""

    def auth(credentials=BASIC):
        if credentials.password != "token":
            raise fastapi.HTTPException(401)

    host.shared.api = SimpleNamespace(credentials={"me": "secret"}, auth=auth)
    sent = client()
    assert sent.get("/gpen/v1/models").status_code == 401
    assert sent.get("/gpen/v1/models", auth=("me", "token")).status_code == 200


def test_a_host_without_an_api_has_no_route(host, client):
    host.shared.cmd_opts.api = False
    assert client().get("/gpen/v1/models").status_code == 404
    host.shared.cmd_opts.nowebui = True
    assert client().get("/gpen/v1/models").status_code == 200


# Tasks


def pixels(reply) -> np.ndarray:
    assert reply.status_code == 200, reply.text
    return np.asarray(decoded(reply.json()["image"])).astype(int)


@pytest.mark.parametrize("host", ["a1111"], indirect=True)
def test_a_gray_face_gets_colours_and_keeps_its_luma(client, portrait):
    gray = portrait.convert("L").convert("RGB")
    made = pixels(client().post("/gpen/v1/restore", json={"image": encoded(gray), "task": "colorize"}))
    assert np.ptp(made, axis=-1).max() > 8
    luma = made @ (0.299, 0.587, 0.114)
    assert np.abs(luma - np.asarray(gray)[..., 0]).max() <= 1


@pytest.mark.parametrize("host", ["a1111"], indirect=True)
def test_what_a_mask_marks_is_filled_and_all_else_keeps_its_bits(client, portrait):
    hole = np.zeros((512, 512), np.uint8)
    hole[90:130, 200:240] = 255  # within the face
    mask, sent, image = encoded(Image.fromarray(hole)), client(), encoded(portrait)
    request = {"image": image, "task": "inpaint"}
    made = pixels(sent.post("/gpen/v1/restore", json={**request, "mask": mask}))
    changed = (made != np.asarray(portrait)).any(-1)
    assert changed[hole > 0].mean() > 0.9
    assert not changed[hole == 0].any()
    reply = sent.post("/gpen/v1/restore", json=request)
    assert reply.status_code == 422
    assert "takes mask" in reply.json()["detail"]
    small = encoded(Image.new("L", (40, 40)))
    reply = sent.post("/gpen/v1/restore", json={**request, "mask": small})
    assert reply.status_code == 422
    assert "mask" in reply.json()["detail"]
    assert "mask is no base64" in sent.post("/gpen/v1/restore", json={**request, "mask": "?"}).text


@pytest.mark.parametrize("host", ["a1111"], indirect=True)
def test_a_map_becomes_a_face(client):
    image = encoded(Image.new("RGB", (64, 64), "red"))
    reply = client().post("/gpen/v1/restore", json={"image": image, "task": "seg2face"})
    assert pixels(reply).shape == (256, 256, 3)
    assert reply.json()["faces"] == []
