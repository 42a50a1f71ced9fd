"""The restorer: shapes, chunks, interrupts, bad numbers; and the cache in front of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import weakref

import pytest
import torch

from gpen_nodes import (
    EVALUATION_RECIPE,
    ArchitectureError,
    Checkpoint,
    CheckpointError,
    DegenerateOutputError,
    Discriminator,
    DiscriminatorConfig,
    ImageError,
    LocalHost,
    OptionError,
    Restorer,
    align_face,
    degrade,
    detect_faces,
    forget_restorers,
    get_restorer,
    read_checkpoint,
    read_image_file,
    shipped_model,
)
from gpen_nodes.evaluation.metrics import gradient_energy

CPU = LocalHost("cpu")


@pytest.fixture
def restorer(tiny_checkpoint):
    return Restorer(read_checkpoint(tiny_checkpoint))


def test_any_number_of_faces_in_order(restorer):
    crops = torch.rand(3, 64, 64, 3)
    restored = restorer.restore(crops, CPU)
    assert restored.shape == (3, 64, 64, 3)
    assert restored.dtype == torch.float32
    assert not restored.requires_grad
    assert torch.equal(restored[1:2], restorer.restore(crops[1:2], CPU))
    assert restorer.restore(crops[:0], CPU).shape == (0, 64, 64, 3)


def test_crops_of_another_size_are_resized(restorer):
    assert restorer.restore(torch.rand(1, 100, 100, 3), CPU).shape == (1, 64, 64, 3)


def test_is_the_network_between_two_ranges(restorer):
    crops = torch.rand(1, 64, 64, 3)
    with torch.no_grad():
        expected = restorer.module(crops.permute(0, 3, 1, 2) * 2 - 1).permute(0, 2, 3, 1) / 2 + 0.5
    torch.testing.assert_close(restorer.restore(crops, CPU), expected.clamp(0, 1), atol=1e-5, rtol=0)


def half_on_cpu() -> bool:
    try:
        with torch.autocast("cpu", torch.float16):
            return True
    except RuntimeError:
        return False


needs_half = pytest.mark.skipif(not half_on_cpu(), reason="this torch knows no fp16 on CPUs")


@pytest.mark.parametrize("dtype", ["bf16", pytest.param("fp16", marks=needs_half)])
def test_low_precision_is_close(tiny_checkpoint, restorer, dtype):
    crops = torch.rand(1, 64, 64, 3)
    low = Restorer(read_checkpoint(tiny_checkpoint), dtype).restore(crops, CPU)
    assert (low - restorer.restore(crops, CPU)).abs().mean() < 0.02


@pytest.mark.parametrize("shape", [(64, 64, 3), (1, 64, 32, 3), (1, 64, 64, 4)])
def test_refuses_other_shapes(restorer, shape):
    with pytest.raises(ImageError, match="square RGB"):
        restorer.restore(torch.rand(shape), CPU)


def shipped_model_gains(photo):
    """Decibels that the shipped model gains on a photo's face at 256 px, and how much sharper it gets."""
    truth = align_face(photo, detect_faces(photo)[0], 256).crop[None]
    degraded, _ = degrade(truth, EVALUATION_RECIPE, torch.Generator().manual_seed(0))
    restored = get_restorer(shipped_model(), "fp32").restore(degraded, CPU)
    before, after = (-10 * torch.log10((x - truth).square().mean()).item() for x in (degraded, restored))
    blurred, sharp = (gradient_energy(x.permute(0, 3, 1, 2)).item() for x in (degraded, restored))
    return after - before, sharp / blurred


def test_the_shipped_model_makes_a_face_sharper_and_no_less_true(astronaut):
    decibels, sharper = shipped_model_gains(astronaut)
    assert decibels > -0.1  # It gains little on this one; other versions of a codec cost as much.
    assert sharper > 2.3  # Luma and colours together: coloured outlines would give more.


def test_the_shipped_model_keeps_the_promise_of_its_card(shared_data):
    photos = sorted((shared_data / "eval" / "congress").glob("*.jpg"))[:8]
    gains = [shipped_model_gains(read_image_file(photo).image[0]) for photo in photos]
    assert sum(decibels for decibels, _ in gains) / len(gains) >= 1


