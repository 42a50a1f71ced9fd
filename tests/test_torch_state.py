"""What a host's process sets for torch changes no result of ours, and we leave it as it was."""

from __future__ import annotations

import contextlib
import copy
import pickle

import pytest
import torch

from gpen_nodes import (
    Checkpoint,
    Gpen,
    GpenConfig,
    LocalHost,
    OptionError,
    Restorer,
    detect_faces,
    read_checkpoint,
    write_checkpoint,
)
from gpen_nodes.faces.detectors import load_detector
from gpen_nodes.torch_state import own_arithmetic

CPU = LocalHost("cpu")


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "float16": lambda: default_dtype(torch.float16),
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def autocast() -> bool:
    """Whether it is on: by what it does, as the question's name changes between versions of torch."""
    x = torch.ones(1, 1, dtype=torch.float32)
    return (x @ x).dtype == torch.bfloat16


every_setting = pytest.mark.parametrize("setting", SETTINGS)


@pytest.fixture(scope="module")
def flat_checkpoint(tmp_path_factory):
    """A layout with filters in it, of a network that takes noise."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Gpen(GpenConfig(128, 64, 0.125, 1, style_dim=64, mapping_depth=2))
    path = tmp_path_factory.mktemp("weights") / "flat.pth"
    write_checkpoint(Checkpoint(model.state_dict(), model.config), path)
    return path


@every_setting
def test_the_same_faces_whatever_the_host_has_set(flat_checkpoint, setting):
    crops = torch.rand(1, 64, 64, 3)
    expected = Restorer(read_checkpoint(flat_checkpoint)).restore(crops, CPU)
    with SETTINGS[setting]():
        restored = Restorer.from_file(str(flat_checkpoint)).restore(crops, CPU)
    assert restored.dtype == torch.float32
    assert torch.equal(restored, expected)


@every_setting
def test_the_same_faces_are_found(astronaut, setting):
    expected = detect_faces(astronaut)
    load_detector.cache_clear()
    with SETTINGS[setting]():
        found = detect_faces(astronaut)
    load_detector.cache_clear()
    assert [face.landmarks for face in found] == [face.landmarks for face in expected] != []


def test_autocast_and_gradients_are_as_before():
    with torch.autocast("cpu", torch.bfloat16):
        with own_arithmetic(torch.device("cpu")):
            assert not autocast()
            assert not torch.is_grad_enabled()
        assert autocast()
        assert torch.is_grad_enabled()
    with own_arithmetic(torch.device("meta")):
        pass


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda restorer: pickle.loads(pickle.dumps(restorer))])
def test_a_copy_reads_the_file_again(tiny_checkpoint, copied):
    restorer = Restorer.from_file(str(tiny_checkpoint), "bf16", backend="cuda_graphs")
    other, crops = copied(restorer), torch.rand(1, 64, 64, 3)
    assert other is not restorer
    assert (other.dtype, type(other.backend)) == (restorer.dtype, type(restorer.backend))
    assert torch.equal(other.restore(crops, CPU), restorer.restore(crops, CPU))


def test_a_network_from_memory_says_that_it_cannot_be_copied(tiny_checkpoint):
    with pytest.raises(OptionError, match="from_file or get_restorer"):
        copy.deepcopy(Restorer(read_checkpoint(tiny_checkpoint)))
