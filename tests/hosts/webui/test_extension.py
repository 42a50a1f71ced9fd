"""The extension on stubs of each host: restorer, Extras, settings, models, memory, interrupts."""

from __future__ import annotations

import gc
import importlib.util
import json
import shutil
import subprocess
import sys
import weakref
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import (
    Checkpoint,
    CheckpointError,
    Gpen,
    GpenConfig,
    MissingWeightsError,
    OptionError,
    from_uint8,
    write_checkpoint,
)
from gpen_nodes.faces.detectors import mtcnn_nets
from tests.hosts.webui import stub
from tests.hosts.webui.server import ROOT

SHIPPED = "gpen-lite-256.safetensors"
HERE = Path(__file__).parent


class Generation:
    """A run of txt2img, as far as a face restorer sees it."""

    def __init__(self):
        self.extra_generation_params, self.comments = {}, []

    def comment(self, text):
        self.comments.append(text)


@pytest.fixture
def restorer(host):
    if host.name == "sdnext":
        pytest.skip("SD.Next has no face restorers")
    (found,) = host.shared.face_restorers
    return found


@pytest.fixture
def generation(host, restorer):
    script, p = host.script.GpenGeneration(), Generation()
    script.process(p)
    yield p
    script.postprocess(p, None)


@pytest.fixture
def extras(host):
    script = host.script.GpenExtras()

    def run(image, info=None, **values):
        pp = host.modules["modules.scripts_postprocessing"].PostprocessedImage(image)
        pp.info.update(info or {})
        script.process(pp, **values)
        return pp.image, {key: value for key, value in pp.info.items() if value is not None}

    return run


# Loading


def test_a_reload_registers_once_more_but_lists_once(host):
    host.load()
    assert [one.name() for one in getattr(host.shared, "face_restorers", [])].count("GPEN") <= 1
    assert (host.folder / "GPEN").is_dir()


def test_nothing_stays_on_the_path(host):
    sys.path.insert(0, str(ROOT))
    host.shared.cmd_opts.api = False
    host.start(None)
    assert str(ROOT) not in sys.path


def test_a_second_clone_says_where_the_first_is(host, tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    with pytest.raises(ImportError, match="already loaded from"):
        host.load(tmp_path)


def test_another_core_that_is_loaded_is_told(tmp_path):
    (tmp_path / "gpen_nodes").mkdir()
    (tmp_path / "gpen_nodes" / "__init__.py").touch()
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import a1111_extension"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert f"gpen_nodes is already loaded from {tmp_path / 'gpen_nodes'}" in out.stderr


def test_loading_brings_nothing_heavy(tmp_path):
    """On a stub, beyond what every host has loaded; ``benchmarks/webui_start.py`` takes the time."""
    code = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}]
