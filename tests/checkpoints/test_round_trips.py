"""Every layout, precision and serialisation, written and read back."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from gpen_nodes.checkpoints import (
    Checkpoint,
    Layout,
    default_layout,
    describe,
    read_checkpoint,
    write_checkpoint,
)
from gpen_nodes.errors import CheckpointError, OptionError
from gpen_nodes.model.names import to_released_names

LAYOUTS: tuple[Layout, ...] = ("flat", "bundle", "safetensors")


def assert_same(found: Checkpoint, expected: Checkpoint, dtype: torch.dtype = torch.float32) -> None:
    assert found.config == expected.config
    assert set(found.state) == set(expected.state)
    assert found.dtype == dtype
    for name, tensor in expected.state.items():
        assert torch.equal(found.state[name], tensor.to(dtype)), name
        assert found.state[name].dtype == dtype


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip(
    tmp_path: Path, small: Checkpoint, layout: Layout, dtype: torch.dtype, legacy: bool
) -> None:
    path = tmp_path / "weights"
    if layout == "safetensors" and legacy:
        with pytest.raises(OptionError, match="legacy"):
            write_checkpoint(small, path, layout, dtype, legacy)
        assert not list(tmp_path.iterdir())
        return
    write_checkpoint(small, path, layout, dtype, legacy)
    if layout != "safetensors":
        assert zipfile.is_zipfile(path) != legacy
    found = read_checkpoint(path)
    assert_same(found, small, dtype)
    assert (found.layout, found.path) == (layout, path)
    if layout != "flat":  # which holds tensors and nothing else
        assert (found.version, found.licence) == ("GPEN-lite-64", "Apache-2.0")
        assert found.args["steps"] == 10


@pytest.mark.parametrize("layout", ["bundle", "safetensors"])
def test_the_resnet_model(tmp_path: Path, resnet: Checkpoint, layout: Layout) -> None:
    write_checkpoint(resnet, tmp_path / "weights", layout, torch.float16)
    found = read_checkpoint(tmp_path / "weights")
    assert_same(found, resnet, torch.float16)
    assert (found.version, found.licence) == ("GPEN-BFR-v2.0-64", "unknown")


def test_a_discriminator(tmp_path: Path, discriminator: Checkpoint) -> None:
    for layout in ("flat", "safetensors"):
        write_checkpoint(discriminator, tmp_path / layout, layout)
        assert_same(read_checkpoint(tmp_path / layout), discriminator)


def test_layouts_that_cannot_hold_a_network(
    tmp_path: Path, resnet: Checkpoint, discriminator: Checkpoint
) -> None:
    with pytest.raises(OptionError, match="bundle or safetensors"):
        write_checkpoint(resnet, tmp_path / "a.pth", "flat")
    with pytest.raises(OptionError, match="flat or safetensors"):
        write_checkpoint(discriminator, tmp_path / "a.pth", "bundle")
    assert not list(tmp_path.iterdir())


def test_the_layout_follows_the_name_and_the_encoder(small: Checkpoint, resnet: Checkpoint) -> None:
    assert default_layout("a.safetensors", small) == "safetensors"
    assert default_layout("a.SafeTensors", resnet) == "safetensors"
    assert default_layout("a.pth", small) == "flat"
    assert default_layout("a.pth", resnet) == "bundle"


# --- what others find in our files ---


@pytest.mark.parametrize("legacy", [False, True])
def test_a_flat_file_is_what_gpen_saves(tmp_path: Path, small: Checkpoint, legacy: bool) -> None:
    write_checkpoint(small, tmp_path / "a.pth", "flat", legacy=legacy)
    loaded = torch.load(tmp_path / "a.pth", weights_only=True)
    assert {"ecd0.0.0.weight", "ecd1.0.0.kernel", "final_linear.0.bias", "generator.style.1.weight"} <= set(
        loaded
    )
    assert {"generator.convs.0.conv.blur.kernel", "generator.to_rgbs.0.upsample.kernel"} <= set(loaded)
    kernel = torch.tensor([1.0, 3.0, 3.0, 1.0])
    assert torch.equal(loaded["ecd1.0.0.kernel"], torch.outer(kernel, kernel) / 64)
    assert torch.equal(loaded["generator.convs.0.conv.blur.kernel"], torch.outer(kernel, kernel) / 16)


def test_a_discriminators_filters_are_written(tmp_path: Path, discriminator: Checkpoint) -> None:
    write_checkpoint(discriminator, tmp_path / "d.pth")
    loaded = torch.load(tmp_path / "d.pth", weights_only=True)
    assert {"convs.1.conv2.0.kernel", "convs.1.skip.0.kernel"} <= set(loaded)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_bundle_is_as_documented(tmp_path: Path, small: Checkpoint, legacy: bool) -> None:
    write_checkpoint(replace(small, args={}), tmp_path / "b.pth", "bundle", legacy=legacy)
    options: dict[str, Any] = {} if torch.__version__ < "2.4" else {"weights_only": False}
    loaded = torch.load(tmp_path / "b.pth", **options)
    assert list(loaded) == ["encoder", "mapper", "generator", "args"]
    assert isinstance(loaded["args"], argparse.Namespace)
    assert (loaded["args"].input_resolution, loaded["args"].output_resolution) == (64, 64)
    assert loaded["args"].version == "GPEN-BFR-v2.0-64"
    assert not hasattr(loaded["args"], "task")
    assert read_checkpoint(tmp_path / "b.pth").licence == "unknown"  # whose weights they are nobody said
    assert not hasattr(loaded["args"], "license")
    content = (tmp_path / "b.pth").read_bytes()
    if not legacy:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
        assert content[:2] == b"\x80\x04"
    else:
        assert content.count(b"\x80\x04\x95") == 5  # each of the five pickles


def test_safetensors_tell_config_version_and_licence(tmp_path: Path, small: Checkpoint) -> None:
    write_checkpoint(small, tmp_path / "s.safetensors")
    with safetensors.safe_open(str(tmp_path / "s.safetensors"), framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["config"])["narrow"] == 0.0625
    assert (metadata["version"], metadata["license"]) == ("GPEN-lite-64", "Apache-2.0")


def test_a_view_does_not_bring_its_storage(tmp_path: Path, small: Checkpoint) -> None:
    huge = {name: torch.zeros(8, *tensor.shape)[3] for name, tensor in small.state.items()}
    sizes = {}
    for name, state in (("view", huge), ("own", {name: view.clone() for name, view in huge.items()})):
        write_checkpoint(replace(small, state=state), tmp_path / name, "flat")
        sizes[name] = (tmp_path / name).stat().st_size
    assert sizes["view"] == sizes["own"]


def test_transposed_tensors_and_gradients(tmp_path: Path, small: Checkpoint) -> None:
    state = {
        name: tensor.transpose(0, -1).contiguous().transpose(0, -1).requires_grad_()
        for name, tensor in small.state.items()
    }
    for layout in LAYOUTS:
        write_checkpoint(replace(small, state=state), tmp_path / layout, layout)
        found = read_checkpoint(tmp_path / layout)
        assert_same(found, small)
        assert all(tensor.is_contiguous() for tensor in found.state.values())
    loaded = torch.load(tmp_path / "flat", weights_only=True)
    assert not any(tensor.requires_grad for tensor in loaded.values())


def test_numbers_too_large_for_half(tmp_path: Path, small: Checkpoint) -> None:
    state = {**small.state, "mapper.1.bias": torch.full((32,), 1e6)}
    with pytest.raises(OptionError, match=r"mapper\.1\.bias"):
        write_checkpoint(replace(small, state=state), tmp_path / "a.pth", dtype=torch.float16)


# --- what we find in others' files ---


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"g_ema": state},
        lambda state: {"params_ema": state, "params": {name: tensor * 0 for name, tensor in state.items()}},
        lambda state: {"params": state},
        lambda state: {"state_dict": state, "epoch": 3, "step": torch.tensor(7)},
        lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {**state, "epoch": 3},
        lambda state: {
            "g": {name: tensor * 0 for name, tensor in state.items()},
            "d": {"weight": torch.zeros(3)},
            "g_ema": state,
            "g_optim": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.0, 0.99)}]},
            "d_optim": {},
            "args": argparse.Namespace(lr=0.002, path=None),
        },
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_wrapped_weights(tmp_path: Path, small: Checkpoint, wrap, legacy: bool) -> None:
    wrapped = wrap(to_released_names(small.state))
    torch.save(wrapped, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(tmp_path / "w.pth")
    assert_same(found, small)
    assert found.args == ({"lr": 0.002, "path": None} if "args" in wrapped else {})


def test_parameters_and_views_of_one_storage(tmp_path: Path, small: Checkpoint) -> None:
    flat = torch.cat([tensor.flatten() for tensor in small.state.values()])
    parts = flat.split([tensor.numel() for tensor in small.state.values()])
    state = {
        name: torch.nn.Parameter(part.view(small.state[name].shape))
        for name, part in zip(small.state, parts, strict=True)
    }
    for legacy in (False, True):
        torch.save(state, tmp_path / "v.pth", _use_new_zipfile_serialization=not legacy)
        found = read_checkpoint(tmp_path / "v.pth")
        assert_same(found, small)
        assert len({tensor.untyped_storage().data_ptr() for tensor in found.state.values()}) == 1


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol(tmp_path: Path, small: Checkpoint, protocol: int) -> None:
    for legacy in (False, True):
        torch.save(
            {"params": small.state, "args": argparse.Namespace(tags=["a", 1, 2.5, None, (True,)])},
            tmp_path / "p.pth",
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=not legacy,
        )
        found = read_checkpoint(tmp_path / "p.pth")
        assert_same(found, small)
        assert found.args == {"tags": ["a", 1, 2.5, None, (True,)]}


def test_safetensors_of_others(tmp_path: Path, small: Checkpoint) -> None:
    safetensors.torch.save_file(to_released_names(small.state), tmp_path / "o.safetensors")
    found = read_checkpoint(tmp_path / "o.safetensors")
    assert_same(found, small)
    assert (found.version, found.licence) == ("unknown", "unknown")


def test_reading_needs_no_torch_load_and_leaves_the_host_alone(
    tmp_path: Path, small: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(small, tmp_path / "b.pth", "bundle")
    monkeypatch.setattr(torch, "load", None)  # AUTOMATIC1111's WebUI puts a function of its own there
    before = torch.get_rng_state()
    read_checkpoint(tmp_path / "b.pth")
    assert torch.equal(torch.get_rng_state(), before)


# --- failures on the way out ---


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_failed_write_leaves_nothing(
    tmp_path: Path,
    small: Checkpoint,
    layout: Layout,
    failure: BaseException,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "old.pth"
    path.write_bytes(b"old")

    def write_half(self: Path, data: bytes) -> None:
        with self.open("wb") as stream:
            stream.write(data[: len(data) // 2])
        raise failure

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(CheckpointError if isinstance(failure, OSError) else KeyboardInterrupt) as raised:
        write_checkpoint(small, path, layout)
    if isinstance(failure, OSError):
        assert "Free some space" in str(raised.value)
        assert str(path) in str(raised.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["old.pth"]


def test_a_missing_folder_is_named(tmp_path: Path, small: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="create the folder"):
        write_checkpoint(small, tmp_path / "no" / "a.pth")


# --- description ---


def test_describe(tmp_path: Path, small: Checkpoint, discriminator: Checkpoint) -> None:
    write_checkpoint(small, tmp_path / "s.safetensors", dtype=torch.float16)
    facts = describe(read_checkpoint(tmp_path / "s.safetensors"))
    assert facts["size"] == "64 px in, 64 px out"
    assert facts["dtype"] == "float16"
    assert facts["version"] == "GPEN-lite-64"
    assert facts["licence"] == "Apache-2.0"
    assert facts["widths"] == "32 at 4, 32 at 8, 32 at 16, 32 at 32, 16 at 64"
    assert facts["parameters"].startswith(f"{sum(tensor.numel() for tensor in small.state.values()):,} ")
    assert len(facts["sha256"]) == 64
    assert facts["args.steps"] == "10"
    assert "discriminator" in describe(discriminator)["kind"]
    assert pickle.dumps(facts)  # plain strings
