"""The nodes against the core: made by the real host's decorators where it is installed, else by a stub's."""
# pyright: reportMissingImports=false

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import (
    EVALUATION_RECIPE,
    CheckpointError,
    DegradationRecipe,
    ImageError,
    LocalHost,
    MissingWeightsError,
    RestoreOptions,
    Restorer,
    degrade,
    find_faces,
    from_uint8,
    get_restorer,
    restore_image,
    shipped_model,
    to_uint8,
)
from tests.hosts.invokeai.conftest import Loaded

CONTRACT = Path(__file__).with_name("contract.json")
OPEN = {"max_faces": 0, "max_face": 0, "indices": ""}  # how the page says what JSON can't, or what is None


def pixels(picture: Image.Image) -> torch.Tensor:
    return from_uint8(np.array(picture))[None]


def own_inputs(node) -> dict:
    """Without the host's."""
    host = ("id", "is_intermediate", "use_cache", "type", "metadata", "board")
    return {name: field for name, field in node.model_fields.items() if name not in host}


def test_inputs_and_outputs_are_a_contract(nodes):
    found = {}
    for name, node in nodes.items():
        output = node.invoke.__annotations__["return"]
        found[name] = {
            "inputs": {id: field.default for id, field in sorted(own_inputs(node).items())},
            "outputs": sorted({*output.model_fields} - {"type", "output_meta"}),
        }
    assert found == json.loads(CONTRACT.read_text())


def test_every_node_is_told_apart_found_and_given_a_board(nodes):
    for name, node in nodes.items():
        assert name.startswith("gpen_")
        assert "GPEN" in node.UIConfig.title
        assert "GPEN" in node.UIConfig.tags
        assert node.UIConfig.node_pack == "gpen-nodes"
        assert {"metadata", "board"} <= {*node.model_fields}
        assert node.__doc__
        assert all(field.description for field in own_inputs(node).values())


def test_inputs_follow_the_options_of_the_core(nodes):
    options, checked = RestoreOptions().described(), 0
    for node in nodes.values():
        for id in {*own_inputs(node)} & {*options}:
            field, one = node.model_fields[id], options[id]
            ends = {}
            for rule in field.metadata:
                ends |= {name: getattr(rule, name) for name in ("ge", "gt", "le") if hasattr(rule, name)}
            assert field.default == OPEN.get(id, one.default)
            assert one.text.rstrip(".") in field.description
            if id not in OPEN and one.kind is float:
                assert ends.get("gt" if one.above else "ge") == one.low
                assert ends.get("le", float("inf")) == one.high
            checked += 1
    assert checked > 20


def test_one_node_gives_what_the_core_gives(nodes, context, portrait):
    node = nodes["gpen_restore_faces"](image=context.put(portrait), dtype="fp32", keep_detail=0.5)
    output = node.invoke(context)
    model = get_restorer(shipped_model(), "fp32")
    expected = restore_image(pixels(portrait), model, host=LocalHost("cpu"), keep_detail=0.5)
    assert np.array_equal(context.pixels(output.image), to_uint8(expected.image[0]))
    assert np.array_equal(context.pixels(output.mask), to_uint8(expected.mask[0]))
    assert output.report == expected.text
    assert "restored" in output.report
    assert (output.width, output.height) == portrait.size


def test_the_five_steps_give_what_one_node_gives(nodes, context, portrait):
    image = context.put(portrait)

    def run(name, **inputs):
        output = nodes[f"gpen_{name}"](**inputs).invoke(context)
        # Between nodes the host keeps JSON.
        return type(output).model_validate_json(output.model_dump_json())

    whole = run("restore_faces", image=image, dtype="fp32")
    found = run("find_faces", image=image)
    aligned = run("align_faces", image=image, faces=found.faces, crop_size=256)
    restored = run("restore_crops", faces=aligned.faces, dtype="fp32")
    judged = run("judge_faces", image=image, aligned=aligned.faces, restored=restored.faces)
    pasted = run("paste_faces", image=image, faces=judged.faces)
    assert np.array_equal(context.pixels(pasted.image), context.pixels(whole.image))
    assert np.array_equal(context.pixels(pasted.mask), context.pixels(whole.mask))
    assert [len(one.crops) for one in (aligned, restored, judged)] == [1, 1, 1]
    assert judged.report in whole.report


