"""The choice of a dtype: what the device is quick in, if it gives the same picture."""

from __future__ import annotations

import contextlib
import logging
import shutil

import pytest
import torch

from gpen_nodes import (
    Gpen,
    GpenConfig,
    LocalHost,
    Restorer,
    forget_restorers,
    get_restorer,
    read_checkpoint,
    write_checkpoint,
)
from gpen_nodes.inference import precision, verdicts
from gpen_nodes.inference.folded import FoldedBackend, fold
from gpen_nodes.inference.precision import choose_dtype

CPU = torch.device("cpu")
HERE = LocalHost("cpu")
RUN = FoldedBackend.run


@pytest.fixture(autouse=True)
def nothing_known(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "user_cache_folder", lambda: tmp_path / "cache")
    forget_restorers()
    yield
    forget_restorers()


@pytest.fixture
def network(tiny_checkpoint) -> Gpen:
    return Gpen.from_state_dict(read_checkpoint(tiny_checkpoint).state)


@pytest.fixture
def quick(monkeypatch):
    """A CPU that computes in what the test says."""

    def take(*names: str) -> None:
        monkeypatch.setattr(precision, "_quick_dtypes", lambda device: list(names))

    return take


@pytest.fixture
def trials(monkeypatch) -> list:
    """One entry for each trial that was made."""
    made, real = [], precision._first_close_enough
    monkeypatch.setattr(precision, "_first_close_enough", lambda *a: made.append(a) or real(*a))
    return made


def test_the_first_dtype_that_is_close_and_the_log_says_how_close(network, quick, caplog):
    quick("bf16", "fp16")
    with caplog.at_level(logging.INFO, "gpen_nodes"):
        assert choose_dtype(network, HERE) == "bf16"
    (line,) = caplog.messages
    assert "bf16 on cpu" in line
    assert float(line.split(": ")[1].split()[0]) > 40


def test_one_that_is_not_close_is_passed_over(network, quick, monkeypatch):
    quick("bf16")
    monkeypatch.setattr(precision, "CLOSE_ENOUGH", 90.0)
    assert choose_dtype(network, HERE) == "fp32"


def test_nan_is_not_close(network, quick, monkeypatch):
    quick("bf16")
    half = lambda self, *args: RUN(self, *args) * (1 if self.module.dtype == torch.float32 else float("nan"))  # noqa: E731
    monkeypatch.setattr(FoldedBackend, "run", half)
    assert choose_dtype(network, HERE) == "fp32"


@pytest.fixture
def refuse(monkeypatch):
    """A CPU that cannot run a dtype, for a reason of the test's."""

    def take(reason: str, *dtypes: torch.dtype):
        def run(self, *args):
            if self.module.dtype in dtypes:
                raise RuntimeError(reason)
            return RUN(self, *args)

        monkeypatch.setattr(FoldedBackend, "run", run)

    return take


def test_a_dtype_that_the_device_lacks_is_passed_over(network, quick, refuse):
    quick("fp16", "bf16")
    refuse("\"conv\" not implemented for 'Half'", torch.float16)
    assert choose_dtype(network, HERE) == "bf16"


def test_memory_that_runs_out_in_the_trial_decides_nothing(
    tiny_checkpoint, network, quick, refuse, monkeypatch
):
    quick("bf16")
    refuse("out of memory", torch.float32)
    assert choose_dtype(network, HERE) is None
    poor = get_restorer(tiny_checkpoint, "auto", CPU)
    assert (poor.dtype, poor.tried) == ("fp32", False)
    assert not verdicts.user_cache_folder().exists()
    monkeypatch.setattr(FoldedBackend, "run", RUN)  # memory is there again
    assert get_restorer(tiny_checkpoint, "auto", CPU).dtype == "bf16"


def test_an_unknown_device_computes_in_fp32(network):
    assert choose_dtype(network, LocalHost("meta")) == "fp32"


