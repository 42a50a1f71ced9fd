"""ComfyUI's nodes one by one, on the stub or in a real host."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import gpen_nodes
from gpen_nodes import (
    BACKENDS,
    TASKS,
    ArchitectureError,
    ImageError,
    MissingWeightsError,
    OptionError,
    restore_image,
    shipped_model,
)
from gpen_nodes.faces.detectors import load_detector
from tests.hosts.server import COMFYUI_DIR

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHIPPED = "gpen-lite-256.safetensors"


def is_blocked(output):
    """Whether the host leaves out the nodes behind an output, and says nothing."""
    return type(output).__name__ == "ExecutionBlocker" and output.message is None


@pytest.fixture
def model(models, run):
    return run("GPEN_LoadModel")[0]


@pytest.fixture
def batch(astronaut):
    """Frames with one, no and two faces."""
    both = torch.cat([astronaut[:, :256].roll(-60, 1)[:256], astronaut[:, 100:356][:256]], dim=1)
    two = torch.cat([both, torch.full_like(both, 0.5)])
    return torch.stack([astronaut, torch.full_like(astronaut, 0.5), two])


# The public contract


def contract(comfyui) -> dict:
    """Ids, inputs with their defaults and limits, and outputs; without texts and lists of files."""
    result = {}
    for node_id, node in comfyui.nodes.items():
        info = node.GET_NODE_INFO_V1()
        inputs = {}
        for group in ("required", "optional"):
            for name, (kind, options) in info["input"].get(group, {}).items():
                kept = {k: options[k] for k in ("default", "min", "max", "options") if k in options}
                if name == "model_name":
                    del kept["options"]
                inputs[name] = [group, kind, kept]
        result[node_id] = {
            "inputs": inputs,
            "outputs": [list(pair) for pair in zip(info["output_name"], info["output"], strict=True)],
        }
    return result


def test_ids_inputs_and_defaults_are_the_published_ones(comfyui):
    """Workflows in the world hold these. What changes needs a NodeReplace, and then a change of this file."""
    found = json.loads(json.dumps(contract(comfyui)))
    assert found == json.loads((HERE / "comfyui_contract.json").read_text())


def test_every_node_and_input_is_explained_in_both_languages(comfyui):
    texts = {
        language: json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))
        for language in ("en", "zh")
    }
    for node_id, node in comfyui.nodes.items():
        info = node.GET_NODE_INFO_V1()
        assert info["category"] == "image/face restoration"
        assert info["description"]
        shown = [group for kind, group in info["input"].items() if kind != "hidden"]
        inputs = {name: spec for group in shown for name, spec in group.items()}
        assert all(spec[1]["tooltip"] for spec in inputs.values())
        assert all(info["output_tooltips"])
        for own in texts.values():
            assert {*own[node_id]["inputs"]} == {*inputs}
            assert len(own[node_id]["outputs"]) == len(info["output"])
        for page in (f"{node_id}.md", f"{node_id}/zh.md"):
            text = (ROOT / "web" / "docs" / page).read_text("utf-8")
            assert all(f"`{name}`" in text for name in [*inputs, *info["output_name"]]), page
    assert {*texts["en"]} == {*texts["zh"]} == {*comfyui.nodes}


def test_search_finds_the_nodes_where_the_host_can_search(comfyui):
    """Who looks for another restorer by name means the one node that does it all."""
    if "search_aliases" not in comfyui.door.io.Schema.__dataclass_fields__:
        pytest.skip("this host's nodes have no search aliases")
    aliases = {node_id: {*node.define_schema().search_aliases} for node_id, node in comfyui.nodes.items()}
    assert all({"face restore", "GPEN"} <= own for own in aliases.values())
    for name in ("GFPGAN", "CodeFormer"):
        assert [node_id for node_id, own in aliases.items() if name in own] == ["GPEN_RestoreFaces"]


def test_the_category_is_chinese_in_chinese():
    texts = json.loads((ROOT / "locales" / "zh" / "main.json").read_text("utf-8"))
    assert texts["nodeCategories"]["face restoration"] == "人脸修复"


def test_what_few_users_need_is_folded_away(comfyui):
    """Newer pages hide it behind a button; older hosts hand it on, and their page ignores it."""
    inputs = comfyui.nodes["GPEN_RestoreFaces"].GET_NODE_INFO_V1()["input"]["required"]
    folded = {name for name, spec in inputs.items() if spec[1].get("advanced")}
    assert folded == {"min_score", "quarter_turns", "detector", "template"}
    optional = comfyui.nodes["GPEN_RestoreFaces"].GET_NODE_INFO_V1()["input"]["optional"]
    assert {name for name, spec in optional.items() if spec[1].get("advanced")} == {
        *("softness", "match_colour", "order"),
        *("colour", "keep_detail", "grain", "keep_front", "guard_identity"),
    }


# The door


def test_the_core_is_one_and_the_path_stays_as_it_is(comfyui, load_pack):
    before = list(sys.path)
    load_pack("/elsewhere/custom_nodes/gpen-nodes")
    assert sys.path == before
    assert comfyui.door.Restorer is gpen_nodes.Restorer


@pytest.mark.parametrize("installed", [False, True])
def test_the_core_beside_the_door_is_the_one(tmp_path, installed):
    """Even where pip has installed an older one; one that is already loaded is told of."""
    old = tmp_path / "site" / "gpen_nodes"
    old.mkdir(parents=True)
    (old / "__init__.py").write_text("")
    script = f"""
