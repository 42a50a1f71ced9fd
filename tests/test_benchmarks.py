"""The benchmarks themselves: who runs when, what is counted, and what is said when nothing can be."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def measure(monkeypatch):
    """The module, with workers that find it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("measure")


def load(name: str, log: str):
    """Work of 200 MB that takes no CPU time, and says when it loads and when it runs."""
    from measure import Work

    def say(what: str) -> None:
        with Path(log).open("a") as file:
            file.write(f"{what} {name}\n")

    def run() -> None:
        say("run")
        np.ones(25_000_000)
        time.sleep(0.2)

    say("load")
    if name == "broken":
        raise ValueError("no such luck\nand a long story")
    return Work((lambda: os.kill(os.getpid(), signal.SIGKILL)) if name == "killed" else run)


def take_turns(measure, log: Path, names: list[str]):
    workers = {name: measure.Worker(load, name, str(log)) for name in names}
    return measure.take_turns(workers, 2, "test")


def test_workers_load_once_and_take_turns(measure, tmp_path):
    turns = take_turns(measure, tmp_path / "log", ["a", "b"])
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == ["load a", "run a", "load b", "run b", "run a", "run b"]
    assert [len(samples) for samples in turns.samples.values()] == [2, 2]


def test_wall_time_and_cpu_time_are_told_apart(measure, tmp_path):
    for sample in take_turns(measure, tmp_path / "log", ["a"]).samples["a"]:
        assert sample.wall_s >= 0.2
        assert 0 < sample.cpu_s < sample.wall_s  # The sleep counts for one of them alone.


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are reset on Linux alone")
def test_the_peak_is_that_of_the_run_and_not_of_the_loading(measure):
    def sample(megabytes: int):
        return measure._take(measure.Work(lambda: np.ones(megabytes * 125_000)))

    np.ones(75_000_000)  # 600 MB that were freed before.
    held = measure.resident_mb()
    assert sample(200).peak_mb == pytest.approx(held + 200, abs=40)
    assert sample(1).peak_mb == pytest.approx(held, abs=40)


def test_idle_workers_make_room_where_memory_is_short(measure, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "available_mb", lambda: 0.0)
    take_turns(measure, tmp_path / "log", ["a", "b"])
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == ["load a", "run a", "load b", "run b"] * 2


def test_a_failure_is_told_in_one_line_and_the_others_go_on(measure, tmp_path):
    turns = take_turns(measure, tmp_path / "log", ["broken", "killed", "a"])
    assert turns.failed == {
        "broken": "ValueError: no such luck",
        "killed": "its process ended with exit code -9",
    }
    assert len(turns.samples["a"]) == 2


def test_psnr_of_a_constant_difference(measure):
    psnr = importlib.import_module("forward").psnr
    expected = np.zeros((1, 3, 8, 8), np.float32)
    assert psnr(expected + np.float32(0.02), expected) == pytest.approx(40, abs=1e-4)
    assert psnr(expected, expected) == pytest.approx(150.5, abs=0.1)


