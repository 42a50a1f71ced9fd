"""The graph for engines on a processor is the same function as the module."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from gpen_nodes import Gpen, GpenConfig
from gpen_nodes.inference import cpu_graph

SMALL: dict[str, Any] = {"style_dim": 64, "mapping_depth": 2}


def random_network(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Gpen(config).requires_grad_(False)
        for name, tensor in network.named_parameters():
            if name.endswith(("bias", "noise.weight")):  # they start at 0 and 1, which could be left out
                tensor += 0.3 * torch.randn_like(tensor)
    return network


def run(data, face):
    openvino = pytest.importorskip("openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    return core.compile_model(core.read_model(data), "CPU", settings).create_infer_request().infer([face])[0]


@pytest.mark.parametrize(
    "config",
    [
        GpenConfig(64, 64, 0.25, 1, **SMALL),  # Winograd at 16 and 32 px
        GpenConfig(64, 64, 0.1, 1, **SMALL),
        GpenConfig(64, 64, 0.1, 1, concat=False, **SMALL),
        GpenConfig(128, 64, 0.1, 1, **SMALL),  # noise above the input's size
        GpenConfig(128, 128, 0.05, 1, encoder="resnet50", style_dim=64, mapping_depth=2),
    ],
    ids=["winograd", "plain", "sums", "noise", "resnet50"],
)
def test_it_is_the_module(config, monkeypatch):
    monkeypatch.setattr(cpu_graph, "SCALE_WEIGHTS", 16)
    network = random_network(config)
    face = torch.rand(1, 3, config.input_size, config.input_size) * 2 - 1
    with torch.no_grad():
        expected = network(face).numpy()
    error = np.square(run(cpu_graph.write_cpu_graph(network), face.numpy()) - expected, dtype=np.float64)
    peak = np.square(expected).max()
    assert 10 * math.log10(4 * peak / error.mean()) > 100


@pytest.mark.parametrize(
    ("size", "inputs", "outputs", "expected"),
    [
        (64, 1024, 512, True),
        (32, 1024, 512, False),  # its weights would be 57 MB more
        (16, 512, 256, True),
        (8, 512, 256, False),
        (512, 128, 64, False),
    ],
)
def test_where_winograd_is_worth_it(size, inputs, outputs, expected):
    assert cpu_graph.uses_winograd(size, inputs, outputs) is expected
