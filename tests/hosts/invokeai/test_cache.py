"""The host's own cache of models, with ours in it."""
# pyright: reportMissingImports=false

from __future__ import annotations

import sys

import pytest
import torch

from gpen_nodes import Restorer, restore_crops, shipped_model
from tests.hosts.invokeai.conftest import INSTALLED

pytestmark = pytest.mark.skipif(not INSTALLED, reason="the package invokeai is not installed")


@pytest.fixture
def cached(nodes):
    """The shipped model as the cache keeps it, which replaces some of torch's layers by its own."""
    from invokeai.backend.model_manager.load.model_cache.torch_module_autocast import torch_module_autocast

    door = sys.modules["gpen-nodes.invokeai_extension.host"]
    model = door.CachedModel(Restorer.from_file(str(shipped_model()), "fp32"))
    torch_module_autocast.apply_custom_layers_to_model(model)
    return model


def test_its_size_is_that_of_the_weights(cached):
    from invokeai.backend.model_manager.load.model_util import calc_module_size

    size = calc_module_size(cached)
    assert 0.9 <= size / cached.restorer.backend.weight_bytes <= 1.1


@pytest.mark.parametrize("partial", [False, True])
def test_it_comes_and_goes_without_a_change(partial, cached):
    from invokeai.backend.model_manager.load.model_cache.cached_model import (
        cached_model_only_full_load,
        cached_model_with_partial_load,
    )

    crops = torch.rand(1, 256, 256, 3, generator=torch.Generator().manual_seed(0))
    before = restore_crops(Restorer.from_file(str(shipped_model()), "fp32"), crops)
    cpu = torch.device("cpu")
    if partial:
        held = cached_model_with_partial_load.CachedModelWithPartialLoad(cached, cpu, keep_ram_copy=True)
        steps = (lambda: held.partial_load_to_vram(2**40), lambda: held.partial_unload_from_vram(2**40))
    else:
        held = cached_model_only_full_load.CachedModelOnlyFullLoad(cached, cpu, 1, keep_ram_copy=True)
        steps = (held.full_load_to_vram, held.full_unload_from_vram)
    for step in (*steps, steps[0]):
        step()
        assert torch.equal(restore_crops(cached.restorer, crops), before)