def run_forward(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "GPEN_REFERENCE"}
    command = [sys.executable, str(FOLDER / "forward.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_what_is_not_installed_is_said_by_variant(measure, monkeypatch):
    variants = importlib.import_module("variants")
    monkeypatch.setattr(
        variants.importlib.util, "find_spec", lambda name: None if name in ("onnxscript", "openvino") else 1
    )
    assert variants.lacking(variants.VARIANTS) == {
        "onnxruntime-fp32": "pip install onnxscript",
        "openvino-fp32": "pip install openvino onnxscript",
        "openvino-bf16": "pip install openvino onnxscript",
        "backend-openvino-fp32": "pip install openvino",
        "backend-openvino-bf16": "pip install openvino",
    }


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_backends_are_variants(engine, measure, tiny_checkpoint, tmp_path):
    pytest.importorskip(engine)
    variants, torch = importlib.import_module("variants"), importlib.import_module("torch")
    case = variants.Case(tiny_checkpoint, tmp_path)
    side, threads = variants.prepare(case, None)
    variants.load(f"backend-{engine}-fp32", case, threads)
    output = np.load(case.output(f"backend-{engine}-fp32"))
    assert output.shape == (1, 3, side, side)
    assert torch.allclose(
        torch.from_numpy(output), torch.from_numpy(np.load(case.output("module-fp32"))), atol=1e-4
    )


def test_forward_measures_a_checkpoint_and_says_what_is_missing(tiny_checkpoint, tmp_path):
    rows = tmp_path / "rows.json"
    names = ("reference", "module-fp32")
    run = run_forward(
        *("--model", str(tiny_checkpoint), "--runs", "1", "--json", str(rows), "--variants", *names)
    )
    assert run.returncode == 0, run.stderr
    assert "not available: GPEN_REFERENCE names no checkout" in run.stdout
    reference, module = json.loads(rows.read_text())
    assert reference["wall_s"] is None
    assert (module["size"], module["variant"]) == (64, "module-fp32")
    assert min(module["wall_s"], module["cpu_s"]) > 0
    assert module["rss_mb"] > 100
    assert module["psnr_db"] >= 100


@pytest.mark.parametrize(
    "arguments",
    [
        ("--sizes", "300"),
        ("--variants", "nope"),
        ("--device", "cuda", "--variants", "reference"),
        ("--model", "absent.safetensors", "--sizes", "256"),
        ("--runs", "0"),
    ],
)
def test_forward_refuses_wrong_options_in_a_sentence(arguments):
    run = run_forward(*arguments)
    assert run.returncode != 0
    assert run.stderr.endswith(".\n")
    assert run.stderr.count("\n") == 1


def test_the_variants_for_a_gpu_are_one_network(measure, tiny_checkpoint):
    torch, variants = importlib.import_module("torch"), importlib.import_module("variants")
    face = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pictures = [variants.network(name, tiny_checkpoint, "cpu")(face) for name in variants.ON_GPU]
    for picture in pictures:
        assert (picture - pictures[0]).abs().mean() < 0.05


@pytest.mark.parametrize(("size", "gflop"), [(512, 276), (1024, 347), (2048, 420)])
def test_the_limit_counts_a_faces_convolutions(measure, size, gflop):
    """Those of the original network, which has some more that are no 3×3: pictures, filters, the mapper."""
    limit = importlib.import_module("limit")
    assert sum(layer.gflop for layer in limit.layers(size)) == pytest.approx(gflop, rel=0.03)


@pytest.mark.parametrize("kind", ["same", "down", "up"])
def test_the_limit_is_no_more_than_what_a_layer_takes_directly(measure, kind):
    limit = importlib.import_module("limit")
    for dtype in (limit.DTYPES[name] for name in limit.VARIANTS):
        direct, least = limit.seconds(limit.Layer(kind, 32, 16, 32), dtype, 1)
        assert 0 < least <= direct


def test_train_step_measures_ours_and_says_what_is_missing(tmp_path):
    rows = tmp_path / "rows.json"
    environment = {name: value for name, value in os.environ.items() if name != "GPEN_REFERENCE"}
    options = ["--size", "64", "--narrow", "0.125", "--steps", "1", "--runs", "1", "--json", str(rows)]
    options += ["--processes", "--variants", "original-fp32", "ours-fp32"]
    run = subprocess.run(
        [sys.executable, str(FOLDER / "train_step.py"), *options],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    original, ours = json.loads(rows.read_text())
    assert original["unavailable"] == "GPEN_REFERENCE names no checkout of yangxy/GPEN"
    assert min(ours["wall_s"], ours["cpu_s"]) > 0
    assert ours["over_fp32"] is None


def test_the_gpu_kit_says_in_a_sentence_that_there_is_no_gpu(tmp_path):
    if importlib.import_module("torch").cuda.is_available():
        pytest.skip("there is one")
    environment = {**os.environ, "PYTHON": sys.executable}
    run = subprocess.run(
        ["sh", str(FOLDER / "gpu.sh"), str(tmp_path / "out")], capture_output=True, text=True, env=environment
    )
    assert (run.returncode, run.stdout) == (1, "torch finds no CUDA device here, so nothing was measured.\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["module", "folded", "graph"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_gpu_kit_times_a_forward(kind, dtype, measure, tiny_checkpoint, tmp_path):
    kit, variants = importlib.import_module("gpu_kit"), importlib.import_module("variants")
    case = variants.Case(tiny_checkpoint, tmp_path)
    variants.prepare(case, None)
    assert kit.forward(case, kind, dtype, 2, "cpu")["ms"] > 0


def test_the_gpu_kit_ends_in_time_and_tells_failures(measure):
    kit = importlib.import_module("gpu_kit")

    def fail():
        raise RuntimeError("CUDA out of memory.\nAnd more.")

    rows = [{"what": "a", "run": lambda: {"seconds": 1.0}}, {"what": "b", "run": fail}]
    kept = []

    def measured(until):
        kept.clear()
        kit.measure((dict(row) for row in rows), until, lambda done: kept.append([dict(row) for row in done]))
        return kept[-1]

    assert measured(time.monotonic() + 60) == [
        {"what": "a", "seconds": 1.0},
        {"what": "b", "unavailable": "CUDA out of memory."},
    ]
    assert kept[0] == [{"what": "a", "seconds": 1.0}]  # there, should the next one never end
    assert measured(time.monotonic() - 1) == [{"what": "a"}, {"what": "b"}]


def test_the_gpu_kit_writes_what_it_has(measure, tmp_path):
    kit = importlib.import_module("gpu_kit")
    kit.write(tmp_path, "A card", [{"size": 512, "variant": "module-fp32", "batch": 1, "ms": 2.0}], [])
    assert "2.00 | not measured" in (tmp_path / "gpu.md").read_text()
    assert [len(row) for row in json.loads((tmp_path / "gpu.json").read_text())] == [1, 4]


def test_the_gpu_kit_names_all_that_is_wanted(measure, tmp_path):
    kit = importlib.import_module("gpu_kit")
    rows = list(kit.forwards("cuda", tmp_path))
    assert {row["size"] for row in rows} == {512, 1024, 2048}
    assert {(row["variant"].split("-")[0], row["batch"]) for row in rows} == {
        *((kind, batch) for kind in ("module", "folded", "graph") for batch in (1, 4, 16)),
        ("compile", 1),
    }
