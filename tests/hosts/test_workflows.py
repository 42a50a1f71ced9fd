"""The example workflows, over the HTTP API of a real host where COMFYUI_DIR names one, else on the stub."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import (
    EVALUATION_RECIPE,
    LocalHost,
    align_face,
    degrade,
    detect_faces,
    from_uint8,
    get_restorer,
    paste_back,
    restore_faces,
    restore_image,
    shipped_model,
    to_uint8,
)
from gpen_nodes.cli import main
from tests.hosts.graph import to_prompt
from tests.hosts.server import COMFYUI_DIR
from tests.hosts.stub_host import StubHost, scaled

FOLDER = Path(__file__).resolve().parents[2] / "example_workflows"
CPU = LocalHost("cpu")


@pytest.fixture(scope="module")
def host(comfyui, request, tmp_path_factory):
    if COMFYUI_DIR:
        return request.getfixturevalue("server")
    return StubHost(comfyui.nodes, tmp_path_factory.mktemp("stub"))


@pytest.fixture(scope="module")
def photo(astronaut, host, tmp_path_factory):
    """A photo with a large and a small face, which the host knows as example.png."""
    small = torch.nn.functional.avg_pool2d(astronaut.permute(2, 0, 1), 2).permute(1, 2, 0)
    column = torch.cat([small.flip(1), torch.full_like(small, 0.5)])
    path = tmp_path_factory.mktemp("photo") / "example.png"
    Image.fromarray(to_uint8(torch.cat([astronaut, column], dim=1))).save(path)
    host.put(path.name, path.read_bytes())
    return path


def load(name, host):
    return to_prompt(json.loads((FOLDER / f"{name}.json").read_text()), host.info)


def shown_by(prompt, shown, node):
    """What the nodes of a class show, in the order of their numbers."""
    return [shown[number] for number in prompt if prompt[number]["class_type"] == node and number in shown]


def assert_same(found, expected, within=1):
    """A host rounds down where we round to nearest."""
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= within


def on_the_command_line(photo, *options):
    output = photo.with_name("expected.png")
    main(["restore", "-i", str(photo), "-o", str(output), "--face_align", "--device", "cpu", *options])
    return np.asarray(Image.open(output).convert("RGB"))


# What the single steps give: nothing in them sees a face before and after.
MODELS_FACE = ("--colour", "model", "--keep_detail", "0", "--no-keep_front", "--no-guard_identity")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Restore a photo", ()),
        ("Restore faces in five steps", MODELS_FACE),
        ("Restore chosen faces", ("--max_faces", "1", *MODELS_FACE)),
    ],
)
def test_gives_the_commands_pixels(host, photo, name, options):
    prompt = load(name, host)
    shown = host.run(prompt)
    (saved,) = shown_by(prompt, shown, "SaveImage")
    expected = on_the_command_line(photo, *options)
    assert_same(saved["images"][0], expected)
    assert (expected != np.asarray(Image.open(photo))).any()
    if name == "Restore a photo":
        (report,) = shown_by(prompt, shown, "PreviewAny")
        assert report["text"].count("restored") == 2


def test_restores_after_an_upscaler(host, photo):
    prompt = load("Restore after an upscaler", host)
    (saved,) = shown_by(prompt, host.run(prompt), "SaveImage")
    image = from_uint8(np.array(Image.open(photo)))
    restorer = get_restorer(shipped_model())
    faces = [align_face(image, face, restorer.input_size) for face in detect_faces(image)]
    expected, _ = paste_back(scaled(image[None], 4), restore_faces(restorer, faces, CPU))
    assert_same(saved["images"][0], to_uint8(expected[0]))


def test_degrades_and_compares(host, photo):
    prompt = load("Degrade and restore", host)
    shown = host.run(prompt)
    (saved,) = shown_by(prompt, shown, "SaveImage")
    image = from_uint8(np.array(Image.open(photo)))
    degraded, drawn = degrade(image, EVALUATION_RECIPE, torch.Generator().manual_seed(0))
    restored = restore_image(degraded, get_restorer(shipped_model()), host=CPU).image[0]
    assert_same(saved["images"][0], to_uint8(restored))
    assert shown_by(prompt, shown, "PreviewAny")[0]["text"] == str(drawn[0])


def test_restores_the_frames_of_a_video(host, astronaut, tmp_path):
    frames = [astronaut, torch.full_like(astronaut, 0.5), astronaut.flip(1)]
    video = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 8, (512, 512))
    for frame in frames:
        writer.write(cv2.cvtColor(to_uint8(frame), cv2.COLOR_RGB2BGR))
    writer.release()
    host.put(video.name, video.read_bytes())
    prompt = load("Restore a film with its sound", host)
    numbers = {node["class_type"]: number for number, node in prompt.items()}
    prompt[numbers["LoadVideo"]]["inputs"]["file"] = video.name
    source = {"images": [numbers["GetVideoComponents"], 0], "filename_prefix": "frames"}
    prompt["99"] = {"class_type": "SaveImage", "inputs": source}
    result = {"images": [numbers["GPEN_RestoreFrames"], 0], "filename_prefix": "restored"}
    prompt["98"] = {"class_type": "SaveImage", "inputs": result}
    shown = host.run(prompt)
    decoded = from_uint8(np.stack(shown["99"]["images"]))
    expected = restore_image(decoded, get_restorer(shipped_model()), host=CPU).image
    assert len(expected) == 3
    found = np.stack(shown["98"]["images"])
    # The frames to compare with were rounded down when they were saved: bf16 makes more than a step of it.
    assert_same(found, to_uint8(expected), within=10)
    assert np.abs(found.astype(int) - to_uint8(expected)).mean() < 0.6
    report = shown[numbers["PreviewAny"]]["text"]
    assert [line.partition(":")[0] for line in report.splitlines()] == [
        "track 0, 0",
        "track 1, 0",
    ]  # a cut lies between any two of these frames
    video = shown[numbers["SaveVideo"]]["video"]
    if COMFYUI_DIR:
        assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS) == 8
    else:
        assert (len(video[0]), *video[1:]) == (3, "its sound", 8.0)


GRAPHS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_picture_without_faces_fails_nowhere(host, name, tmp_path):
    """As every template opens: with the host's own drawing."""
    if name == "Restore a film with its sound":
        pytest.skip("it opens without a film, which has no default")
    Image.new("RGB", (96, 64), "gray").save(tmp_path / "drawing.png")
    host.put("drawing.png", (tmp_path / "drawing.png").read_bytes())
    prompt = load(name, host)
    for node in prompt.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = "drawing.png"
    (saved,) = shown_by(prompt, host.run(prompt), "SaveImage")
    assert len(saved["images"]) == 1


