"""A long run holds no more memory at its end than near its beginning.

GPEN_LEAK_STEPS=10000 makes it as long as a real leak needs to show.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from gpen_nodes.training import loop
from tests.training.small import PLAIN, run

STEPS = int(os.environ.get("GPEN_LEAK_STEPS", "120"))


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="resident memory is read from Linux's /proc"
)
def test_no_leak(faces, tmp_path, monkeypatch):
    resident: list[float] = []

    def step(self, batches):
        terms = real(self, batches)
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6)
        return terms

    real = loop.Stage.step
    monkeypatch.setattr(loop.Stage, "step", step)
    often = STEPS // 12
    config = dataclasses.replace(
        PLAIN, steps=STEPS, batch=1, adversarial=0.1, sample_every=often, save_every=often
    )
    run(config, faces, tmp_path)
    third = STEPS // 3
    early, late = max(resident[third : 2 * third]), max(resident[2 * third :])
    print(f"{early:.1f} MB in the second third of {STEPS} steps, {late:.1f} MB in the last")
    assert late - early < 4
