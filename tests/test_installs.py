"""The pack as pip installs it: whole wherever it lands, and the same from every build."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from gpen_nodes.weight_files import SHIPPED, shipped_model

pytest.importorskip("hatchling")
pytest.importorskip("pip")
ROOT = Path(__file__).resolve().parents[1]


def build(folder: Path, umask: int = 0o022) -> dict[str, Path]:
    """Wheel and sdist by suffix. A DeprecationWarning of the backend is an error."""
    command = [sys.executable, "-W", "error::DeprecationWarning", "-m", "hatchling", "build"]
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    run = subprocess.run(
        [*command, "-d", str(folder)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.umask(umask),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "deprecat" not in (run.stdout + run.stderr).lower()
    return {path.suffix: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if os.name == "nt":
        pytest.skip("file modes are another thing there")
    return build(tmp_path_factory.mktemp("built"))


@pytest.mark.parametrize("scheme", ["--target", "--prefix", "--user"])
def test_the_shipped_model_is_found_wherever_pip_puts_the_pack(scheme, built, tmp_path):
    if scheme == "--user" and sys.prefix != sys.base_prefix:
        pytest.skip("pip refuses --user in a virtual environment")
    where = [scheme] if scheme == "--user" else [scheme, str(tmp_path / "there")]
    env = {**os.environ, "PYTHONUSERBASE": str(tmp_path / "there")}
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--no-compile", "--ignore-installed", *where, str(built[".whl"])],
        check=True,
        env=env,
        cwd=tmp_path,
    )
    (found,) = (tmp_path / "there").rglob(SHIPPED.name)
    assert found.parent.parent.name == "gpen_nodes"
    script = "import gpen_nodes; print(gpen_nodes.shipped_model())"
    env["PYTHONPATH"] = str(found.parents[2])
    run = subprocess.run(
        [sys.executable, "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(run.stdout.strip()) == found
    assert found.read_bytes() == shipped_model().read_bytes()


def test_a_second_build_gives_the_same_bytes(built, tmp_path):
    again = build(tmp_path, umask=0o077)
    for suffix, path in built.items():
        first, second = (hashlib.sha256(one.read_bytes()).hexdigest() for one in (path, again[suffix]))
        assert first == second, path.name


def test_the_wheel_holds_the_package_alone_and_says_its_licence(built):
    with zipfile.ZipFile(built[".whl"]) as wheel:
        names = wheel.namelist()
        (metadata,) = (wheel.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"gpen_nodes"}
    assert re.search(r"^License-Expression: Apache-2\.0$", metadata, re.M)
    needed = set(re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.M))
    assert "facexlib" not in needed  # the default detector does without


def test_the_sdist_holds_what_its_tests_need(built):
    with tarfile.open(built[".gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    tracked = {"tests", "docs", "locales", "weights", "configs", "example_workflows", "a1111_extension"}
    wanted = {path.relative_to(ROOT).as_posix() for top in tracked for path in (ROOT / top).rglob("*.*")}
    assert {name for name in wanted if "__pycache__" not in name} <= names
    assert {"invokeai_extension/steps.py", "invoke_nodes.py"} <= names
    assert {"comfyui_extension/nodes.py", "run_gpen.py", "__init__.py", "pyproject.toml", "LICENSE"} <= names