def test_a_verdict_outlasts_the_process_but_not_the_file(tiny_checkpoint, quick, trials, tmp_path):
    quick("bf16")
    path = tmp_path / "model.safetensors"
    shutil.copy(tiny_checkpoint, path)
    for _ in range(2):
        forget_restorers()
        assert get_restorer(path, "auto", CPU).dtype == "bf16"
    assert len(trials) == 1
    Restorer.from_file(str(path), "auto", backend="cuda_graphs")
    assert len(trials) == 2
    checkpoint = read_checkpoint(path)
    checkpoint.state["encoder.stages.0.bias"] += 1
    write_checkpoint(checkpoint, path)
    assert Restorer.from_file(str(path), "auto").dtype == "bf16"
    assert len(trials) == 3


@pytest.mark.parametrize("content", [b"", b"int4", b"\xff"])
def test_a_damaged_verdict_is_none(tiny_checkpoint, quick, trials, content):
    quick("bf16")
    Restorer.from_file(str(tiny_checkpoint), "auto")
    (verdict,) = (verdicts.user_cache_folder() / "dtypes").iterdir()
    verdict.write_bytes(content)
    assert Restorer.from_file(str(tiny_checkpoint), "auto").dtype == "bf16"
    assert len(trials) == 2
    assert verdict.read_text() == "bf16"


def test_a_folder_that_cannot_be_written_is_no_error(tiny_checkpoint, quick, trials, tmp_path, monkeypatch):
    quick("bf16")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(verdicts, "user_cache_folder", lambda: tmp_path / "file" / "below")
    for _ in range(2):
        assert Restorer.from_file(str(tiny_checkpoint), "auto").dtype == "bf16"
    assert len(trials) == 2


def test_the_trial_asks_the_host_for_memory_and_for_interrupts(network, quick, recording_host):
    quick("bf16")

    class Careful(recording_host):
        held = 0
        most = 0

        @contextlib.contextmanager
        def resident(self, module, memory_required):
            Careful.held += 1
            Careful.most = max(Careful.most, Careful.held)
            assert memory_required > 0
            yield
            Careful.held -= 1

    host = Careful()
    assert choose_dtype(network, host) == "bf16"
    assert (Careful.held, Careful.most) == (0, 1)
    assert host.looks > 10
    with pytest.raises(KeyboardInterrupt):
        choose_dtype(network, Careful(patience=3))


def test_auto_is_decided_once_for_a_file_and_device(tiny_checkpoint, quick, trials):
    quick("bf16")
    first = get_restorer(tiny_checkpoint, "auto", CPU, keep=False)
    assert first.dtype == "bf16"
    assert get_restorer(tiny_checkpoint, "auto", CPU, keep=False) is first
    assert get_restorer(tiny_checkpoint, "bf16", keep=False) is first
    del first
    assert get_restorer(tiny_checkpoint, "auto", CPU).dtype == "bf16"  # read again, not tried again
    assert len(trials) == 1


def test_what_auto_chooses_is_the_one_that_is_resident(tiny_checkpoint, quick):
    quick()
    resident = get_restorer(tiny_checkpoint, "fp32")
    assert get_restorer(tiny_checkpoint, "auto", CPU) is resident


def test_a_dtype_that_is_asked_for_is_not_tried(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(precision, "_first_close_enough", lambda *a: pytest.fail("tried"))
    assert Restorer(read_checkpoint(tiny_checkpoint), "fp16").dtype == "fp16"


def test_fp16_does_not_overflow_where_styles_are_large():
    network = Gpen(GpenConfig(64, 64, 0.125, 1, style_dim=64, mapping_depth=2)).requires_grad_(False)
    for name, parameter in network.named_parameters():
        if "convs" in name and name.endswith("modulation.weight"):
            parameter.mul_(1e5)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    try:
        half = fold(network, torch.float16)(x)
    except RuntimeError as error:
        pytest.skip(f"this torch computes no fp16 on CPUs: {error}")
    exact = fold(network)(x)
    assert 10 * torch.log10(exact.square().mean() / (half - exact).square().mean()) > 30


def test_a_local_host_is_where_auto_is_tried(tiny_checkpoint, quick):
    quick()
    assert get_restorer(tiny_checkpoint, device=LocalHost("cpu").device).dtype == "fp32"