def test_an_image_without_a_face_comes_back_as_it_was(nodes, context):
    gray = Image.new("RGB", (80, 60), (90, 90, 90))
    image = context.put(gray)
    output = nodes["gpen_restore_faces"](image=image).invoke(context)
    assert np.array_equal(context.pixels(output.image), np.asarray(gray))
    assert "no face found" in output.report
    found = nodes["gpen_find_faces"](image=image).invoke(context)
    assert not found.faces.faces
    pasted = nodes["gpen_paste_faces"](image=image, faces=found.faces).invoke(context)
    assert np.array_equal(context.pixels(pasted.image), np.asarray(gray))


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_gray_and_alpha_stay(mode, nodes, context, portrait):
    picture = portrait.convert(mode)
    if mode == "RGBA":
        picture.putalpha(77)
    output = nodes["gpen_restore_faces"](image=context.put(picture), dtype="fp32").invoke(context)
    restored = context.pictures[output.image.image_name]
    assert restored.mode == mode
    assert mode == "L" or (np.asarray(restored)[..., 3] == 77).all()
    assert not np.array_equal(np.asarray(restored), np.asarray(picture))


def test_nothing_changes_where_the_mask_is_black(nodes, context, portrait):
    mask = context.put(Image.new("L", (64, 64), 0))
    output = nodes["gpen_restore_faces"](image=context.put(portrait), mask=mask).invoke(context)
    assert np.array_equal(context.pixels(output.image), np.asarray(portrait))
    found = nodes["gpen_find_faces"](image=context.put(portrait), mask=mask).invoke(context)
    assert not found.faces.faces
    assert "outside the mask" in found.report


def test_boxes_go_to_other_nodes_and_come_from_them(nodes, context, portrait):
    image = context.put(portrait)
    found = nodes["gpen_find_faces"](image=image).invoke(context)
    (box,) = found.bounding_boxes
    (face,) = find_faces(pixels(portrait))
    assert (box.x_min, box.y_max) == pytest.approx((face.box[0] + 0.5, face.box[3] + 0.5), abs=0.51)
    again = nodes["gpen_find_faces"](image=image, bounding_boxes=found.bounding_boxes).invoke(context)
    assert again.faces.faces[0].landmarks[0] == pytest.approx(face.landmarks[0], abs=2)
    none = nodes["gpen_find_faces"](image=image, bounding_boxes=[]).invoke(context)
    assert not none.faces.faces


def test_crops_that_others_have_edited_take_the_place_of_the_faces(nodes, context, portrait):
    image = context.put(portrait)
    found = nodes["gpen_find_faces"](image=image).invoke(context)
    faces = nodes["gpen_align_faces"](image=image, faces=found.faces, crop_size=128).invoke(context).faces
    red = context.put(Image.new("RGB", (64, 64), (255, 0, 0)))
    output = nodes["gpen_paste_faces"](image=image, faces=faces, crops=[red]).invoke(context)
    x, y = (round(v) for v in faces.faces[0].landmarks[2])
    assert context.pixels(output.image)[y, x].tolist() == [255, 0, 0]
    small = context.put(Image.new("RGB", (32, 32)))
    with pytest.raises(ImageError, match="32×32, 64×64"):
        nodes["gpen_paste_faces"](image=image, faces=faces, crops=[red, small]).invoke(context)