import asyncio, sys, types
sys.path[:0] = [{str(tmp_path / "site")!r}, {COMFYUI_DIR or str(HERE / "stub")!r}]
import comfy.cli_args; comfy.cli_args.args.cpu = True
if {installed}: import gpen_nodes
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("/packs/gpen", {str(ROOT / "__init__.py")!r})
pack = sys.modules["/packs/gpen"] = module_from_spec(spec)
spec.loader.exec_module(pack)
assert "comfy.model_management" not in sys.modules
try:
    asyncio.run(pack.comfy_entrypoint())
    print(sys.modules["gpen_nodes"].__file__)
except ImportError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    said = out.stdout.strip().splitlines()[-1]
    if installed:
        assert str(old) in said
        assert "pip uninstall" in said
    else:
        assert said == str(ROOT / "gpen_nodes" / "__init__.py")


def test_importing_the_nodes_loads_nothing_but_them():
    """On the stub, beyond the core and what every host has loaded."""
    script = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(HERE / "stub")!r}]
import torch, numpy, cv2, PIL.Image, gpen_nodes
import comfy.utils, comfy.model_management, comfy_api.latest, comfy_execution.graph_utils, folder_paths
before = {{*sys.modules}}
import comfyui_extension.nodes
print(*sorted({{name.split(".")[0] for name in {{*sys.modules}} - before}} - {{*sys.stdlib_module_names}}))
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {*out.stdout.split()} <= {"comfyui_extension", "comfy", "gpen_nodes"}


# Models


def test_models_of_both_folders_are_listed_and_nothing_else(comfyui, models, monkeypatch):
    old = models / "facerestore_models"
    for path in ("gpen/b.pth", "gpen/sub/a.safetensors", "gpen/notes.txt", "gpen/c.onnx", "gpen/d.ckpt"):
        (models / path).parent.mkdir(exist_ok=True)
        (models / path).touch()
    old.mkdir()
    for name in ("GFPGAN.PTH", "b.pth", "codeformer.onnx.part"):
        (old / name).touch()
    known = comfyui.folder_paths.folder_names_and_paths
    known["facerestore_models"] = ([str(old)], set())
    options = comfyui.nodes["GPEN_LoadModel"].GET_NODE_INFO_V1()["input"]["required"]["model_name"][1][
        "options"
    ]
    assert options == [SHIPPED, "b.pth", "c.onnx", os.path.join("sub", "a.safetensors"), "GFPGAN.PTH"]
    assert comfyui.door.find_model("b.pth") == models / "gpen" / "b.pth"
    assert comfyui.door.find_model(SHIPPED) == shipped_model()


def test_folders_are_registered_beside_those_of_the_users_yaml(comfyui, tmp_path, monkeypatch):
    folder_paths = comfyui.folder_paths
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {})
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    folder_paths.add_model_folder_path("gpen", "/elsewhere")
    comfyui.door.register_folders()
    assert folder_paths.folder_names_and_paths == {
        "gpen": (["/elsewhere", str(tmp_path / "gpen")], {".pth", ".pt", ".safetensors", ".onnx"})
    }
    assert (tmp_path / "gpen").is_dir()
    for key in ("facerestore_models", "facedetection"):
        (tmp_path / key).mkdir()
        folder_paths.add_model_folder_path(key, "/elsewhere")
    comfyui.door.register_folders()
    for key in ("facerestore_models", "facedetection"):
        assert folder_paths.get_folder_paths(key) == ["/elsewhere", str(tmp_path / key)]
        assert folder_paths.folder_names_and_paths[key][1] == {".pth", ".pt", ".safetensors", ".onnx"}


def test_a_missing_model_says_where_it_was_looked_for(comfyui, models):
    said = comfyui.nodes["GPEN_LoadModel"].validate_inputs("gone.pth")
    assert str(models / "gpen") in said
    assert "docs/checkpoints.md" in said
    said = comfyui.nodes["GPEN_LoadModel"].validate_inputs("GPEN-BFR-1024.pt")
    assert f'`gpen-nodes models get GPEN-BFR-1024.pt --to "{models / "gpen"}"`' in said
    assert comfyui.nodes["GPEN_LoadModel"].validate_inputs(SHIPPED) is True
    assert comfyui.nodes["GPEN_LoadModel"].validate_inputs() is True  # the name comes over a link
    assert "model_name is 5; expected" in comfyui.nodes["GPEN_LoadModel"].validate_inputs(5)
    with pytest.raises(MissingWeightsError):
        comfyui.door.find_model("../" + os.path.basename(__file__))


def test_what_is_no_gpen_says_what_it_is(models, run):
    from safetensors.torch import save_file

    tensors = {
        "an upscaler": "model.1.sub.0.RDB1.conv1.0.weight",
        "GFPGAN, not a GPEN": "stylegan_decoder.style_mlp.1.weight",
        "CodeFormer, not a GPEN": "fuse_convs_dict.32.scale.0.weight",
        "not a GPEN": "conv1.weight",
    }
    for said, name in tensors.items():
        save_file({f"params_ema.{name}": torch.zeros(3)}, models / "gpen" / "other.safetensors")
        with pytest.raises(ArchitectureError, match=rf"other\.safetensors.*{said}"):
            run("GPEN_LoadModel", model_name="other.safetensors")


