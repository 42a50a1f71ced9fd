"""Engines of other libraries behind the same ``Restorer``."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gpen_nodes import (
    ArchitectureError,
    Checkpoint,
    Gpen,
    GpenConfig,
    LocalHost,
    MissingWeightsError,
    OptionError,
    OutOfMemoryError,
    Restorer,
    get_restorer,
    read_checkpoint,
)
from gpen_nodes.checkpoints.onnx.write import write_onnx
from gpen_nodes.inference.onnxruntime_backend import PROVIDERS

CPU = LocalHost("cpu")
ENGINES = ("onnxruntime", "openvino")


class Stopped(RuntimeError):
    """What a host raises."""


class Impatient(LocalHost):
    """Stops at the second look, when the engine runs already."""

    def __init__(self):
        super().__init__("cpu")
        self.looks = 0

    def check_interrupt(self):
        self.looks += 1
        if self.looks == 2:
            raise Stopped


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))


@pytest.fixture(params=ENGINES)
def engine(request):
    pytest.importorskip(request.param)
    return request.param


def decibels(faces, expected):
    return 10 * math.log10(1 / (faces - expected).square().mean().item())


def test_ctrl_c_arrives_after_models_have_come_and_gone(engine, tiny_checkpoint):
    """OpenVINO gives the thread another stack for signals, and a second one of it took back the first."""
    script = (
        "import os, signal, sys, torch; from gpen_nodes import LocalHost, Restorer;"
        "signal.signal(signal.SIGINT, lambda *_: print('came'));"
        "make = lambda: Restorer.from_file(sys.argv[1], backend=sys.argv[2]);"
        "one, two = make(), make(); crops = torch.rand(1, 64, 64, 3);"
        "one.restore(crops, LocalHost('cpu')); two.restore(crops, LocalHost('cpu'));"
        "del one; del two;"
        "os.kill(os.getpid(), signal.SIGINT)"
    )
    command = [sys.executable, "-c", script, str(tiny_checkpoint), engine]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert (run.returncode, run.stdout.split()) == (0, ["came"]), run.stderr


def test_an_engine_gives_the_same_faces(engine, tiny_checkpoint):
    crops = torch.rand(2, 64, 64, 3)
    expected = Restorer.from_file(str(tiny_checkpoint)).restore(crops, CPU)
    restorer = Restorer.from_file(str(tiny_checkpoint), backend=engine)
    assert decibels(restorer.restore(crops, CPU), expected) > 100
    assert restorer.module is None
    again = pickle.loads(pickle.dumps(restorer))
    assert torch.equal(again.restore(crops, CPU), restorer.restore(crops, CPU))


def test_memory_is_asked_for(engine, tiny_checkpoint):
    asked = []

    class Books(LocalHost):
        def resident(self, module, memory_required):
            asked.append((module, memory_required))
            return super().resident(module, memory_required)

    restorer = Restorer.from_file(str(tiny_checkpoint), backend=engine)
    restorer.restore(torch.rand(1, 64, 64, 3), Books("cpu"))
    (module, memory), *_ = asked
    weights = sum(tensor.numel() * 4 for tensor in read_checkpoint(tiny_checkpoint).state.values())
    assert module is None
    assert memory == restorer.backend.weight_bytes + restorer.activation_bytes
    assert restorer.backend.weight_bytes > 2 * weights


def test_an_interrupt_stops_a_face_and_leaves_the_engine_whole(engine, monkeypatch):
    config = GpenConfig(256, 256, 0.5, 1, style_dim=64, mapping_depth=2)
    with torch.random.fork_rng():
        restorer = Restorer(Checkpoint(Gpen(config).state_dict(), config), backend=engine)
    crops = torch.rand(1, 256, 256, 3)
    expected = restorer.restore(crops, CPU)
    monkeypatch.setattr(f"gpen_nodes.inference.{engine}_backend.POLL", 1e-3)
    with pytest.raises(Stopped):
        restorer.restore(crops, Impatient())
    torch.testing.assert_close(restorer.restore(crops, CPU), expected)


def test_auto_never_fails_for_a_dtype_that_the_engine_lacks(engine, tiny_checkpoint, monkeypatch):
    monkeypatch.setattr("gpen_nodes.inference.precision.has_quick_bf16", lambda: True)
    restorer = get_restorer(tiny_checkpoint, "auto", "cpu", backend=engine, keep=False)
    assert restorer.dtype in ("fp32", "bf16")
    assert restorer.restore(torch.rand(1, 64, 64, 3), CPU).isfinite().all()


def test_half_is_the_engines_own(tiny_checkpoint):
    pytest.importorskip("onnxruntime")
    crops = torch.rand(1, 64, 64, 3)
    expected = Restorer.from_file(str(tiny_checkpoint)).restore(crops, CPU)
    half = Restorer.from_file(str(tiny_checkpoint), "fp16", backend="onnxruntime").restore(crops, CPU)
    assert 40 < decibels(half, expected) < 100
    with pytest.raises(OptionError, match="fp32 or fp16"):
        Restorer.from_file(str(tiny_checkpoint), "bf16", backend="onnxruntime")


@pytest.mark.parametrize("name", ENGINES)
def test_a_missing_package_is_named(name, tiny_checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingWeightsError, match=rf"pip install {name}`, or `pip install gpen-nodes\["):
        Restorer.from_file(str(tiny_checkpoint), backend=name)


def test_compiled_models_are_kept_in_the_users_cache(tiny_checkpoint, tmp_path):
    pytest.importorskip("openvino")
    Restorer.from_file(str(tiny_checkpoint), backend="openvino").restore(torch.rand(1, 64, 64, 3), CPU)
    assert [*(tmp_path / "cache" / "gpen-nodes" / "openvino").iterdir()]


# Providers of ONNX Runtime that this machine lacks: what is asked of it.


class FakeSession:
    def __init__(self, model, settings, providers):
        self.settings, self.providers = settings, providers

    def get_providers(self):
        return [name for name, _ in self.providers]


@pytest.fixture
def runtime(monkeypatch):
    """onnxruntime with all providers, none of which runs."""
    known = [name for name, _ in PROVIDERS.values()]
    module = SimpleNamespace(
        InferenceSession=FakeSession, SessionOptions=SimpleNamespace, get_available_providers=lambda: known
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    return module


@pytest.mark.parametrize(
    ("backend", "device", "provider", "options"),
    [
        ("onnxruntime", "cpu", "CPUExecutionProvider", {}),
        ("onnxruntime", "cuda:1", "CUDAExecutionProvider", {"device_id": "1"}),
        ("onnxruntime", "mps", "CoreMLExecutionProvider", {}),
        ("onnxruntime", "xpu", "OpenVINOExecutionProvider", {}),
        ("onnxruntime", "privateuseone:1", "DmlExecutionProvider", {"device_id": "1"}),
        ("onnxruntime-directml", "cpu", "DmlExecutionProvider", {}),
        ("onnxruntime-tensorrt", "cuda:0", "TensorrtExecutionProvider", {}),
        ("onnxruntime-migraphx", "cpu", "MIGraphXExecutionProvider", {}),
        ("onnxruntime-qnn", "cpu", "QNNExecutionProvider", {}),
    ],
)
def test_providers_by_device_and_by_name(backend, device, provider, options, runtime, tiny_checkpoint):
    made: Any = Restorer.from_file(str(tiny_checkpoint), backend=backend).backend
    made.place(torch.device(device))
    first, *rest = made._session.providers
    assert first == (provider, options)
    assert rest == ([] if provider.startswith("CPU") else [("CPUExecutionProvider", {})])


def test_a_provider_that_is_not_there_names_the_package(runtime, tiny_checkpoint):
    runtime.get_available_providers = lambda: ["CPUExecutionProvider"]
    made = Restorer.from_file(str(tiny_checkpoint), backend="onnxruntime-directml").backend
    with pytest.raises(OptionError, match=r"has CPUExecutionProvider, and not Dml.*onnxruntime-directml"):
        made.place(torch.device("cpu"))


def test_a_provider_that_does_not_start_is_no_silent_cpu(runtime, tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(FakeSession, "get_providers", lambda self: ["CPUExecutionProvider"])
    made = Restorer.from_file(str(tiny_checkpoint), backend="onnxruntime-cuda").backend
    with pytest.raises(OptionError, match="could not start it"):
        made.place(torch.device("cpu"))


def test_an_engine_without_memory_says_so(tiny_checkpoint, monkeypatch):
    pytest.importorskip("onnxruntime")
    restorer = Restorer.from_file(str(tiny_checkpoint), backend="onnxruntime")
    restorer.backend.place(CPU.device)

    def fail(*_):
        raise Exception("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for 1 GB")

    backend: Any = restorer.backend
    session = backend._session
    monkeypatch.setattr(
        restorer.backend, "_session", SimpleNamespace(get_inputs=session.get_inputs, run=fail)
    )
    with pytest.raises(OutOfMemoryError):
        restorer.restore(torch.rand(1, 64, 64, 3), CPU)


# ONNX graphs whose weights cannot be taken out: those of the ResNet-50 encoder


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GpenConfig(64, 64, 0.125, 1, style_dim=64, mapping_depth=2, encoder="resnet50")
        return Gpen(config).requires_grad_(False)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("backend", ["folded", *ENGINES])
def test_a_graph_runs_as_it_is(backend, half, network, tmp_path):
    pytest.importorskip(backend if backend in ENGINES else "onnxruntime")
    path = tmp_path / "graph.onnx"
    path.write_bytes(write_onnx(network, half))
    with pytest.raises(ArchitectureError, match=r"cannot be turned back.*onnxruntime can run it"):
        read_checkpoint(path)
    restorer, crops = get_restorer(path, device="cpu", backend=backend, keep=False), torch.rand(2, 64, 64, 3)
    assert (restorer.size, restorer.input_size) == (64, 64)
    expected = network(crops.movedim(-1, 1) * 2 - 1).movedim(1, -1) / 2 + 0.5
    assert decibels(restorer.restore(crops, CPU), expected.clamp(0, 1)) > (40 if half else 100)


def test_a_graph_without_its_engine_says_what_to_install(network, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "graph.onnx").write_bytes(write_onnx(network))
    with pytest.raises(MissingWeightsError, match="pip install onnxruntime"):
        Restorer.from_file(str(tmp_path / "graph.onnx"))


def test_a_graph_that_the_engine_refuses_is_one_sentence(network, tmp_path):
    pytest.importorskip("onnxruntime")
    data = write_onnx(network).replace(b"GlobalAveragePool", b"GlobalAveragePoof")
    (tmp_path / "graph.onnx").write_bytes(data)
    restorer = Restorer.from_file(str(tmp_path / "graph.onnx"))
    with pytest.raises(OptionError, match=r"cannot run .*graph\.onnx"):
        restorer.restore(torch.rand(1, 64, 64, 3), CPU)
