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
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Launcher:
    def __init__(self, fails: bool = False) -> None:
        self.commands, self.constraints, self.fails = [], "", fails

    def run_pip(self, command, desc=None):
        self.commands.append(command)
        self.constraints = Path(re.search(r'--constraint "(.+)"', command)[1]).read_text()
        if self.fails:
            raise RuntimeError("Couldn't install it.\nCommand: …")


def run_as_host(folder: Path) -> subprocess.CompletedProcess:
    """As the WebUI runs it: a process of its own, with the host's folder as PYTHONPATH."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, str(ROOT / "install.py")]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)


def test_with_everything_there_pip_is_not_called(installer):
    launcher = Launcher()
    installer.install(launcher)
    assert launcher.commands == []


def test_what_is_missing_is_installed_and_nothing_else_may_change(installer, monkeypatch):
    monkeypatch.setattr(installer, "NEEDED", {"cv2": "opencv-python", "no_such_module": "its-package"})
    launcher = Launcher()
    installer.install(launcher)
    (command,) = launcher.commands
    assert command.startswith("install its-package ")
    assert "--upgrade" not in command
    assert f"numpy=={importlib.metadata.version('numpy')}" in launcher.constraints.splitlines()


def test_a_failing_pip_is_a_sentence(installer, monkeypatch, capsys):
    monkeypatch.setattr(installer, "NEEDED", {"no_such_module": "its-package"})
    installer.install(Launcher(fails=True))
    said = capsys.readouterr().out
    assert said == "GPEN: its-package could not be installed: Couldn't install it. Install it by hand.\n"


def test_comfyuis_manager_is_told_apart(tmp_path):
    """Its folder has no launcher; a module of that name from elsewhere isn't one."""
    (tmp_path / "launch.py").write_text("raise SystemExit('not the host')")
    (tmp_path / "main.py").touch()
    assert run_as_host(tmp_path).stdout == ""


def test_the_webui_is_recognised(tmp_path):
    (tmp_path / "launch.py").write_text("print('the host')")
    (tmp_path / "webui.py").touch()
    assert run_as_host(tmp_path).stdout == "the host\n"