def test_the_loader_offers_every_backend_and_task_of_the_core(comfyui):
    optional = comfyui.nodes["GPEN_LoadModel"].GET_NODE_INFO_V1()["input"]["optional"]
    offered = {name: spec[1].get("options") or spec[0] for name, spec in optional.items()}
    assert offered == {"backend": ["auto", *BACKENDS], "task": ["auto", *TASKS]}


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_of_another_package_restores_in_the_graph(engine, models, run, tiny_checkpoint, astronaut):
    pytest.importorskip(engine)
    shutil.copy(tiny_checkpoint, models / "gpen" / "tiny.safetensors")
    ours, theirs = (
        run("GPEN_LoadModel", model_name="tiny.safetensors", dtype="fp32", backend=name)[0]
        for name in ("folded", engine)
    )
    assert theirs.module is None
    crops = astronaut[None, :64, :64]
    pair = [run("GPEN_Restore", model=model, crops=crops)[1] for model in (ours, theirs)]
    torch.testing.assert_close(*pair, atol=1e-4, rtol=0)


def test_models_of_other_tasks_do_theirs_in_the_same_nodes(models, run, tiny_checkpoint, astronaut):
    for name in ("GPEN-Colorization-64.safetensors", "mine.safetensors"):
        shutil.copy(tiny_checkpoint, models / "gpen" / name)
    photo, mask = astronaut[None], torch.zeros(1, 512, 512)
    mask[:, 120:135, 200:240] = 1
    colours = run("GPEN_LoadModel", model_name="GPEN-Colorization-64.safetensors")[0]
    restored = run("GPEN_RestoreFaces", image=photo, model=colours)[0]
    luma = torch.tensor([0.299, 0.587, 0.114])
    assert ((restored - photo) @ luma).abs().max() < 1e-4
    assert not torch.equal(restored, photo)
    fills = run("GPEN_LoadModel", model_name="mine.safetensors", task="inpaint")[0]
    filled = run("GPEN_RestoreFaces", image=photo, model=fills, mask=mask)[0]
    assert torch.equal((filled != photo).any(-1), mask > 0)
    with pytest.raises(OptionError, match="mask"):
        run("GPEN_RestoreFaces", image=photo, model=fills)


def test_one_model_for_each_file_and_dtype(comfyui, models, run, tiny_checkpoint):
    shutil.copy(tiny_checkpoint, models / "gpen" / "tiny.safetensors")
    first, again, half = (
        run("GPEN_LoadModel", model_name="tiny.safetensors", dtype=dtype)[0]
        for dtype in ("bf16", "bf16", "fp16")
    )
    assert first is again
    assert first.patcher.model is first.module
    assert half is not first
    assert isinstance(first.patcher, comfyui.model_patcher.ModelPatcher)
    assert not any(parameter.is_inference() for parameter in first.module.parameters())


def test_a_changed_file_is_a_changed_input(comfyui, models, run, tiny_checkpoint):
    path = models / "gpen" / "tiny.safetensors"
    shutil.copy(tiny_checkpoint, path)
    print_of = comfyui.nodes["GPEN_LoadModel"].fingerprint_inputs
    before = print_of(model_name=path.name, dtype="auto")
    model = run("GPEN_LoadModel", model_name=path.name)[0]
    assert print_of(model_name=path.name, dtype="auto") == before
    os.utime(path, ns=(1, 1))
    assert print_of(model_name=path.name, dtype="auto") != before
    assert run("GPEN_LoadModel", model_name=path.name)[0] is not model


def test_the_hosts_flags_decide_on_auto(comfyui, models, run, tiny_checkpoint, monkeypatch):
    shutil.copy(tiny_checkpoint, models / "gpen" / "tiny.safetensors")
    args = comfyui.cli_args.args
    monkeypatch.setattr(args, "force_fp16", True)
    dtypes = []
    for device in ("cpu", "meta"):
        monkeypatch.setattr(comfyui.model_management, "get_torch_device", lambda d=device: torch.device(d))
        dtypes.append(run("GPEN_LoadModel", model_name="tiny.safetensors")[0].dtype)
    monkeypatch.setattr(args, "force_fp16", False)
    monkeypatch.setattr(args, "force_fp32", True)
    dtypes.append(run("GPEN_LoadModel", model_name="tiny.safetensors")[0].dtype)
    assert dtypes[1:] == ["fp16", "fp32"]
    assert dtypes[0] != "fp16"


# Memory


@pytest.mark.parametrize("state", ["LOW_VRAM", "NO_VRAM", "NORMAL_VRAM", "HIGH_VRAM"])
def test_the_whole_model_is_on_the_device_however_short_memory_is(
    comfyui, models, run, tiny_checkpoint, monkeypatch, state
):
    """The host's loader alone leaves a plain module behind and reports nothing; "meta" plays the GPU."""
    management = comfyui.model_management
    monkeypatch.setattr(management, "get_torch_device", lambda: torch.device("meta"))
    monkeypatch.setattr(management, "vram_state", management.VRAMState[state])

    def free(device=None, torch_free_too=False):
        return (1000, 1000) if torch_free_too else 1000

    monkeypatch.setattr(management, "get_free_memory", free)
    monkeypatch.setattr(management, "current_loaded_models", [])
    shutil.copy(tiny_checkpoint, models / "gpen" / "tiny.safetensors")
    model = run("GPEN_LoadModel", model_name="tiny.safetensors")[0]
    if state in ("LOW_VRAM", "NO_VRAM"):
        management.load_models_gpu([model.patcher], memory_required=10**9)
        if state == "NO_VRAM":  # with LOW_VRAM some hosts load a model as small as this one whole
            assert {t.device.type for t in model.module.state_dict().values()} != {"meta"}, "the trap is gone"
    host = comfyui.door.ComfyHost()
    assert host.device == torch.device("meta")
    with host.resident(model.module, 10**9):
        assert {t.device.type for t in (*model.module.parameters(), *model.module.buffers())} == {"meta"}


