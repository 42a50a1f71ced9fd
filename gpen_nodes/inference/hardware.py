"""What is private in torch or depends on the processor, each with its plain path: the one place that knows.

A probe asks once in a process, and says no where torch lacks what it asks with.
"""

from __future__ import annotations

import contextlib
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.layers import SLOPE

__all__ = ["has_amx", "has_fused_conv2d", "has_quick_bf16", "leaky_conv2d"]


@cache
def has_amx() -> bool:
    """Whether the processor multiplies matrices in bf16 many times faster than in fp32, not just twice."""
    return _cpu_says("_is_amx_tile_supported")


@cache
def has_quick_bf16() -> bool:
    """Whether the processor computes in bf16 by itself, at least twice as fast as in fp32."""
    return has_amx() or _cpu_says("_is_avx512_bf16_supported")


def _cpu_says(test: str) -> bool:
    """The answer of one of torch's private tests, missing before torch 2.5."""
    ask = getattr(torch.cpu, test, None)
    return bool(ask and ask())


@cache
def has_fused_conv2d(dtype: torch.dtype) -> bool:
    """Whether oneDNN's convolution with an activation on its output is there: a private operator of torch.

    Processors without AVX-512 have it in fp32 alone. In fp16 it is not used.
    """
    if dtype == torch.float16:
        return False
    with contextlib.suppress(Exception):  # Missing, renamed or with other arguments: all mean no.
        x = torch.zeros((1, 1, 1, 1), dtype=dtype, device="cpu")
        _fused_conv2d(x, x, x.view(1), (0, 0), 1, 1)
        return torch.backends.mkldnn.is_available()
    return False


def leaky_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
) -> Tensor:
    """Convolution, bias and leaky ReLU in one pass over memory where oneDNN can."""
    if x.device.type == "cpu" and has_fused_conv2d(x.dtype):
        return _fused_conv2d(x, weight, bias, padding, stride, groups)
    y = F.conv2d(x, weight, bias, stride=stride, padding=padding, groups=groups)
    return F.leaky_relu_(y, SLOPE)


def _fused_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int], stride: int, groups: int
) -> Tensor:
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, list(padding), [stride, stride], [1, 1], groups, "leaky_relu", [SLOPE], ""
    )
