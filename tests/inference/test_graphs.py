"""CUDA graphs: captured when they must be, and never another answer than the network's own.

A machine without CUDA takes a STAND-IN for ``torch.cuda``: it notes the operators of a capture and runs them
again on the same tensors, as CUDA does with addresses. That shows who keeps what and when; that CUDA can
capture the network, and what is gained, only a GPU shows. With one, the same tests run on it too.
"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from gpen_nodes import Checkpoint, LocalHost, OptionError, Restorer
from gpen_nodes.crops import restore_crops
from gpen_nodes.inference.folded import fold, graphs
from gpen_nodes.inference.folded.graphs import GraphedGpen
from gpen_nodes.model import Gpen, GpenConfig

CONFIG = GpenConfig(64, 64, 0.125, 1, style_dim=64, mapping_depth=2)


class StandIn(TorchDispatchMode):
    """A graph that holds operators with their tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        for func, args, kwargs, result in self.calls:
            for old, new in zip(tree_flatten(result)[0], tree_flatten(func(*args, **kwargs))[0], strict=True):
                if isinstance(old, Tensor):
                    old.copy_(new)


@pytest.fixture(params=["stand-in", "cuda"])
def device(request, monkeypatch) -> str:
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device here")
        return "cuda"
    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, put in {
        "device": lambda device: contextlib.nullcontext(),
        "current_stream": lambda: stream,
        "stream": lambda stream: contextlib.nullcontext(),
        "CUDAGraph": StandIn,
        "graph": lambda graph, **options: graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, put)
    monkeypatch.setattr(graphs, "side_stream", lambda device: stream)
    monkeypatch.setattr(graphs, "has_graphs", lambda device: True)
    return "cpu"


@pytest.fixture
def captures(monkeypatch) -> list[tuple]:
    """The shapes that were captured."""
    shapes, capture = [], GraphedGpen._capture

    def counted(self, image, check):
        shapes.append(tuple(image.shape))
        return capture(self, image, check)

    monkeypatch.setattr(GraphedGpen, "_capture", counted)
    return shapes


@pytest.fixture(scope="module")
def network() -> Gpen:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Gpen(CONFIG).requires_grad_(False)


@pytest.fixture
def folded(network, device):
    return fold(network).to(device)


def face(seed: int, device: str, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(batch, 3, 64, 64, generator=generator) * 2 - 1).to(device)


def same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-4, rtol=0)  # CUDA's libraries may choose other kernels.


def test_two_faces_one_capture_and_neither_overwrites_the_other(folded, device, captures):
    graphed = GraphedGpen(folded)
    faces = [face(0, device), face(1, device)]
    restored = [graphed(x) for x in faces]
    assert not same(*restored)
    for x, y in zip(faces, restored, strict=True):
        assert same(y, folded(x))
    assert captures == [(1, 3, 64, 64)]


def test_another_shape_is_captured_anew_and_one_graph_is_held(folded, device, captures):
    graphed = GraphedGpen(folded)
    for batch in (1, 2, 1):
        x = face(0, device, batch)
        assert same(graphed(x), folded(x))
    assert [shape[0] for shape in captures] == [1, 2, 1]


def test_weights_that_were_replaced_one_by_one_are_captured_anew(folded, device, captures):
    graphed, x = GraphedGpen(folded), face(0, device)
    before = graphed(x)
    folded.start = folded.start * 2  # as hosts do it that move weights themselves
    assert not same(graphed(x), before)
    assert same(graphed(x), folded(x))
    assert len(captures) == 2


def test_a_graph_stays_where_the_network_stays_and_goes_when_it_goes(folded, device, captures):
    graphed, x = GraphedGpen(folded), face(0, device)
    graphed(x)
    graphed.to(device)  # as a host does before each run
    graphed(x)
    assert len(captures) == 1
    graphed.to("meta")
    assert graphed._captured is None


def test_an_interrupt_comes_within_the_first_face_and_before_each_replay(folded, device, captures):
    def stop():
        raise KeyboardInterrupt

    graphed, x, asked = GraphedGpen(folded), face(0, device), []
    graphed(x, lambda: asked.append("first"))
    graphed(x, lambda: asked.append("second"))
    assert asked.count("first") > 10
    assert asked.count("second") == 1
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            graphed(x, stop)
        assert same(graphed(x), folded(x))
    assert len(captures) == 1


def test_a_graph_from_inference_mode_serves_outside_of_it(folded, device):
    graphed, x = GraphedGpen(folded), face(0, device)
    with torch.inference_mode():
        inside = graphed(face(0, device))
    assert same(graphed(x), inside)


def break_captures(monkeypatch, folded, during: Exception, at_the_end: Exception | None = None) -> None:
    @contextlib.contextmanager
    def broken(graph, **options):
        try:
            raise during
        except RuntimeError:
            if at_the_end:
                raise at_the_end  # noqa: B904 - as torch does it
            raise
        yield

    monkeypatch.setattr(torch.cuda, "graph", broken)


@pytest.mark.parametrize("at_the_end", [None, RuntimeError("CUDA error: previous error during capture")])
def test_memory_that_runs_out_in_a_capture_is_told_as_such(folded, device, monkeypatch, at_the_end):
    break_captures(monkeypatch, folded, torch.cuda.OutOfMemoryError("CUDA out of memory."), at_the_end)
    graphed = GraphedGpen(folded)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        graphed(face(0, device))
    assert graphed._captured is None


def test_what_cuda_cannot_capture_is_told_with_a_remedy(folded, device, monkeypatch):
    break_captures(monkeypatch, folded, RuntimeError("operation not permitted"), RuntimeError("ended badly"))
    with pytest.raises(OptionError, match=r"\(operation not permitted\); restore without cuda_graphs"):
        GraphedGpen(folded)(face(0, device))


def test_a_restorer_captures_once_for_any_number_of_faces(network, device, captures):
    checkpoint = Checkpoint(network.state_dict(), CONFIG)
    graphed, plain = Restorer(checkpoint, cuda_graphs=True), Restorer(checkpoint)
    for count in (3, 1, 2):
        crops = torch.rand(count, 64, 64, 3, generator=torch.Generator().manual_seed(count))
        restored = restore_crops(graphed, crops, LocalHost(device))
        assert same(restored, restore_crops(plain, crops, LocalHost(device)))
    assert captures == [(1, 3, 64, 64)]


def test_off_by_default_and_nothing_on_a_cpu(network, captures):
    checkpoint = Checkpoint(network.state_dict(), CONFIG)
    crops = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    plain, graphed = Restorer(checkpoint), Restorer(checkpoint, cuda_graphs=True)
    assert not isinstance(plain.module, GraphedGpen)
    assert torch.equal(plain.restore(crops, LocalHost("cpu")), graphed.restore(crops, LocalHost("cpu")))
    assert captures == []
    assert plain.chunk(torch.device("cuda")) > graphed.chunk(torch.device("cuda")) == 1
    assert plain.chunk(torch.device("mps")) == graphed.chunk(torch.device("mps"))
