"""What only a running SD.Next shows: its page Process, films, its accounts."""

from __future__ import annotations

import base64
import io
import urllib.parse
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.hosts.webui.server import WEBUI_DIR, decoded, encoded, kind, pixels

pytestmark = pytest.mark.skipif(
    not WEBUI_DIR or kind(WEBUI_DIR) != "sdnext", reason="WEBUI_DIR names no SD.Next"
)
ACCOUNT = "me:secret"


@pytest.fixture(scope="module")
def config(server) -> dict[str, Any]:
    """What gradio sends a browser: components, how they lie, and what each event does."""
    return server.call("/config")[1]


def component(config: dict[str, Any], elem_id: str) -> dict[str, Any]:
    (found,) = [one for one in config["components"] if one["props"].get("elem_id") == elem_id]
    return found


def around(config: dict[str, Any], elem_id: str) -> list[str]:
    """The labels of what folds around a component, the outermost first."""
    known = {one["id"]: one for one in config["components"]}
    wanted = component(config, elem_id)["id"]

    def look(node: dict[str, Any], path: list[str]) -> list[str] | None:
        if node["id"] == wanted:
            return path
        one = known[node["id"]]
        path = [*path, one["props"]["label"]] if one["type"] == "accordion" else path
        found = (look(child, path) for child in node.get("children") or ())
        return next((one for one in found if one is not None), None)

    for node in config["layout"]["children"]:
        if (found := look(node, [])) is not None:
            return found
    raise AssertionError(f"{elem_id} is nowhere on the page")


def processed(server, path, **more: Any) -> dict[str, Any]:
    query = urllib.parse.urlencode({"path": str(path), **more})
    status, reply = server.call(f"/test/processed?{query}")
    assert status == 200, reply
    return reply


def test_the_section_is_on_by_its_own_control(config):
    assert component(config, "extras_gpen_enable")["type"] == "checkbox"
    assert component(config, "extras_gpen_enable")["props"]["visible"]
    assert around(config, "extras_gpen_enable") == ["GPEN"]  # the host's, which switches nothing
    assert around(config, "txt2img_gpen_enable")[-1] == "GPEN"  # ours, in the host's "Extensions"


def test_settings_are_those_of_the_route_alone(config):
    ids = {one["props"].get("elem_id") or "" for one in config["components"]}
    names = {name for name in ids if name.startswith("setting_gpen")}
    assert names == {"setting_gpen_max_megabytes", "setting_gpen_max_megapixels"}


def test_a_picture_is_restored_and_says_so(server, portrait, expected):
    reply = processed(server, server.folder / "portrait.png")
    assert np.abs(pixels(decoded(reply["image"])) - expected(portrait)).max() <= 1
    assert "GPEN faces: 1 of 1" in reply["info"]


def test_the_button_reads_settings_of_a_picture(server, config, portrait):
    notes, stream = PngImagePlugin.PngInfo(), io.BytesIO()
    said = "Size: 512x512, GPEN visibility: 0.7, GPEN model: a.pth, GPEN quarter turns: True"
    notes.add_text("postprocessing", said)
    portrait.save(stream, "PNG", pnginfo=notes)
    button = component(config, "extras_gpen_paste")["id"]
    (event,) = [one for one in config["dependencies"] if button in one["targets"]]
    image = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    request = {"fn_index": config["dependencies"].index(event), "data": [image], "session_hash": "test"}
    status, reply = server.call("/run/predict", request)
    assert status == 200, reply
    given = dict(zip(event["outputs"], reply["data"], strict=True))
    for name, value in (("enable", True), ("visibility", 0.7), ("model", "a.pth"), ("quarter_turns", True)):
        assert given[component(config, f"extras_gpen_{name}")["id"]]["value"] == value


def test_a_film_is_restored_and_stays_turned(server, portrait, expected, tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = *portrait.size, "yuv420p"
        stream.set_display_matrix([0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30])  # lying, as phones film
        for image in (portrait.rotate(90), Image.new("RGB", portrait.size)):
            made.mux(stream.encode(av.VideoFrame.from_image(image)))
        made.mux(stream.encode(None))
    reply = processed(server, path, film=True)
    assert reply["film"].endswith("film-gpen.mp4")
    (before, _), (after, black) = frames(path), frames(reply["film"])
    assert before.rotation == after.rotation != 0
    upright, made = (pixels(frame.to_image().rotate(frame.rotation)) for frame in (before, after))
    wanted = expected(Image.fromarray(upright.astype(np.uint8)))
    face = np.abs(wanted - upright).max(-1) > 8
    assert np.abs(made - wanted)[face].mean() < np.abs(upright - wanted)[face].mean() / 3
    assert pixels(black.to_image()).max() <= 2


def frames(path) -> list[Any]:
    import av

    with av.open(str(path)) as film:
        return [*film.decode(video=0)]


def test_what_is_no_film_stays_as_it_is(server, tmp_path):
    path = tmp_path / "none.mp4"
    path.write_bytes(b"no film")
    reply = processed(server, path, film=True)
    assert reply["film"] == str(path)


def test_the_route_takes_the_hosts_accounts(start, portrait):
    guarded = start("--auth", ACCOUNT)
    for path, data in (("/gpen/v1/models", None), ("/gpen/v1/restore", {"image": encoded(portrait)})):
        assert guarded.call(path, data)[0] == 401
        assert guarded.call(path, data, "me:wrong")[0] == 401
        assert guarded.call(path, data, ACCOUNT)[0] == 200
