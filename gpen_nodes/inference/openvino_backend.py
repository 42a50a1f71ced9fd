"""OpenVINO as a backend: Intel's processors, and their GPUs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from ..checkpoints import OnnxProgram
from ..errors import OptionError
from ..model import Gpen
from .sessions import POLL, SessionBackend, required
from .verdicts import user_cache_folder

__all__ = ["OpenVinoBackend"]

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


@cache
def _core(openvino: Any) -> Any:
    """The process's one core, which stays.

    Each new one gives its thread a stack for signals. Where two go in the order in which they came, the
    thread is left with a stack that is no longer there, and the next Ctrl-C crashes.
    """
    return openvino.Core()


class OpenVinoBackend(SessionBackend):
    """Compiled models are kept in the user's cache folder.

    Args:
        target: OpenVINO's name of a device, such as GPU; None is CPU, or GPU where the host's device is xpu.

    Raises:
        MissingWeightsError: OpenVINO is not installed.
    """

    maps = 2.0

    def __init__(
        self,
        network: Gpen | OnnxProgram,
        dtype: torch.dtype,
        check: Callable[[], None] = lambda: None,
        target: str | None = None,
    ) -> None:
        self._openvino = required("openvino", "openvino", "openvino")
        self._target = target
        super().__init__(network, dtype, check)

    def write(self, network: Gpen) -> bytes:
        """A graph of its own for fp32 on a processor. In bf16 and on GPUs that one is unmeasured."""
        if self.dtype != torch.float32 or not self._on_cpu():
            return super().write(network)
        from .cpu_graph import write_cpu_graph  # few processes need it

        return write_cpu_graph(network)

    def _on_cpu(self) -> bool:
        xpu = getattr(torch, "xpu", None)  # older torch has none
        return self._target == "CPU" or (self._target is None and not (xpu and xpu.is_available()))

    def build(self, device: torch.device) -> Any:
        target = self._target or {"cpu": "CPU", "xpu": "GPU"}.get(device.type)
        if target is None:
            raise OptionError(f"OpenVINO runs on Intel's hardware, not on {device.type}. Choose device cpu.")
        precision = _PRECISIONS[self.dtype]
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        settings["CACHE_DIR"] = str(user_cache_folder() / "openvino")
        if target == "CPU":
            settings["INFERENCE_NUM_THREADS"] = torch.get_num_threads()
        core = _core(self._openvino)
        if target not in {name.split(".")[0] for name in core.available_devices}:
            raise OptionError(f"OpenVINO finds {', '.join(core.available_devices)} here, and no {target}.")
        try:
            model = core.read_model(
                io.BytesIO(self._model) if isinstance(self._model, bytes) else self._model
            )
            compiled = core.compile_model(model, target, settings)
        except Exception as error:
            raise self.refused(error, "OpenVINO") from error
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if used != precision:
            raise OptionError(
                f"OpenVINO computes in {used} on this {target}, not in {precision}. Choose fp32."
            )
        return compiled.create_infer_request()

    def infer(self, faces: np.ndarray, check: Callable[[], None]) -> np.ndarray:
        request = self._session
        request.start_async([faces], share_inputs=True)
        try:
            while not self._done():
                check()
        except BaseException:
            request.cancel()
            with contextlib.suppress(Exception):  # It says that it was cancelled.
                request.wait()
            raise
        return request.get_output_tensor(0).data.copy()

    def _done(self) -> bool:
        try:
            return self._session.wait_for(int(1000 * POLL))
        except RuntimeError as error:
            raise self.refused(error, "OpenVINO") from error
