"""ONNX Runtime as a backend: its providers by name, for hardware that torch does not reach."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from typing import Any

import numpy as np
import torch

from ..checkpoints import OnnxProgram
from ..errors import OptionError
from ..model import Gpen
from .sessions import POLL, SessionBackend, required

__all__ = ["PROVIDERS", "OnnxRuntimeBackend"]

PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime"),
    "migraphx": ("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
    "qnn": ("QNNExecutionProvider", "onnxruntime-qnn"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}
"""By our name: ONNX Runtime's, and the package on PyPI that has it."""

_OF_DEVICE = {"cpu": "cpu", "cuda": "cuda", "privateuseone": "directml", "mps": "coreml", "xpu": "openvino"}


class OnnxRuntimeBackend(SessionBackend):
    """``maps``: it holds all features, and what they are concatenated to, at once.

    Args:
        provider: of ``PROVIDERS``; None is the one for the host's device.

    Raises:
        MissingWeightsError: onnxruntime is not installed.
        OptionError: bf16.
    """

    maps = 3.0

    def __init__(
        self,
        network: Gpen | OnnxProgram,
        dtype: torch.dtype,
        check: Callable[[], None] = lambda: None,
        provider: str | None = None,
    ) -> None:
        self._runtime = required("onnxruntime", "onnxruntime", "onnx")
        if dtype == torch.bfloat16:
            raise OptionError("dtype is bf16; the backend onnxruntime computes in fp32 or fp16. Choose one.")
        self._provider = provider
        super().__init__(network, dtype, check)

    @property
    def half(self) -> bool:
        return self.dtype == torch.float16

    def build(self, device: torch.device) -> Any:
        name, options = self._choose(device)
        settings = self._runtime.SessionOptions()
        settings.log_severity_level = 3
        if name == "CPUExecutionProvider":
            settings.intra_op_num_threads = torch.get_num_threads()
        if name == "DmlExecutionProvider":  # which has no memory patterns
            settings.enable_mem_pattern = False
        providers = [(name, options)]
        if name != "CPUExecutionProvider":
            providers.append(("CPUExecutionProvider", {}))  # what a provider lacks runs there
        model = self._model if isinstance(self._model, bytes) else str(self._model)
        try:
            session = self._runtime.InferenceSession(model, settings, providers=providers)
        except Exception as error:  # its errors have no base of their own
            raise self.refused(error, "onnxruntime") from error
        if session.get_providers()[0] != name:
            raise OptionError(
                f"onnxruntime has {name}, but could not start it, mostly for want of a library. "
                "Choose another backend, such as onnxruntime-cpu."
            )
        return session

    def _choose(self, device: torch.device) -> tuple[str, dict[str, Any]]:
        """ONNX Runtime's name of the provider, and its options."""
        own = _OF_DEVICE.get(device.type)
        if own == "cuda" and torch.version.hip:
            own = "migraphx"
        provider = self._provider or own
        if provider is None:
            raise OptionError(f"onnxruntime has no provider for {device.type}. Choose another device.")
        name, package = PROVIDERS[provider]
        known = self._runtime.get_available_providers()
        if name not in known:
            raise OptionError(
                f"This onnxruntime has {', '.join(known)}, and not {name}. Install {package} in its place, "
                "or choose another backend, such as onnxruntime-cpu."
            )
        has_number = provider in ("cuda", "tensorrt", "migraphx", "directml") and provider == own
        return name, {"device_id": str(device.index)} if has_number and device.index else {}

    def infer(self, faces: np.ndarray, check: Callable[[], None]) -> np.ndarray:
        (taken,) = self._session.get_inputs()
        if taken.type == "tensor(float16)":
            faces = faces.astype(np.float16)
        options = self._runtime.RunOptions()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self._session.run, None, {taken.name: faces}, options)
            try:
                while not running.done():
                    try:
                        running.exception(timeout=POLL)
                    except TimeoutError:
                        check()
            except BaseException:
                options.terminate = True  # it ends after the layer that it is in
                raise
        if error := running.exception():
            raise self.refused(error, "onnxruntime") from error  # type: ignore[arg-type]  # no BaseException
        return running.result()[0]
