"""Who may import whom, read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gpen_nodes

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gpen_nodes"

# Everybody may import errors and its own part; a part that is missing here fails the test.
BELOW = {
    "errors": set(),
    "images": set(),
    "host": set(),
    "atomic": set(),
    "weight_files": {"atomic", "protobuf"},
    "torch_state": set(),
    "model": set(),
    "backbones": {"checkpoints"},
    "degradation": {"images"},
    "options": set(),
    "judgement": {"images"},
    "faces": {"images", "options", "judgement", "host", "weight_files", "torch_state", "checkpoints"},
    "image_files": {"images", "atomic"},
    "facesets": {"images", "atomic", "image_files"},
    "protobuf": set(),
    "checkpoints": {"model", "atomic", "protobuf", "weight_files"},
    "inference": {"model", "checkpoints", "images", "host", "atomic", "torch_state", "weight_files"},
    "crops": {"faces", "inference", "host", "images"},
    "spandrel": {"model"},
    "pipeline": {"faces", "crops", "inference", "host", "images", "options"},
}
LOWER = set(BELOW)
BELOW["batch"] = LOWER
BELOW["films"] = LOWER
BELOW["evaluation"] = LOWER | {"films"}
BELOW["training"] = LOWER | {"evaluation"}
BELOW["cli"] = LOWER | {"batch", "films", "training", "evaluation"}
BELOW["__init__"] = LOWER | {"films"}
BELOW["__main__"] = {"cli"}
HEAVY = {"facexlib", "numba", "scipy", "onnxruntime", "onnx", "matplotlib", "skimage", "lightning_fabric"}
HEAVY |= {"torchvision", "torchmetrics", "pyiqa", "httpx", "openvino", "spandrel", "av", "ray", "fsspec"}
HOSTS = {"comfy", "comfy_api", "folder_paths", "modules", "gradio", "invokeai"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, top_level_only: bool = False):
    """Names of imported modules; ours as ``gpen_nodes.part``."""
    tree = ast.parse(path.read_text())
    package = ["gpen_nodes", *path.relative_to(PACKAGE).parts[:-1]]
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (
                (f"{module}.{alias.name}" for alias in node.names) if module == "gpen_nodes" else [module]
            )


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_what_lies_below(path):
    part = part_of(path)
    allowed = BELOW[part] | {part, "errors"}
    found = {name.split(".")[1] for name in imports(path) if name.startswith("gpen_nodes.")}
    assert found <= allowed, f"{part} imports {sorted(found - allowed)}"


# Within faces/ each part may import those before it.
FACES = (
    "geometry",
    "face",
    "orders",
    "indices",
    "detectors",
    "options",
    "selection",
    "finding",
    "boxed",
)
FACES += ("alignment", "blending", "identity", "parsing", "drawing", "judging", "regions", "__init__")


@pytest.mark.parametrize("path", sorted((PACKAGE / "faces").rglob("*.py")), ids=lambda p: p.stem)
def test_parts_of_faces_import_only_those_before(path):
    own = path.relative_to(PACKAGE / "faces").parts[0].removesuffix(".py")
    names = {name.split(".")[2] for name in imports(path) if name.startswith("gpen_nodes.faces.")}
    allowed = {own, *FACES[: FACES.index(own)]}
    assert names <= allowed, f"{own} imports {sorted(names - allowed)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_hosts_stay_outside_and_heavy_packages_load_late(path):
    assert not {name.split(".")[0] for name in imports(path)} & HOSTS
    if part_of(path) not in ("training", "spandrel"):  # which are imported by their own names
        assert not {name.split(".")[0] for name in imports(path, top_level_only=True)} & HEAVY


def test_the_folded_backend_knows_nothing_of_those_who_use_it():
    for path in (PACKAGE / "inference" / "folded").glob("*.py"):
        own = {name for name in imports(path) if name.startswith("gpen_nodes.inference")}
        above = {name for name in own if not name.startswith("gpen_nodes.inference.folded")}
        assert above <= {"gpen_nodes.inference.hardware"}, path


def test_private_operators_and_probes_stand_in_one_place():
    private = ("torch.ops.mkldnn", "torch._C", "_is_amx_", "_is_avx512_")
    for path in FILES:
        if path.name != "hardware.py":
            assert not any(word in path.read_text() for word in private), path


def test_only_the_loop_knows_the_distributed_engine():
    for path in FILES:
        if path.name != "loop.py":
            at_run_time = {name.split(".")[0] for name in imports(path, top_level_only=True)}
            assert "lightning_fabric" not in at_run_time, path


# The WebUI's door: its parts may import those before them, and the shims of the root nothing but the door.
EXTENSION = ("models", "host", "sentences", "restore", "widgets", "settings", "face_restorer", "film")
EXTENSION += ("extras", "api", "scripts")
EXTENSION_FILES = sorted((ROOT / "a1111_extension").rglob("*.py"))
SHIMS = ["install.py", "preload.py", "scripts/gpen.py"]
COMFY_FILES = sorted((ROOT / "comfyui_extension").rglob("*.py"))
# InvokeAI's: the same.
INVOKE = ("packages", "models", "host", "images", "faces", "inputs", "steps", "restore", "degrade")
INVOKE_FILES = sorted((ROOT / "invokeai_extension").rglob("*.py"))
PARTS = (*EXTENSION_FILES, *COMFY_FILES, *INVOKE_FILES)
DOORS = ["__init__.py", *SHIMS, *(str(path.relative_to(ROOT)) for path in PARTS)]


@pytest.mark.parametrize("path", EXTENSION_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_parts_of_the_extension_import_only_those_before(path):
    own = path.relative_to(ROOT / "a1111_extension").parts[0].removesuffix(".py")
    names = {
        (node.module or "").removeprefix("a1111_extension").removeprefix(".").split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.level or (node.module or "").startswith("a1111_extension"))
    }
    allowed = EXTENSION[: EXTENSION.index(own)] if own in EXTENSION else ()
    assert names <= {*allowed}, f"{own} imports {sorted(names - {*allowed})}"


@pytest.mark.parametrize("path", INVOKE_FILES, ids=lambda p: p.stem)
def test_parts_of_invokeais_door_import_only_those_before(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level}
    assert names <= {*INVOKE[: INVOKE.index(path.stem)]} if path.stem in INVOKE else not names


def test_what_looks_for_missing_packages_needs_none():
    path = ROOT / "invokeai_extension" / "packages.py"
    nodes = ast.walk(ast.parse(path.read_text()))
    found = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert found == {"__future__", "invokeai.backend.util.logging"}


@pytest.mark.parametrize("shim", SHIMS)
def test_shims_are_a_few_lines(shim):
    assert len((ROOT / shim).read_text().splitlines()) <= 12


@pytest.mark.parametrize("door", DOORS)
def test_doors_use_public_names_alone(door):
    for node in ast.walk(ast.parse((ROOT / door).read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("gpen_nodes.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gpen_nodes"):
            assert node.module == "gpen_nodes"
            assert {alias.name for alias in node.names} <= set(gpen_nodes.__all__)


def test_importing_the_package_loads_nothing_heavy():
    script = (
        "import sys, gpen_nodes, gpen_nodes.cli;"
        "loaded = {m.split('.')[0] for m in sys.modules};"
        f"print(sorted(loaded & {HEAVY!r}), 'gpen_nodes.training' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] False"
