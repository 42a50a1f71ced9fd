"""What only a running ComfyUI shows: its cache, its queue, its messages."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import time
import urllib.request
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gpen_nodes import Checkpoint, Gpen, GpenConfig, to_uint8, write_checkpoint


@pytest.fixture(scope="module")
def picture(server, astronaut):
    Image.fromarray(to_uint8(astronaut)).save(server.folder / "input" / "portrait.png")
    return "portrait.png"


def prompt_of(server, picture, model_name, **options):
    inputs = server.info("GPEN_RestoreFaces")["input"]["required"]
    defaults = {name: spec[1]["default"] for name, spec in inputs.items() if "default" in spec[1]}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "2": {"class_type": "GPEN_LoadModel", "inputs": {"model_name": model_name, "dtype": "auto"}},
        "3": {
            "class_type": "GPEN_RestoreFaces",
            "inputs": defaults | options | {"image": ["1", 0], "model": ["2", 0]},
        },
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }


def message(entry, name) -> Any:
    return next((body for kind, body in entry["status"]["messages"] if kind == name), None)


def test_nothing_runs_twice_until_the_model_file_changes(server, picture, tiny_checkpoint):
    path = server.folder / "models" / "gpen" / "tiny.safetensors"
    shutil.copy(tiny_checkpoint, path)
    prompt = prompt_of(server, picture, path.name)
    server.history(server.queue(prompt))
    again = message(server.history(server.queue(prompt)), "execution_cached")
    assert {*again["nodes"]} == {"1", "2", "3", "4"}
    os.utime(path, ns=(1, 1))
    changed = message(server.history(server.queue(prompt)), "execution_cached")
    assert {*changed["nodes"]} == {"1"}


def test_errors_are_one_sentence_on_the_node(server, picture):
    refused = server.call("/prompt", {"prompt": prompt_of(server, picture, "gone.pth")})
    (said,) = refused["node_errors"]["2"]["errors"]
    assert str(server.folder / "models" / "gpen") in json.dumps(said)
    path = server.folder / "models" / "gpen" / "other.safetensors"
    save_file({"params_ema.conv1.weight": torch.zeros(3)}, path)
    failed = message(server.history(server.queue(prompt_of(server, picture, path.name))), "execution_error")
    assert failed["node_id"] == "2"
    assert failed["exception_message"].startswith(str(path))


@pytest.mark.skipif(importlib.util.find_spec("facexlib") is None, reason="needs facexlib")
def test_a_detector_without_its_file_says_which(server, picture):
    options = {"detector": "retinaface_resnet50"}
    shipped = prompt_of(server, picture, "gpen-lite-256.safetensors", **options)
    failed = message(server.history(server.queue(shipped)), "execution_error")
    assert failed["node_id"] == "3"
    assert "detection_Resnet50_Final.pth" in failed["exception_message"]


def test_cancelling_stops_soon_and_the_next_run_works(server, picture):
    """Twenty faces by a network that takes about a second for each."""
    model, path = Gpen(GpenConfig(512, 512, 1, 2)), server.folder / "models" / "gpen" / "slow.safetensors"
    write_checkpoint(Checkpoint(model.state_dict(), model.config), path)
    prompt = prompt_of(server, picture, path.name)
    prompt["5"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 20}}
    prompt["3"]["inputs"]["image"] = ["5", 0]
    worked = server.cpu_seconds()
    number = server.queue(prompt)
    while server.cpu_seconds() < worked + 8:  # the model is loaded by then, however busy the machine is
        assert not server.call(f"/history/{number}"), "it ended before it could be cancelled"
        time.sleep(0.05)
    server.call("/interrupt", {})
    assert message(server.history(number), "execution_interrupted")["node_id"] == "3"
    assert server.run(prompt_of(server, picture, "gpen-lite-256.safetensors"))


def test_the_host_serves_what_explains_the_nodes(server):
    templates = server.call("/workflow_templates")
    assert "Restore a photo" in templates["gpen-nodes"]
    texts = server.call("/i18n")
    assert texts["zh"]["nodeDefs"]["GPEN_Restore"]["display_name"] == "修复已对齐人脸 (GPEN)"

    with urllib.request.urlopen(
        f"http://127.0.0.1:{server.port}/extensions/gpen-nodes/docs/GPEN_Restore.md"
    ) as page:
        assert b"Restore Aligned Faces" in page.read()