def test_a_model_that_yielded_comes_back_without_its_file(comfyui, models, run, tiny_checkpoint):
    path = models / "gpen" / "tiny.safetensors"
    shutil.copy(tiny_checkpoint, path)
    model = run("GPEN_LoadModel", model_name=path.name)[0]
    crops = torch.rand(1, 64, 64, 3)
    before = run("GPEN_Restore", model=model, crops=crops)[1]
    comfyui.model_management.unload_all_models()
    path.unlink()
    assert torch.equal(run("GPEN_Restore", model=model, crops=crops)[1], before)


def test_a_model_goes_with_what_the_host_keeps_of_its_node(models, run, tiny_checkpoint):
    shutil.copy(tiny_checkpoint, models / "gpen" / "tiny.safetensors")
    model = run("GPEN_LoadModel", model_name="tiny.safetensors")[0]
    run("GPEN_Restore", model=model, crops=torch.rand(1, 64, 64, 3))
    assert run("GPEN_LoadModel", model_name="tiny.safetensors")[0] is model
    gone = weakref.ref(model.module)
    del model
    gc.collect()
    assert gone() is None


# Running


def test_the_five_steps_are_the_one_node(run, model, batch):
    faces, crops, regions, preview, _ = run("GPEN_DetectAndAlign", image=batch, model=model)
    assert [face.image_index for face in faces] == [0, 2, 2]
    assert crops.shape == (3, 256, 256, 3)
    restored, restored_crops = run("GPEN_Restore", model=model, faces=faces)
    pasted, changed = run("GPEN_PasteBack", image=batch, faces=restored)
    models_face = {"colour": "model", "keep_detail": 0, "keep_front": False, "guard_identity": False}
    image, own_crops, mask, report = run("GPEN_RestoreFaces", image=batch, model=model, **models_face)
    assert torch.equal(pasted, image)
    assert torch.equal(changed, mask)
    assert torch.equal(regions, mask)
    assert torch.equal(restored_crops, own_crops)
    assert torch.equal(image[1], batch[1])
    assert preview.shape == batch.shape
    assert report.splitlines()[1].startswith("image 1: no face found, unchanged")
    host = gpen_nodes.LocalHost("cpu")
    assert torch.equal(image, restore_image(batch, model, host=host, **models_face).image)
    judged, crops, *_ = run("GPEN_RestoreFaces", image=batch, model=model)
    assert torch.equal(judged, restore_image(batch, model, host=host).image)
    assert crops.shape == own_crops.shape


def test_judging_between_restoring_and_pasting_is_the_one_node(run, model, batch):
    faces, *_ = run("GPEN_DetectAndAlign", image=batch, model=model)
    restored, _ = run("GPEN_Restore", model=model, faces=faces)
    chosen = {name: one.default for name, one in gpen_nodes.JudgeOptions().described().items()}
    judged, report = run("GPEN_JudgeFaces", image=batch, faces=restored, **chosen)
    image, *_, said = run("GPEN_RestoreFaces", image=batch, model=model)
    assert torch.equal(run("GPEN_PasteBack", image=batch, faces=judged)[0], image)
    assert len(report.splitlines()) == len(restored)
    assert report.splitlines()[0].removeprefix("image 0: ") in said
    assert run("GPEN_JudgeFaces", image=batch, faces=(), **chosen) == ((), "")


def test_alpha_and_empty_batches_pass(run, model, astronaut):
    alpha = torch.rand(1, 512, 512, 1)
    rgba = torch.cat([astronaut[None], alpha], dim=3)
    image, *_ = run("GPEN_RestoreFaces", image=rgba, model=model)
    assert torch.equal(image[..., 3:], alpha)
    assert not torch.equal(image[..., :3], astronaut[None])
    empty = torch.zeros(0, 40, 30, 3)
    *results, report = run("GPEN_RestoreFaces", image=empty, model=model)
    assert ([*map(is_blocked, results)], report) == ([True] * 3, "")
    faces, *results, boxes = run("GPEN_DetectAndAlign", image=empty, mask=torch.ones(1, 8, 8))
    assert (faces, [*map(is_blocked, results)], boxes) == ((), [True] * 3, [])
    assert run("GPEN_SelectFaces", faces=faces) == ((), ())
    crops = torch.zeros(0, 64, 64, 3)
    assert is_blocked(run("GPEN_Restore", model=model, faces=faces)[1])
    assert is_blocked(run("GPEN_Restore", model=model, crops=crops)[1])
    assert is_blocked(run("GPEN_PasteBack", image=empty, faces=faces)[0])
    assert torch.equal(run("GPEN_PasteBack", image=rgba, faces=(), crops=crops)[0], rgba)
    assert is_blocked(run("GPEN_Degrade", image=empty)[0])