@pytest.mark.parametrize("name", GRAPHS)
def test_templates_explain_themselves(name):
    nodes = GRAPHS[name]["nodes"]
    kinds = {node["type"] for node in nodes}
    (note,) = (node for node in nodes if node["type"] == "Note")
    assert note["widgets_values"][0].startswith("Choose a ")
    with Image.open(FOLDER / f"{name}.jpg") as thumbnail:
        assert thumbnail.size == (400, 300)
    assert kinds & {"ImageCompare", "SaveVideo"}


@pytest.mark.parametrize("name", GRAPHS)
def test_no_node_lies_over_another(name, comfyui):
    """Also where the page draws rows 36 pixels high and pictures below them, as Nodes 2.0 does."""
    nodes = GRAPHS[name]["nodes"]
    pictures = {"LoadImage", "LoadVideo", "SaveImage", "SaveVideo", "PreviewImage", "ImageCompare"}
    boxes = []
    for node in nodes:
        (x, y), (width, height) = node["pos"], node["size"]
        rows = max(len(node["inputs"]), len(node["outputs"])) + len(node["widgets_values"])
        least = 40 + 36 * rows + 200 * (node["type"] in pictures)
        assert node["type"] in ("Note", "GPEN_Degrade") or height >= least - 36, node["type"]
        boxes.append((x, y - 40, x + width, y + max(height, least)))
    for k, a in enumerate(boxes):
        for b in boxes[:k]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_every_workflow_has_a_test():
    tested = {
        "Restore a photo",
        "Restore faces in five steps",
        "Restore chosen faces",
        "Restore after an upscaler",
        "Degrade and restore",
        "Restore a film with its sound",
    }
    assert {*GRAPHS} == tested == {path.stem for path in FOLDER.glob("*.jpg")}
