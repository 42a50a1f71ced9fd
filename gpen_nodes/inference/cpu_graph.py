"""The network as an ONNX graph for engines on a processor: one face, fp32, quicker than the plain one.

The same function as ``checkpoints.onnx.write`` writes, in other operators:

- Where 3×3 convolutions have many channels, Winograd's F(4×4, 3×3) takes a quarter of the multiplications.
- Where a layer has fewer weights than activations, style and demodulation scale the weights. Bias and leaky
  ReLU then run inside the convolution, and no pass over the activations is left.

docs/performance.md tells what each is worth, and what else was tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.onnx.write import Export, low_pass
from ..model import Gpen
from ..model.layers import GAIN, SLOPE, ModulatedConv, StyledConv, ToRgb
from .folded.winograd import F4

__all__ = ["write_cpu_graph"]

SCALE_WEIGHTS = 128  # pixels: from this size on styles scale weights
WINOGRAD_CHANNELS = 128  # the fewest outputs for which its transforms are worth it
WINOGRAD_BYTES = 40 << 20  # the most that a layer's transformed weights may take below 64 pixels


def write_cpu_graph(network: Gpen) -> bytes:
    """The ONNX file's contents; input and output as ``write_onnx``."""
    with torch.no_grad():
        return _CpuGraph(network, half=False, batch=1).model()


def uses_winograd(size: int, inputs: int, outputs: int) -> bool:
    """Whether a 3×3 convolution at a size is quicker with it, and its weights are worth their memory."""
    small = size >= 64 or 4 * 36 * inputs * outputs <= WINOGRAD_BYTES
    return size >= 16 and outputs >= WINOGRAD_CHANNELS and small


class _CpuGraph(Export):
    def styled(self, layer: StyledConv, x: str, style: str, resolution: int) -> str:
        """As the plain one, but each part is activated by itself: the convolution does it for its own."""
        outputs = layer.conv.weight.shape[1]
        y = self.styled_conv(layer.conv, x, style, resolution)
        gain = self.to.constant((layer.noise.weight * GAIN).reshape(1, 1, 1, 1))
        feature = self.to.add("Mul", self.features[resolution], gain)
        bias = layer.activate.bias * GAIN
        if not layer.noise.concat:
            return self.activated(self.to.add("Add", y, feature), bias)
        pieces = self.activated(y, bias[:outputs]), self.activated(feature, bias[outputs:])
        return self.to.add("Concat", *pieces, axis=1)

    def styled_conv(self, layer: ModulatedConv, x: str, style: str, size: int) -> str:
        """The convolution, demodulated, with the activation's gain: [1, I, ·, ·] to [1, O, size, size]."""
        weight = layer.weight[0] * layer.scale
        outputs, inputs = weight.shape[:2]
        scale = self.linear(style, layer.modulation)
        energies = self.single(weight.square().sum(dim=(2, 3)).t() / GAIN**2)
        energy = self.to.add("MatMul", self.to.add("Mul", scale, scale), energies)
        demodulation = self.to.add("Reciprocal", self.root(energy, 1e-8 / GAIN**2))
        winograd = not layer.up and uses_winograd(size, inputs, outputs)
        if in_weights := size >= SCALE_WEIGHTS and not winograd:
            factors = scale, demodulation
        else:
            x, factors = self.to.add("Mul", x, self.as_map(scale)), ("", "")
        if winograd:
            y = self.winograd(x, weight, size)
        elif layer.up:
            y = self.up_conv(x, weight, *factors)
        else:
            scaled = self.scaled(self.scaled(weight, factors[0], axis=1), factors[1], axis=0)
            y = self.to.add("Conv", x, scaled, pads=[1] * 4, kernel_shape=[3, 3])
        return y if in_weights else self.to.add("Mul", y, self.as_map(demodulation))

    def up_conv(self, x: str, weight: Tensor, scale: str, demodulation: str) -> str:
        """Twice as large; the low-pass has the demodulation, and so the bias and the activation behind it."""
        scaled = self.scaled(weight.transpose(0, 1), scale, axis=0)
        y = self.to.add("ConvTranspose", x, scaled, strides=[2, 2], kernel_shape=[3, 3])
        fir = self.scaled(low_pass(len(weight)) * 4, demodulation, axis=0)
        return self.to.add("Conv", y, fir, pads=[1] * 4, group=len(weight), kernel_shape=[4, 4])

    def rgb(self, layer: ToRgb, x: str, style: str, skip: str = "", output: str = "") -> str:
        weight = self.scaled(
            layer.conv.weight[0] * layer.conv.scale, self.linear(style, layer.conv.modulation), axis=1
        )
        y = self.to.add("Conv", x, weight, kernel_shape=[1, 1])
        y = self.to.add("Add", y, self.single(layer.bias))
        return self.added(y, skip, output) if skip else y

    def winograd(self, x: str, weight: Tensor, size: int) -> str:
        """A 3×3 convolution by ``folded.winograd``'s matrices: [1, I, size, size] to [1, O, size, size]."""
        outputs, inputs = weight.shape[:2]
        side, step = len(F4.inputs), len(F4.outputs)
        down = size // step
        # Tiles overlap: each begins 4 pixels after the one before and has 6.
        pixels = self.to.constant((step * np.arange(down)[:, None] + np.arange(side)).reshape(-1))
        x = self.to.add("Pad", x, self.to.constant([0, 0, 1, 1, 0, 0, 1, 1]))
        x = self.to.add("Transpose", x, perm=[0, 2, 3, 1])
        x = self.to.add("Gather", self.to.add("Gather", x, pixels, axis=1), pixels, axis=2)
        x = self.to.add("Transpose", self.shaped(x, down, side, down, side, inputs), perm=[1, 3, 0, 2, 4])
        x = self.to.add("MatMul", self.both_axes(F4.inputs), self.shaped(x, side**2, down**2 * inputs))
        # Of constants: the engine computes them once.
        taps = self.to.constant(weight.permute(2, 3, 1, 0).reshape(9, -1))
        points = self.to.add("MatMul", self.both_axes(F4.weights), taps)
        points = self.shaped(points, side**2, inputs, outputs)
        x = self.to.add("MatMul", self.shaped(x, side**2, down**2, inputs), points)
        x = self.to.add("MatMul", self.both_axes(F4.outputs), self.shaped(x, side**2, down**2 * outputs))
        x = self.to.add("Transpose", self.shaped(x, step, step, down, down, outputs), perm=[4, 2, 0, 3, 1])
        return self.shaped(x, 1, outputs, size, size)

    # Single nodes

    def activated(self, x: str, bias: Tensor) -> str:
        x = self.to.add("Add", x, self.to.constant(bias.reshape(1, -1, 1, 1)))
        return self.to.add("LeakyRelu", x, alpha=SLOPE)

    def scaled(self, weight: Tensor | str, factors: str, *, axis: int) -> str:
        """Weights of four axes times factors [1, N] of the face, along one of them; "" is 1."""
        weight = weight if isinstance(weight, str) else self.to.constant(weight)
        shape = [-1 if k == axis else 1 for k in range(4)]
        return self.to.add("Mul", weight, self.shaped(factors, *shape)) if factors else weight

    def shaped(self, x: str, *shape: int) -> str:
        return self.to.add("Reshape", x, self.to.constant(list(shape)))

    def both_axes(self, matrix: Sequence[Sequence[float]]) -> str:
        one = torch.tensor(matrix, dtype=torch.float32)
        return self.to.constant(torch.kron(one, one))