def test_a_photo_without_faces_passes_and_blocks_what_wants_crops(run, model, comfyui):
    """Core nodes fail on an empty batch. Crops that never come mustn't keep the photo back."""
    image = torch.full((1, 64, 48, 3), 0.5)
    faces, crops, regions, preview, boxes = run("GPEN_DetectAndAlign", image=image)
    assert (faces, is_blocked(crops), boxes) == ((), True, [[]])
    assert (regions.shape, preview.shape) == ((1, 64, 48), (1, 64, 48, 3))
    assert is_blocked(run("GPEN_RestoreFaces", image=image)[1])
    for node_id in ("GPEN_Restore", "GPEN_JudgeFaces", "GPEN_PasteBack"):
        node = comfyui.nodes[node_id]
        assert node.GET_NODE_INFO_V1()["input"]["optional"]["crops"][1]["lazy"]
        assert node.check_lazy_status(faces=(), crops=None) == []
        assert node.check_lazy_status(faces=(1,), crops=None) == ["crops"]
        assert node.check_lazy_status(faces=(1,), crops=image) == []
        assert node.check_lazy_status(faces=(1,)) == []  # not linked
    assert comfyui.nodes["GPEN_Restore"].check_lazy_status(crops=None) == ["crops"]


def test_masks_of_any_size_limit_where(run, batch):
    everything = run("GPEN_DetectAndAlign", image=batch)[0]
    left = torch.zeros(1, 20, 30)
    left[:, :, :15] = 1
    found = run("GPEN_DetectAndAlign", image=batch, mask=left)[0]
    assert 0 < len(found) < len(everything)
    assert all(face.centre[0] < 256 for face in found)
    nothing = torch.zeros(1, 64, 64)  # LoadImage's, where a picture has no alpha
    assert len(run("GPEN_DetectAndAlign", image=batch, mask=nothing)[0]) == len(everything)
    assert run("GPEN_DetectAndAlign", image=batch, mask=nothing[:, :, :32])[0] == ()
    pasted, changed = run("GPEN_PasteBack", image=1 - batch, faces=everything, mask=left)
    assert changed[:, :, 280:].max() == 0
    assert changed[:, :, :230].max() == 1
    assert torch.equal(pasted[:, :, 280:], (1 - batch)[:, :, 280:])


def test_faces_go_into_an_upscaled_picture(run, astronaut):
    image = astronaut[None]
    faces, *_ = run("GPEN_DetectAndAlign", image=image)
    large = image.repeat_interleave(4, 1).repeat_interleave(4, 2)
    pasted, changed = run("GPEN_PasteBack", image=large, faces=faces)
    small = torch.nn.functional.avg_pool2d(changed[:, None], 4)[:, 0]
    assert (small - run("GPEN_PasteBack", image=image, faces=faces)[1]).abs().max() < 0.02
    assert (pasted - large).abs()[changed == 1].mean() < 0.05
    with pytest.raises(OptionError, match="proportions"):
        run("GPEN_PasteBack", image=large[:, :512], faces=faces)


def test_edited_crops_are_pasted(run, astronaut):
    image = astronaut[None]
    faces, *_ = run("GPEN_DetectAndAlign", image=image)
    red = torch.zeros(1, 128, 128, 4)
    red[..., 0] = 1
    pasted, changed = run("GPEN_PasteBack", image=image, faces=faces, crops=red)
    assert (pasted[changed == 1] - torch.tensor([1.0, 0, 0])).abs().max() < 1e-5
    with pytest.raises(ImageError, match="2 crops"):
        run("GPEN_PasteBack", image=image, faces=faces, crops=torch.cat([red, red]))


def test_faces_are_chosen(run, batch, models, comfyui):
    faces, *_ = run("GPEN_DetectAndAlign", image=batch)
    selected, rest = run("GPEN_SelectFaces", faces=faces, count=1)
    assert [face.image_index for face in selected] == [0, 2]
    assert len(rest) == 1
    assert run("GPEN_SelectFaces", faces=faces, count=0, indices="1-3") == ((rest[0],), selected)
    rightmost, _ = run("GPEN_SelectFaces", faces=faces, order="nearest", point_x=1.0)
    assert rightmost[1].centre[0] > 256
    with pytest.raises(OptionError, match="indices is 'one'"):
        run("GPEN_SelectFaces", faces=faces, indices="one")
    with pytest.raises(OptionError, match="reference"):
        run("GPEN_SelectFaces", faces=faces, order="most_alike")
    with pytest.raises(MissingWeightsError, match=r"MobileFaceNet\.onnx in .*gpen"):
        run("GPEN_SelectFaces", faces=faces, order="most_alike", reference=batch[:1])


def test_numbers_are_ranges(run, batch):
    faces, *_ = run("GPEN_DetectAndAlign", image=batch)

    def numbers(text, **more):
        return len(run("GPEN_SelectFaces", faces=faces, indices=text, **more)[0])

    assert numbers("0-999999999") == numbers("0-") == numbers("0, 1-7") == 3
    assert numbers("1-") == 1
    assert numbers("0-", count=0) == 3
    assert numbers(" ") == 2  # one of each image with faces
    for wrong in ("3-1", "1, x"):
        with pytest.raises(OptionError, match="indices is"):
            numbers(wrong)
    with pytest.raises(OptionError, match="min_likeness"):
        run("GPEN_SelectFaces", faces=faces, min_likeness=0.5)


def test_texts_of_options_are_the_cores():
    """The host's page reads them from a file; what it says has to be what the core says."""
    texts = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text("utf-8"))
    known = gpen_nodes.RestoreOptions().described()
    wrong = [
        (node_id, name)
        for node_id, node in texts.items()
        for name, one in node["inputs"].items()
        if name in known
        and name != "max_faces"  # 0 takes all there
        and not one["tooltip"].startswith(known[name].text.rstrip("."))
    ]
    assert not wrong