def test_progress_is_told_and_an_interrupt_stops_within_a_face(restorer, recording_host):
    host = recording_host()
    restorer.restore(torch.rand(2, 64, 64, 3), host)
    assert host.told == [(1, 2), (2, 2)]
    per_face = host.looks // 2
    assert per_face > 10
    impatient = recording_host(patience=per_face + per_face // 2)
    with pytest.raises(KeyboardInterrupt):
        restorer.restore(torch.rand(2, 64, 64, 3), impatient)
    assert impatient.told == [(1, 2)]
    assert not any(module._forward_pre_hooks for module in restorer.module.modules())


def test_an_interrupt_stops_the_loading_of_a_model(tiny_checkpoint, recording_host):
    """At 64 px a network has levels of 4, 8, 16, 32 and 64 px."""
    with pytest.raises(KeyboardInterrupt):
        Restorer(read_checkpoint(tiny_checkpoint), host=recording_host(patience=4))
    host = recording_host()
    Restorer(read_checkpoint(tiny_checkpoint), host=host)
    assert host.looks > 5


def test_never_gives_away_nan(restorer):
    next(restorer.module.parameters()).data.fill_(float("nan"))
    with pytest.raises(DegenerateOutputError, match="weights are damaged"):
        restorer.restore(torch.rand(1, 64, 64, 3), CPU)


def test_nan_in_a_picture_reads_as_black(restorer):
    crops = torch.rand(1, 64, 64, 3)
    crops[0, 3, 4] = 0
    black = restorer.restore(crops, CPU)
    crops[0, 3, 4] = float("nan")
    assert torch.equal(restorer.restore(crops, CPU), black)


@pytest.mark.skipif(half_on_cpu(), reason="this torch computes in fp16 on CPUs")
def test_a_device_without_fp16_says_so(tiny_checkpoint):
    with pytest.raises(OptionError, match="choose fp32"):
        Restorer(read_checkpoint(tiny_checkpoint), "fp16").restore(torch.rand(1, 64, 64, 3), CPU)


@needs_half
def test_what_overflows_in_fp16_is_done_again_in_fp32(tiny_checkpoint):
    checkpoint = read_checkpoint(tiny_checkpoint)
    checkpoint.state["encoder.stages.0.weight"] *= 1e6
    crops = torch.rand(2, 64, 64, 3)
    assert torch.equal(
        Restorer(checkpoint, "fp16").restore(crops, CPU), Restorer(checkpoint).restore(crops, CPU)
    )


def test_a_discriminator_and_an_unknown_dtype_are_refused(tiny_checkpoint):
    judge = Discriminator(DiscriminatorConfig(64, 0.125, 1))
    with pytest.raises(ArchitectureError, match="discriminator"):
        Restorer(Checkpoint(judge.state_dict(), judge.config))
    with pytest.raises(OptionError, match="int4"):
        Restorer(read_checkpoint(tiny_checkpoint), "int4")


def test_one_resident_model_until_the_file_changes(tiny_checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    shutil.copy(tiny_checkpoint, path)
    first = get_restorer(path, "fp32")
    assert get_restorer(str(tmp_path / "." / "model.safetensors"), "fp32") is first
    assert get_restorer(path, "bf16") is not first
    graphed = get_restorer(path, "fp32", cuda_graphs=True)
    assert graphed is get_restorer(path, "fp32", cuda_graphs=True) is not first
    assert get_restorer(path, "fp32") is first
    os.utime(path, ns=(1, 1))
    assert get_restorer(path, "fp32") is not first
    forget_restorers()
    with pytest.raises(CheckpointError, match=r"gone\.pth"):
        get_restorer(tmp_path / "gone.pth")


def test_a_model_that_is_not_kept_goes_with_its_last_user(tiny_checkpoint):
    first = get_restorer(tiny_checkpoint, "fp32", keep=False)
    assert get_restorer(tiny_checkpoint, "fp32", keep=False) is first
    gone = weakref.ref(first.module)
    del first
    assert gone() is None
    kept = weakref.ref(get_restorer(tiny_checkpoint, "fp32"))
    assert get_restorer(tiny_checkpoint, "fp32", keep=False) is kept()
    forget_restorers()
    assert kept() is None


def test_loading_draws_no_random_numbers_and_loads_no_compiler():
    script = (
        "import sys, torch\n"
        "before, seed = set(sys.modules), torch.random.get_rng_state()\n"
        "from gpen_nodes import Restorer, shipped_model\n"
        "Restorer.from_file(str(shipped_model()))\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new & {'sympy', 'triton'}), seed.equal(torch.random.get_rng_state()))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] True"