def test_cancel_stops_a_node_wherever_it_is(nodes, context, portrait):
    from invokeai.app.services.session_processor.session_processor_common import CanceledException

    node = nodes["gpen_restore_faces"](image=context.put(portrait), dtype="fp32")
    patience = context.patience
    node.invoke(context)
    looks, saved = patience - context.patience, len(context.pictures)
    assert looks > 20
    for patience in (0, looks // 3, looks - 1):
        context.patience = patience
        with pytest.raises(CanceledException):
            node.invoke(context)
    assert len(context.pictures) == saved, "nothing is saved"


def test_the_page_is_told_what_goes_on_and_shown_the_face(nodes, context, portrait):
    nodes["gpen_restore_faces"](image=context.put(portrait), dtype="fp32").invoke(context)
    assert {"Detecting faces", "Restoring faces"} <= {message for message, _, _ in context.told}
    assert all(0 <= share <= 1 for _, share, _ in context.told)
    (shown,) = [image for message, _, image in context.told if message == "Restoring faces" and image]
    assert shown.size == (256, 256)


def test_a_model_is_read_once_for_each_dtype_and_again_when_its_file_changes(
    nodes, context, invokeai, portrait, tiny_checkpoint, monkeypatch
):
    folder = Path(invokeai.config.models_path) / "gpen" / "deeper"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mine.safetensors"
    path.write_bytes(tiny_checkpoint.read_bytes())
    read = []
    whole = Restorer.from_file.__func__
    monkeypatch.setattr(
        Restorer,
        "from_file",
        classmethod(lambda cls, *args, **more: read.append(args) or whole(cls, *args, **more)),
    )

    def run(dtype):
        node = nodes["gpen_restore_faces"](
            image=context.put(portrait), model_name="deeper/mine.safetensors", dtype=dtype
        )
        node.invoke(context)

    for dtype in ("fp32", "fp32", "bf16", "auto"):
        run(dtype)
    assert [dtype for _, dtype in read] == ["fp32", "bf16"], "auto is the host's precision, fp32 on a CPU"
    asked = [bytes for loaded in context.cache.values() for bytes in loaded.asked]
    assert asked
    assert min(asked) > 0, "the cache is asked to make room"
    path.write_bytes(path.read_bytes())
    run("fp32")
    assert len(read) == 3


def test_an_older_cache_that_makes_no_room_serves_as_well(nodes, context, portrait, monkeypatch):
    @contextmanager
    def model_on_device(self):
        self.asked.append(None)
        yield None, self.model

    monkeypatch.setattr(Loaded, "model_on_device", model_on_device)
    node = nodes["gpen_restore_faces"](image=context.put(portrait), dtype="fp32")
    assert "restored" in node.invoke(context).report
    assert [loaded.asked for loaded in context.cache.values()] == [[None]]


def test_a_newer_host_is_asked_for_room_for_the_detector(nodes, context, portrait):
    asked = []
    context.models.make_room_in_vram = asked.append
    nodes["gpen_find_faces"](image=context.put(portrait)).invoke(context)
    assert asked
    assert min(asked) > 0


def test_a_damaged_model_is_an_error_each_time(nodes, context, invokeai, portrait):
    path = Path(invokeai.config.models_path) / "gpen" / "damaged.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no model")
    node = nodes["gpen_restore_faces"](image=context.put(portrait), model_name=path.name)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"damaged\.safetensors"):
            node.invoke(context)
    path.unlink()


def test_a_model_that_is_gone_is_one_sentence_when_the_node_runs(nodes, context, portrait):
    node = nodes["gpen_restore_faces"](image=context.put(portrait), model_name="gone.pth")
    with pytest.raises(MissingWeightsError, match=r"gone\.pth"):
        node.invoke(context)


def test_the_page_offers_the_models_that_are_there(nodes):
    schema = nodes["gpen_restore_crops"].model_json_schema()["properties"]["model_name"]
    assert schema["enum"][0] == "gpen-lite-256.safetensors"
    assert schema["type"] == "string"


def test_degrading_is_the_same_for_the_same_seed_and_as_in_the_core(nodes, context, portrait):
    image = context.put(portrait)
    first, second = (nodes["gpen_degrade"](image=image, seed=7).invoke(context) for _ in range(2))
    expected, drawn = degrade(pixels(portrait), DegradationRecipe(), torch.Generator().manual_seed(7))
    assert np.array_equal(context.pixels(first.image), to_uint8(expected[0]))
    assert np.array_equal(context.pixels(first.image), context.pixels(second.image))
    assert first.values == str(drawn[0])
    fixed = nodes["gpen_degrade"](image=image, recipe="evaluation").invoke(context)
    expected, _ = degrade(pixels(portrait), EVALUATION_RECIPE, torch.Generator().manual_seed(0))
    assert np.array_equal(context.pixels(fixed.image), to_uint8(expected[0]))