def test_a_person_is_found_again(run, batch, models, shared_data):
    shutil.copy(shared_data / "detectors" / "MobileFaceNet.onnx", models / "gpen")
    faces, *_ = run("GPEN_DetectAndAlign", image=batch)
    alike, others = run("GPEN_SelectFaces", faces=faces, count=0, reference=batch[:1], min_likeness=0.4)
    assert alike[0] is faces[0]
    assert len(alike) + len(others) == 3


def test_degrading_is_the_cores(run, batch):
    degraded, values = run("GPEN_Degrade", image=batch, seed=3)
    expected, drawn = gpen_nodes.degrade(
        batch, gpen_nodes.DegradationRecipe(), torch.Generator().manual_seed(3)
    )
    assert torch.equal(degraded, expected)
    assert values.splitlines() == [str(value) for value in drawn]
    assert run("GPEN_Degrade", image=batch, recipe="evaluation")[1].startswith("×4, blur σ 1.5")
    with pytest.raises(OptionError, match="scale"):
        run("GPEN_Degrade", image=batch, scale_min=20)


def test_results_are_kept_as_the_host_wishes(run, model, astronaut, comfyui, monkeypatch):
    monkeypatch.setattr(comfyui.model_management, "intermediate_dtype", lambda: torch.float16, raising=False)
    image, crops, mask, _ = run("GPEN_RestoreFaces", image=astronaut[None].half(), model=model)
    assert {image.dtype, crops.dtype, mask.dtype} == {torch.float16}
    assert (run("GPEN_RestoreFaces", image=image, model=model)[0] - image).abs().max() < 1


def test_progress_shows_each_restored_face(comfyui, run, model):
    told = []

    def hook(done, total, preview, node_id=None):
        told.append((done, total, preview[0], preview[1].size))

    comfyui.utils.set_progress_bar_global_hook(hook)
    try:
        run("GPEN_Restore", model=model, crops=torch.rand(2, 64, 64, 3))
    finally:
        comfyui.utils.set_progress_bar_global_hook(None)
    assert told == [(1, 2, "JPEG", (256, 256)), (2, 2, "JPEG", (256, 256))]


def test_cancelling_stops_within_a_face(comfyui, run, model):
    management = comfyui.model_management
    faces = []
    hooks = [
        model.module.encoder.register_forward_hook(lambda *_: management.interrupt_current_processing()),
        model.module.register_forward_hook(lambda *_: faces.append(1)),
    ]
    try:
        with pytest.raises(management.InterruptProcessingException):
            run("GPEN_Restore", model=model, crops=torch.rand(2, 64, 64, 3))
    finally:
        for hook in hooks:
            hook.remove()
    assert not faces


def test_too_little_memory_for_one_face_is_told_to_the_host(run, model, monkeypatch):
    counts = []

    def run_out(image, check):
        counts.append(len(image))
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(model.backend, "batch_size", lambda device: 4)
    monkeypatch.setattr(model.backend, "run", run_out)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        run("GPEN_Restore", model=model, crops=torch.rand(4, 64, 64, 3))
    assert counts == [4, 2, 1]


def test_nothing_connected_is_told(run, model):
    with pytest.raises(OptionError, match="connect one"):
        run("GPEN_Restore", model=model)


# Stages, memory, and values for other nodes


@pytest.fixture
def prompt_server(monkeypatch, comfyui):
    """The host's web server, as far as nodes look at it."""
    texts = []
    instance = SimpleNamespace(
        last_node_id="3",
        send_progress_text=lambda text, node_id: texts.append((node_id, text)),
        prompt_queue=SimpleNamespace(currently_running={}),
        texts=texts,
    )
    module = SimpleNamespace(PromptServer=SimpleNamespace(instance=instance))
    monkeypatch.setitem(sys.modules, "server", module)
    return instance


def test_every_stage_says_where_it_is(comfyui, run, model, batch, prompt_server):
    bars = []
    comfyui.utils.set_progress_bar_global_hook(lambda done, total, *_, **__: bars.append((done, total)))
    try:
        run("GPEN_RestoreFaces", image=batch, model=model)
    finally:
        comfyui.utils.set_progress_bar_global_hook(None)
    texts = [text for node_id, text in prompt_server.texts if node_id == "3"]
    for stage in ("Detecting faces", "Restoring faces", "Judging faces", "Pasting faces"):
        own = [text for text in texts if text.startswith(stage)]
        assert own[-1] == f"{stage}: 3 of 3"
    assert texts[0] == "Detecting faces: 0 of 3"
    assert bars[0] == (0, 3)


@pytest.mark.parametrize("before", ["Detecting", "Judging", "Pasting"])
def test_cancelling_acts_in_the_middle_of_a_stage(comfyui, run, model, astronaut, prompt_server, before):
    """Within an image that is searched, and within a face that is judged or pasted."""
    management = comfyui.model_management

    def cancel(text, node_id):
        if text.startswith(before):
            management.interrupt_current_processing()

    prompt_server.send_progress_text = cancel
    with pytest.raises(management.InterruptProcessingException):
        run("GPEN_RestoreFaces", image=astronaut[None], model=model)
    prompt_server.send_progress_text = lambda text, node_id: None
    run("GPEN_RestoreFaces", image=astronaut[None], model=model)


