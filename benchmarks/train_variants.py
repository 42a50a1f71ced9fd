"""One training step of this package and of the original script, on the same network and the same faces."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import types
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from measure import Unavailable, Work

__all__ = ["VARIANTS", "Case", "load"]

NEVER = 10**9


class Case(NamedTuple):
    """A network of ``size`` px, multiplier 1; a batch; how many steps a turn takes."""

    size: int
    narrow: float
    batch: int
    steps: int
    threads: int


def load(variant: str, case: Case) -> Work:
    """A variant that has taken a step, ready to be timed.

    Raises:
        Unavailable: there is no checkout of the original.
    """
    import torch

    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    faces = tuple(torch.rand(case.batch, 3, case.size, case.size) * 2 - 1 for _ in range(2))
    make, options = VARIANTS[variant]
    take = make(case, faces, **options)
    take(1)
    return Work(lambda: take(case.steps), case.steps)


def _ours(case: Case, faces: Any, precision: str, accelerator: str = "cpu") -> Callable[[int], None]:
    from lightning_fabric import Fabric

    from gpen_nodes.training import TrainingConfig
    from gpen_nodes.training.losses import Objective
    from gpen_nodes.training.stage import Stage
    from gpen_nodes.training.start import start_networks

    config = TrainingConfig(
        size=case.size,
        narrow=case.narrow,
        style_dim=512,
        mapping_depth=8,
        adversarial=1.0,
        discriminator_size=case.size,
        r1_every=NEVER,
        precision=precision,  # type: ignore[arg-type]  # a row of VARIANTS
    )
    fabric = Fabric(accelerator=accelerator, devices=1, precision=config.precision)
    stage = Stage(config, fabric, Objective.build(config.weights, config.networks), *start_networks(config))

    def take(steps: int) -> None:
        for _ in range(steps):
            stage.step([faces])

    return take


def _original(case: Case, faces: Any, *, bf16: bool, path_every: int) -> Callable[[int], None]:
    """The loop of train_simple.py itself, with its L1 and adversarial terms."""
    import torch

    script = _train_simple()
    generator, average = (
        script.FullGenerator(case.size, 512, 8, 1, narrow=case.narrow, device="cpu") for _ in range(2)
    )
    discriminator = script.Discriminator(case.size, 1, narrow=case.narrow, device="cpu")
    optimizers = [torch.optim.Adam(n.parameters(), 0.002, (0.0, 0.99)) for n in (generator, discriminator)]
    args = Namespace(
        start_iter=1, distributed=False, batch=case.batch, r1=10, path_regularize=2, path_batch_shrink=2
    )
    args.d_reg_every, args.g_reg_every, args.save_freq = NEVER, path_every, NEVER

    def no_identity(*_: object) -> tuple[Any, None, None]:
        return torch.zeros(()), None, None

    def take(steps: int) -> None:
        args.iter = steps
        losses = [torch.nn.SmoothL1Loss(), no_identity]
        # Its progress bar and figures are of no interest.
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stderr(nowhere),
            torch.autocast("cpu", torch.bfloat16, enabled=bf16),
        ):
            script.train(
                args, [faces], generator, discriminator, losses, *optimizers, average.eval(), None, "cpu"
            )

    return take


def _train_simple() -> types.ModuleType:
    checkout = os.environ.get("GPEN_REFERENCE")
    if not checkout:
        raise Unavailable("GPEN_REFERENCE names no checkout of yangxy/GPEN")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # With a GPU in sight it compiles kernels when it is imported.
    sys.path.insert(0, checkout)
    # What a step doesn't touch, and what needs old packages or downloads: data, identity network, validation.
    package = types.ModuleType("training")
    package.__path__ = [str(Path(checkout) / "training")]
    sys.modules["training"] = package
    for name, member in (
        ("data_loader.dataset_face", "FaceDataset"),
        ("loss.id_loss", "IDLoss"),
        ("lpips", ""),
    ):
        stand_in = types.ModuleType(f"training.{name}")
        setattr(stand_in, member or "LPIPS", None)
        sys.modules[stand_in.__name__] = stand_in
    package.lpips = sys.modules["training.lpips"]  # type: ignore[attr-defined]  # a module of theirs
    return importlib.import_module("train_simple")


VARIANTS: dict[str, tuple[Callable[..., Callable[[int], None]], dict[str, Any]]] = {
    "original-fp32": (_original, {"bf16": False, "path_every": 4}),
    "original-bf16": (_original, {"bf16": True, "path_every": 4}),
    "original-fp32-no-path": (_original, {"bf16": False, "path_every": NEVER}),
    "original-bf16-no-path": (_original, {"bf16": True, "path_every": NEVER}),
    "ours-fp32": (_ours, {"precision": "32-true"}),
    "ours-bf16": (_ours, {"precision": "bf16-mixed"}),
}