import torch, numpy, cv2, PIL.Image, fastapi, pydantic, safetensors
from tests.hosts.webui import stub
sys.modules.update(stub.build("a1111", Path({str(tmp_path)!r})))
before = set(sys.modules)
import runpy; runpy.run_path({str(ROOT / "scripts" / "gpen.py")!r})
loaded = {{m.split(".")[0] for m in set(sys.modules) - before}}
print(sorted(loaded & {{"facexlib", "scipy", "matplotlib", "numba"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_few_frames_are_on_the_stack_where_a_callback_is_registered(host):
    """Each costs the real hosts about 5 ms of their start."""
    assert [frames for what, frames in host.told if what == "frames"] < [8]


def test_the_flag_reaches_the_command_line():
    from argparse import ArgumentParser

    spec = importlib.util.spec_from_file_location("gpen_preload", ROOT / "preload.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parser = ArgumentParser()
    module.preload(parser)
    assert parser.parse_args(["--gpen-models-path", "/x"]).gpen_models_path == "/x"


# Models and settings


def test_models_of_both_folders_are_listed_and_nothing_else(host, tmp_path):
    other = tmp_path / "other"
    for path in ("GPEN/b.pth", "GPEN/sub/a.safetensors", "GPEN/notes.txt", "GPEN/c.onnx"):
        (host.folder / path).parent.mkdir(exist_ok=True)
        (host.folder / path).touch()
    other.mkdir()
    (other / "c.PT").touch()
    (other / "b.pth").touch()
    host.shared.cmd_opts.gpen_models_path = str(other)
    files = host.door("models").model_files()
    assert list(files) == [SHIPPED, "b.pth", "c.onnx", "sub/a.safetensors", "c.PT"]
    assert files["b.pth"] == host.folder / "GPEN" / "b.pth"
    with pytest.raises(MissingWeightsError, match=r"docs/checkpoints\.md"):
        host.door("models").find_model("../GPEN/b.pth")
    with pytest.raises(MissingWeightsError, match=r"models get GPEN-BFR-1024\.pt --to ../../models/GPEN`"):
        host.door("models").find_model("GPEN-BFR-1024.pt")


def test_linked_folders_of_models_are_followed(host, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.pth").touch()
    try:
        (host.folder / "GPEN" / "linked").symlink_to(tmp_path / "disk", target_is_directory=True)
    except OSError:
        pytest.skip("no links on this machine")
    assert "linked/a.pth" in host.door("models").model_files()


def test_a_folder_that_cannot_be_made_costs_nothing(host):
    (host.folder / "GPEN").rmdir()
    (host.folder / "GPEN").touch()
    host.load()
    assert [*host.door("models").model_files()] == [SHIPPED]


LIMITS = {"gpen_max_megabytes", "gpen_max_megapixels"}


def test_settings_stand_on_the_hosts_page_of_face_restoration(host):
    settings, labels = host.door("settings"), host.shared.opts.data_labels
    if host.name == "sdnext":  # which has no restorers that these could be for
        assert {*labels} == LIMITS
        return
    assert settings.chosen_options()["model"] == SHIPPED
    names = {f"gpen_{name}" for name in settings.chosen_options()}
    assert {*labels} == names | LIMITS
    new = ("max_faces", "order", "min_score", "template", "quarter_turns")
    assert names >= {f"gpen_{name}" for name in new}
    assert {info.section for info in labels.values()} == {("face-restoration", "Face restoration")}
    assert labels["gpen_detector"].component_args()["choices"][0] == "mtcnn"


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("min_face", 400.0, 400),
        ("max_faces", 3.0, 3),
        ("max_faces", 0.0, None),
        ("quarter_turns", True, True),
    ],
)
def test_settings_reach_the_core_in_its_types(host, restorer, portrait, monkeypatch, name, given, taken):
    asked = []

    def ask(image, restorer, **options):
        asked.append(options[name])
        raise OptionError("enough")

    monkeypatch.setattr(host.door("restore"), "restore_image", ask)
    host.shared.opts.data[f"gpen_{name}"] = given
    with pytest.raises(OptionError, match="enough"):
        restorer.restore(np.asarray(portrait))
    assert asked == [taken]
    assert type(asked[0]) is type(taken) or name == "min_face"


def test_who_the_limits_are_for_may_not_change_them(host):
    assert all(host.shared.opts.data_labels[name].restrict_api for name in LIMITS)


# Face restorer


def test_the_restorer_gives_the_cores_pixels_and_says_so(host, restorer, generation, portrait, expected):
    found = restorer.restore(np.asarray(portrait))
    assert found.dtype == np.uint8
    assert np.abs(found - expected(portrait)).max() <= 1
    assert generation.extra_generation_params == {"GPEN restorer": "1 of 1 faces"}


def test_inference_mode_of_the_host_spoils_nothing(host, restorer, portrait):
    with torch.inference_mode():
        first = restorer.restore(np.asarray(portrait))
    assert torch.is_grad_enabled()
    weights = host.door("restore")._load(SHIPPED, host.door("host").WebuiHost()).module.state_dict().values()
    assert not any(tensor.is_inference() for tensor in weights)
    host.shared.opts.data["face_restoration_unload"] = True
    assert np.array_equal(restorer.restore(np.asarray(portrait)), first)


def test_a_failure_keeps_the_picture_and_is_told(host, restorer, generation, portrait, capsys):
    pixels = np.asarray(portrait)
    host.shared.opts.data["gpen_model"] = "gone.pth"
    assert np.array_equal(restorer.restore(pixels), pixels)
    said = generation.extra_generation_params
    assert said["Face restoration"] is None
    assert "gone.pth" in said["GPEN restorer"]
    assert "gone.pth" in generation.comments[0]
    assert "gone.pth" in capsys.readouterr().err
    host.shared.opts.data["gpen_model"] = SHIPPED
    restorer.restore(pixels)
    assert generation.extra_generation_params == {"GPEN restorer": "1 of 1 faces"}


def test_without_a_generation_a_failure_fails_the_request(host, restorer, portrait):
    host.shared.opts.data["gpen_model"] = "gone.pth"
    with pytest.raises(MissingWeightsError):
        restorer.restore(np.asarray(portrait))


def test_a_picture_without_faces_does_not_claim_one(restorer, generation):
    gray = np.full((64, 64, 3), 128, np.uint8)
    assert np.array_equal(restorer.restore(gray), gray)
    assert generation.extra_generation_params["Face restoration"] is None
    assert generation.extra_generation_params["GPEN restorer"] == "0 of 0 faces"


# Extras


def section(host, in_extras=True):
    """The controls, as the host has them made."""
    script = host.script.GpenExtras()
    script.filename = "gpen.py" if in_extras else None
    return script.ui()


def test_controls_are_the_published_ones(host):
    """Scripts in the world give them as a list, in this order. What changes here breaks those."""
    controls = section(host)
    found = [[name, one.value] for name, one in controls.items()]
    assert found == json.loads((HERE / "contract.json").read_text())["extras"]
    assert host.script.GpenExtras.order == 1500
    assert [name for name, one in controls.items() if one.options.get("visible") is False] == [
        "strength",
        "size",
    ]


def test_the_section_is_on_by_a_control_that_the_host_draws(host):
    """SD.Next's accordion around each script switches nothing on, nor does its InputAccordion."""
    stub.entered.clear()
    enable = section(host)["enable"]
    if host.name != "sdnext":
        assert isinstance(enable, stub.InputAccordion)
        return
    assert type(enable) is stub.Checkbox
    assert enable.options["label"] == "Restore faces with GPEN"
    assert not any(isinstance(one, stub.InputAccordion) or one.args == ("GPEN",) for one in stub.entered)
    section(host, in_extras=False)
    assert [one.args for one in stub.entered].count(("GPEN",)) == 1  # there it folds


def test_only_detectors_that_can_run_are_offered(host, monkeypatch):
    models = host.door("models")
    assert "retinaface_resnet50" not in models.detectors()
    (host.folder / "GFPGAN").mkdir()
    (host.folder / "GFPGAN" / "detection_Resnet50_Final.pth").touch()
    found = importlib.util.find_spec("facexlib")
    assert ("retinaface_resnet50" in models.detectors()) == (found is not None)
    choices = section(host)["detector"].options["choices"]
    assert choices == [*models.detectors()]
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "facexlib" else real(name))
    assert models.detectors() == ("mtcnn",)
    with pytest.raises(MissingWeightsError, match="pip install facexlib"):
        models.find_detector("retinaface_resnet50")


@pytest.mark.parametrize(
    "values", [dict.fromkeys(("enable", "visibility", "model")), {"enable": True, "visibility": 0}, {}]
)
def test_off_is_off(extras, portrait, values):
    image, info = extras(portrait, **values)
    assert image is portrait
    assert info == {}


def test_extras_restores_and_keeps_alpha_and_metadata(extras, portrait, expected):
    picture = portrait.copy()
    picture.putalpha(Image.linear_gradient("L").resize(portrait.size))
    picture.info["icc_profile"] = b"profile"
    image, info = extras(picture, enable=True, visibility=0.5, strength=0.8, model=SHIPPED, size="256")
    colours = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(colours - expected(portrait, strength=0.4)).max() <= 1
    assert np.array_equal(np.asarray(image.getchannel("A")), np.asarray(picture.getchannel("A")))
    assert image.info["icc_profile"] == b"profile"
    assert info["GPEN visibility"] == 0.5
    assert info["GPEN faces"] == "1 of 1"


def test_what_only_the_api_gives_is_said_where_it_differs(extras, portrait):
    values = {"enable": True, "visibility": 1, "strength": 1.0, "size": "as the model", "max_faces": 0}
    _, info = extras(portrait, **values)
    assert {*info} == {"GPEN visibility", "GPEN max faces", "GPEN faces"}
    _, info = extras(portrait, **values | {"strength": 0.5, "max_faces": 1.0})
    assert {*info} == {"GPEN visibility", "GPEN strength", "GPEN max faces", "GPEN faces"}


@pytest.mark.parametrize("host", ["sdnext"], indirect=True)  # any: hosts don't differ here
def test_faces_are_chosen_in_extras(extras, portrait):
    two = Image.new("RGB", (1024, 512))
    two.paste(portrait.resize((400, 400)), (0, 56))
    two.paste(portrait, (512, 0))
    run = partial(extras, two, enable=True, visibility=1, min_score=0.8)
    assert run()[1]["GPEN faces"] == "2 of 2"
    image, info = run(max_faces=1.0, order="left_to_right")
    assert info["GPEN faces"] == "1 of 2"
    assert np.array_equal(np.asarray(image)[:, 512:], np.asarray(two)[:, 512:])
    assert "not restored: template" in run(template="other")[1]["GPEN faces"]
    turned = two.copy()
    turned.paste(portrait.rotate(90), (512, 0))
    assert extras(turned, enable=True, visibility=1)[1]["GPEN faces"] == "1 of 1"
    assert extras(turned, enable=True, visibility=1, quarter_turns=True)[1]["GPEN faces"] == "2 of 2"


def test_softness_reaches_the_core(extras, portrait, expected):
    image, _ = extras(portrait, enable=True, visibility=1, softness=0.9)
    assert np.abs(np.asarray(image).astype(int) - expected(portrait, softness=0.9)).max() <= 1
    assert np.abs(np.asarray(image).astype(int) - expected(portrait)).max() > 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"size": "512"}, "256"),
        ({"size": "large"}, "large"),
        ({"model": "gone.pth"}, "gone.pth"),
        ({"detector": "retinaface_resnet50"}, "into models/GFPGAN"),
        ({"max_faces": "many"}, "many"),
    ],
)
def test_a_failure_in_extras_says_so_and_claims_nothing(extras, portrait, values, reason):
    before = {"GPEN model": "of the picture before", "GPEN faces": "3 of 3"}
    image, info = extras(portrait, before, enable=True, visibility=1, **values)
    assert image is portrait
    assert {*info} == {"GPEN faces"}
    assert reason in info["GPEN faces"]


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB\nmore"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."),
        MemoryError(),
    ],
)
def test_out_of_memory_is_a_sentence(host, extras, portrait, monkeypatch, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(host.door("restore"), "restore_image", fail)
    _, info = extras(portrait, enable=True, visibility=1)
    assert info["GPEN faces"].startswith("not restored: Out of memory")


def test_settings_paste_back_in_the_main_page_and_in_extras(host, portrait):
    scripts = host.modules["modules.scripts_manager" if host.name == "sdnext" else "modules.scripts"]
    runner = SimpleNamespace(infotext_fields=[], paste_field_names=[])
    scripts.scripts_current = runner
    controls = section(host, in_extras=False)
    pasted = {key: one for one, key in runner.infotext_fields if isinstance(key, str)}
    assert pasted["GPEN order"] is controls["order"]
    enabled = next(key for one, key in runner.infotext_fields if one is controls["enable"])
    assert enabled({"GPEN model": "x"}) is True
    assert enabled({}) is False
    assert "GPEN model" in runner.paste_field_names
    shown = [one for one in controls.values() if one.elem_id]
    assert {one.elem_id.partition("_")[0] for one in shown} == {"txt2img"}


def test_the_paste_button_reads_the_pages_picture(host, portrait, monkeypatch):
    extras, made = host.door("extras"), []
    monkeypatch.setattr(
        extras.gr, "Button", lambda *a, **o: made.append(extras.gr.Slider(*a, **o)) or made[-1]
    )
    picture = SimpleNamespace(elem_id="extras_image")
    page = SimpleNamespace(blocks={1: object(), 2: picture})
    monkeypatch.setattr(host.modules["gradio.context"].Context, "root_block", page)
    controls = section(host)
    (button,) = made
    assert button.inputs == [picture]
    portrait = portrait.copy()
    portrait.info["postprocessing"] = (
        "GPEN visibility: 0.7, GPEN strength: 0.5, GPEN model: a.pth, GPEN min face: 33.0, "
        "GPEN quarter turns: False, GPEN max faces: 2"
    )
    given = dict(zip(button.outputs, button.fn(portrait), strict=True))
    assert given[controls["enable"]] == {"value": True}
    assert given[controls["visibility"]] == {"value": 0.35}  # of the two factors of older pictures
    assert given[controls["model"]] == {"value": "a.pth"}
    assert given[controls["min_face"]] == {"value": 33}
    assert given[controls["quarter_turns"]] == {"value": False}
    assert given[controls["max_faces"]] == {"value": 2}
    assert given[controls["softness"]] == {}
    assert {controls["strength"], controls["size"]}.isdisjoint(button.outputs)
    assert button.fn(None) == [{}] * len(button.outputs)


# Device, memory, interrupts


def test_a_device_and_dtype_are_the_hosts(host, monkeypatch):
    devices, make = host.modules["modules.devices"], host.door("host").WebuiHost
    assert make().dtype == "fp32"
    devices.dtype = torch.float16
    assert make().dtype == "auto"  # half precision, on a CPU
    if host.name == "sdnext":
        devices.device = torch.device("meta")
    else:
        asked = []
        devices.get_device_for = lambda task: asked.append(task) or torch.device("meta")
        make()
        assert asked == ["gpen"]
    assert make().device.type == "meta"
    assert make().dtype == "fp16"
    devices.dtype = torch.bfloat16
    assert make().dtype == "bf16"
    host.shared.cmd_opts.use_cpu = ["gpen"]
    assert make().device.type == "cpu"


def test_a_gpu_is_cleared_by_the_hosts_own_means(host):
    module = torch.nn.Linear(2, 2)
    devices = host.modules["modules.devices"]
    devices.device = torch.device("meta")
    devices.get_device_for = lambda task: torch.device("meta")
    with host.door("host").WebuiHost().resident(module, 100):
        pass
    assert module.weight.device.type == "meta"
    told = [amount for what, amount in host.told if what == "room"]
    assert told == {"a1111": [None], "sdnext": []}.get(host.name, [100 + 6 * 4])


@pytest.mark.parametrize("flag", ["face_restoration_unload", "lowvram", "medvram", "always_no_vram"])
def test_the_model_leaves_the_device_where_the_host_wants_it(host, flag):
    device = host.door("host").WebuiHost()
    moved: list[str] = []
    module = SimpleNamespace(to=lambda where: moved.append(str(where)), state_dict=dict)
    with device.resident(module, 100):
        pass
    assert moved == ["cpu"]
    if flag == "face_restoration_unload":
        host.shared.opts.data[flag] = True
    else:
        setattr(host.shared.cmd_opts, flag, True)
    with device.resident(module, 100):
        assert moved == ["cpu"] * 2
    assert moved == ["cpu"] * 3


def test_one_model_is_in_memory_and_all_doors_share_it(host, extras, portrait, tiny_checkpoint):
    shutil.copy(tiny_checkpoint, host.folder / "GPEN" / "tiny.safetensors")
    restore = host.door("restore")
    load = restore._load
    small = Image.new("RGB", (32, 32))
    extras(small, enable=True, visibility=1, model="tiny.safetensors")
    first = weakref.ref(load("tiny.safetensors", host.door("host").WebuiHost()).module)
    extras(small, enable=True, visibility=1, model="tiny.safetensors")
    assert first() is load("tiny.safetensors", host.door("host").WebuiHost()).module
    knot: list = [first()]
    knot.append(knot)
    gc.collect()  # what it has seen once, Python by itself looks at again only rarely
    del knot  # garbage that holds the model, as a failure's traceback may
    extras(small, enable=True, visibility=1)
    assert first() is None


def test_progress_moves_and_comes_back(host, extras, portrait):
    state = host.shared.state
    state.sampling_steps = 20
    extras(portrait, enable=True, visibility=1)
    assert (1, 1, "GPEN: face 1 of 1") in state.seen
    assert "GPEN: detecting faces" in [text for _, _, text in state.seen]
    assert (state.sampling_step, state.sampling_steps, state.textinfo) == (0, 20, None)


@pytest.mark.parametrize("button", ["interrupted", "skipped"])
def test_interrupt_and_skip_act_within_detection(host, extras, portrait, button, monkeypatch):
    state, looks, known = host.shared.state, [], mtcnn_nets.CascadeNet.forward

    def press(self, *args):
        looks.append(1)
        setattr(state, button, True)
        return known(self, *args)

    monkeypatch.setattr(mtcnn_nets.CascadeNet, "forward", press)
    image, info = extras(portrait, enable=True, visibility=1)
    assert looks == [1]  # of about ten that this picture takes
    assert image is portrait
    assert "Interrupted" in info["GPEN faces"]


@pytest.mark.parametrize("button", ["interrupted", "skipped"])
def test_interrupt_and_skip_act_within_a_face(host, extras, portrait, button, monkeypatch):
    check, looks = host.door("host").WebuiHost.check_interrupt, []

    def press(self):
        looks.append(1)
        if len(looks) == 6:
            setattr(host.shared.state, button, True)
        check(self)

    monkeypatch.setattr(host.door("host").WebuiHost, "check_interrupt", press)
    image, info = extras(portrait, enable=True, visibility=1)
    assert len(looks) == 6
    assert image is portrait
    assert info == {"GPEN faces": "not restored: Interrupted; the picture is unchanged."}


def test_retinafaces_weights_are_those_of_the_host(host):
    pytest.importorskip("facexlib")
    folder = host.folder / "GFPGAN"
    folder.mkdir()
    (folder / "detection_Resnet50_Final.pth").write_bytes(b"none")
    with pytest.raises(CheckpointError, match="GFPGAN"):
        host.door("restore").restore(torch.zeros(64, 64, 3), detector="retinaface_resnet50")


def test_a_file_that_is_no_gpen_and_a_size_that_is_not_its_own(host):
    model = Gpen(GpenConfig(64, 64, 0.125, 1, style_dim=64, mapping_depth=2))
    write_checkpoint(Checkpoint(model.state_dict(), model.config), host.folder / "GPEN" / "tiny.safetensors")
    with pytest.raises(OptionError, match="64 px"):
        host.door("restore").restore(from_uint8(np.zeros((64, 64, 3), np.uint8)), "tiny.safetensors", 512)
    (host.folder / "GPEN" / "broken.pth").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match=r"broken\.pth"):
        host.door("restore").restore(torch.zeros(64, 64, 3), "broken.pth")