def test_what_nobody_reads_is_not_made(comfyui, run, batch, prompt_server, monkeypatch):
    """On a film, regions and preview take as much memory as the film; a new link makes the node run again."""
    node = comfyui.nodes["GPEN_DetectAndAlign"]
    monkeypatch.setattr(node, "hidden", SimpleNamespace(unique_id="3"), raising=False)
    links = {"images": ["3", 3]}
    prompt = {"3": {"inputs": {"image": ["1", 0]}}, "4": {"inputs": {"faces": ["3", 0]}}}
    prompt_server.prompt_queue.currently_running = {0: (0, "id", prompt)}
    before = node.fingerprint_inputs()
    assert run("GPEN_DetectAndAlign", image=batch)[2:4] == (None, None)
    prompt["5"] = {"inputs": links}
    assert node.fingerprint_inputs() != before
    _, _, regions, preview, _ = run("GPEN_DetectAndAlign", image=batch)
    assert regions is None
    assert preview.shape == batch.shape
    links["images"] = ["3", 2]
    _, _, regions, preview, _ = run("GPEN_DetectAndAlign", image=batch)
    assert (regions.shape, preview) == (batch.shape[:3], None)


def test_a_film_is_restored_in_parts(comfyui, run, model, batch, prompt_server, monkeypatch):
    """As it would be at once, but for what nobody reads."""
    whole = run("GPEN_RestoreFaces", image=batch, model=model)
    node = comfyui.nodes["GPEN_RestoreFaces"]
    parts = sys.modules[node.__module__.replace(".nodes", ".parts")]
    monkeypatch.setattr(parts, "_PART_BYTES", 2 * batch[0].numel() * 4)
    prompt_server.texts.clear()
    mask = torch.ones(batch.shape[:3])
    for expected, found in zip(
        whole, run("GPEN_RestoreFaces", image=batch, model=model, mask=mask), strict=True
    ):
        assert found == expected if isinstance(found, str) else torch.equal(found, expected)
    assert ("3", "Detecting faces: 0 of 1, images 3 to 3 of 3") in prompt_server.texts
    monkeypatch.setattr(node, "hidden", SimpleNamespace(unique_id="3"), raising=False)
    prompt = {"3": {"inputs": {"image": ["1", 0]}}, "4": {"inputs": {"images": ["3", 0]}}}
    prompt_server.prompt_queue.currently_running = {0: (0, "id", prompt)}
    before = node.fingerprint_inputs()
    restored, crops, changed, text = run("GPEN_RestoreFaces", image=batch, model=model)
    assert torch.equal(restored, whole[0])
    assert (crops, changed, text) == (None, None, whole[3])
    prompt["5"] = {"inputs": {"mask": ["3", 2]}}
    assert node.fingerprint_inputs() != before
    assert torch.equal(run("GPEN_RestoreFaces", image=batch, model=model)[2], whole[2])


def test_detectors_are_in_the_hosts_books(comfyui, run, astronaut, monkeypatch):
    """Else it would not know of their memory; and a host moves its models outside of a node's mode, too."""
    management = comfyui.model_management
    monkeypatch.setattr(management, "current_loaded_models", [])
    load_detector.cache_clear()
    run("GPEN_DetectAndAlign", image=astronaut[None])
    module = load_detector("mtcnn", torch.device("cpu"), None).module
    patcher = vars(module)["gpen_patcher"]
    held = [getattr(one, "model", None) or one() for one in management.current_loaded_models]
    assert patcher in held
    assert not any(weight.is_inference() for weight in module.parameters())


def test_the_page_gets_a_picture_and_boxes_to_click_on(comfyui, batch):
    node = comfyui.nodes["GPEN_DetectAndAlign"]
    values = {"crop_size": 64, "min_face": 0, "template": "gpen", "detector": "mtcnn"}
    output = node.execute(image=batch[1:], **values)
    (shown,) = output.ui["gpen_faces"]
    assert len(shown["boxes"]) == 2
    assert all(0 <= v <= 1 for box in shown["boxes"] for v in box)
    file = Path(comfyui.folder_paths.get_temp_directory(), shown["filename"])
    assert Image.open(file).size == (512, 512)
    assert node.execute(image=batch[1:2], **values).ui == {"gpen_faces": []}


def test_boxes_of_other_nodes_are_aligned(run, batch):
    faces, *_, boxes = run("GPEN_DetectAndAlign", image=batch)
    assert [len(own) for own in boxes] == [1, 0, 2]
    again, *_, same = run("GPEN_DetectAndAlign", image=batch, boxes=boxes)
    for one, other in zip(faces, again, strict=True):
        assert one.image_index == other.image_index
        assert torch.tensor(one.landmarks).sub(torch.tensor(other.landmarks)).abs().max() < 0.05 * one.size
    assert [len(own) for own in same] == [1, 0, 2]
    wide = {"x": boxes[0][0]["x"] - 20, "y": boxes[0][0]["y"] - 30, "width": 140, "height": 170}
    assert len(run("GPEN_DetectAndAlign", image=batch[:1], boxes=wide)[0]) == 1
    nowhere = {"x": 0, "y": 400, "width": 60, "height": 60}
    assert run("GPEN_DetectAndAlign", image=batch[:1], boxes=[nowhere])[0] == ()
    assert run("GPEN_DetectAndAlign", image=batch, boxes=[])[0] == ()
    with pytest.raises(OptionError, match="BOUNDING_BOX"):
        run("GPEN_DetectAndAlign", image=batch, boxes=[[1, 2, 3, 4]])


def test_faces_go_to_impact_pack_and_back(run, batch):
    faces, *_, boxes = run("GPEN_DetectAndAlign", image=batch[2:])
    ((height, width), segments), own = run("GPEN_FacesToSEGS", faces=faces)
    assert (height, width, len(segments)) == (512, 512, 2)
    assert own == boxes
    for segment, box in zip(segments, boxes[0], strict=True):
        x0, y0, x1, y1 = segment.crop_region
        assert segment.cropped_mask.shape == (y1 - y0, x1 - x0)
        assert segment.cropped_mask.sum() == box["width"] * box["height"]
        assert segment.label == "face"
    assert run("GPEN_SEGSToBoxes", segs=((height, width), segments)) == (boxes,)
    assert run("GPEN_FacesToSEGS", faces=())[0] == ((0, 0), [])
    with pytest.raises(OptionError, match="SEGS"):
        run("GPEN_SEGSToBoxes", segs=5)


def test_many_faces_are_short_in_print(run, astronaut):
    faces, *_ = run("GPEN_DetectAndAlign", image=astronaut[None].expand(200, -1, -1, -1)[:1])
    many = type(faces)(faces * 500)
    assert len(str(many)) < 2500
    assert str(many).startswith("500 faces\nimage 0: face of 97 px")
    assert "and 480 more" in str(many)


def test_the_one_node_takes_what_the_steps_take(run, model, batch):
    mask = torch.zeros(1, 512, 512)
    image, _, changed, report = run("GPEN_RestoreFaces", image=batch[:1], model=model, mask=mask + 1)
    assert changed.max() == 1
    assert report.startswith("image 0, 0: face of")
    hard = run("GPEN_RestoreFaces", image=batch[:1], model=model, softness=0.1)[2]
    assert hard.sum() > changed.sum()
    toned = run("GPEN_RestoreFaces", image=batch[:1], model=model, match_colour=True)[0]
    assert not torch.equal(toned, image)
    both = run("GPEN_RestoreFaces", image=batch[2:], model=model, order="left_to_right")[1]
    rightmost = run("GPEN_RestoreFaces", image=batch[2:], model=model, order="top_to_bottom", max_faces=1)[1]
    assert (len(both), len(rightmost)) == (2, 1)
    mask[:, :, 450:] = 1
    assert torch.equal(run("GPEN_RestoreFaces", image=batch[:1], model=model, mask=mask)[0], batch[:1])


def test_at_strength_0_nothing_is_said_to_be_restored(run, model, batch):
    image, *_, report = run("GPEN_RestoreFaces", image=batch, model=model, strength=0)
    assert torch.equal(image, batch)
    assert report.count("left as it is, strength is 0") == 3
    assert ": restored" not in report


def test_detectors_of_other_packs_are_found(comfyui, models):
    folder = models / "facedetection"
    folder.mkdir()
    comfyui.folder_paths.folder_names_and_paths["facedetection"] = ([str(folder)], {".pth"})
    assert comfyui.door.detector_weights("retinaface_resnet50") is None
    file = folder / "detection_Resnet50_Final.pth"
    file.touch()
    assert comfyui.door.detector_weights("retinaface_resnet50") == file
    assert comfyui.door.detector_weights("mtcnn") is None
    assert comfyui.door.detector_weights("retinaface_mobile0.25") is None


# Films


def test_frames_are_followed_and_held_steady(run, model, astronaut):
    """A film of one portrait that moves, with noise of its own in each frame; and what is asked of it."""
    noise = torch.Generator().manual_seed(0)
    frames = torch.stack([astronaut[k : k + 256, 100 + 2 * k : 356 + 2 * k] for k in range(6)])
    frames = (frames + 0.05 * torch.randn(frames.shape, generator=noise)).clamp(0, 1)
    image, report = run("GPEN_RestoreFrames", image=frames, model=model, fps=12.5)
    assert report.startswith("track 0, 0:00.00 to 0:00.40: face of")
    assert report.endswith("restored")
    host = gpen_nodes.LocalHost("cpu")
    assert torch.equal(image, gpen_nodes.restore_frames(frames, model, rate=12.5, host=host).image)
    boiling, _ = run("GPEN_RestoreFrames", image=frames, model=model, stability=0)
    assert not torch.equal(image, boiling)
    untouched, report = run("GPEN_RestoreFrames", image=frames, model=model, tracks="3-")
    assert torch.equal(untouched, frames)
    assert "left as it is, track 0 was not asked for" in report


def test_frames_without_faces_and_none_at_all_pass(run, model):
    image = torch.full((3, 64, 48, 4), 0.5)
    same, report = run("GPEN_RestoreFrames", image=image, model=model)
    assert torch.equal(same, image)
    assert report == "no face found, unchanged"
    assert is_blocked(run("GPEN_RestoreFrames", image=torch.zeros(0, 40, 30, 3), model=model)[0])


def test_one_person_of_a_film_needs_to_be_told_apart(run, model, astronaut, monkeypatch):
    frames = torch.stack([astronaut[k : k + 256, 100:356] for k in range(3)])
    with pytest.raises(MissingWeightsError, match="MobileFaceNet"):
        run("GPEN_RestoreFrames", image=frames, model=model, person=astronaut[None])
