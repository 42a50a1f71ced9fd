"""The network as an ONNX graph for engines on a processor: one face, fp32, quicker than the plain one.

The same function as ``checkpoints.onnx.write`` writes, in other operators:

- Where 3×3 convolutions have many channels, Winograd's F(4×4, 3×3) takes a quarter of the multiplications.
- Where a layer has fewer weights than activations, style and demodulation scale the weights, so that bias and
  leaky ReLU run inside the convolution, and no pass over the activations is left.
- Large maps stay in two pieces, the layer's own channels and the encoder's: each is convolved by itself, and
  the sums are added inside the second convolution. Nothing large is copied to be concatenated.

docs/performance.md tells what each is worth, and what else was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.onnx.write import Export, low_pass
from ..model import Gpen
from ..model.layers import GAIN, SLOPE, StyledConv, ToRgb
from .folded.winograd import F4

__all__ = ["write_cpu_graph"]

SCALE_WEIGHTS = 128  # pixels: from this size on styles scale weights
PIECES = 512  # pixels: from this size on maps are not concatenated
WINOGRAD_CHANNELS = 128  # the fewest outputs for which its transforms are worth it
WINOGRAD_BYTES = 40 << 20  # of a layer's transformed weights, four times the plain ones, below 64 pixels

Pieces = tuple[str, ...]
"""Values whose channels follow each other."""


def write_cpu_graph(network: Gpen) -> bytes:
    """The ONNX file's contents; input and output as ``write_onnx``."""
    with torch.no_grad():
        return _CpuGraph(network, half=False, batch=1).model()


def uses_winograd(size: int, inputs: int, outputs: int) -> bool:
    """Whether a 3×3 convolution at a size is quicker with it, and its weights are worth their memory."""
    small = size >= 64 or 4 * 36 * inputs * outputs <= WINOGRAD_BYTES
    return size >= 16 and outputs >= WINOGRAD_CHANNELS and small


class _CpuGraph(Export):
    def generator(self, style: str) -> str:
        synthesis = self.network.generator
        x = self.layer(synthesis.conv1, (self.to.constant(synthesis.input.input),), style, 4)
        rgb = self.picture(synthesis.to_rgb1, x, style)
        for k, to_rgb in enumerate(cast("Sequence[ToRgb]", synthesis.to_rgbs)):
            for conv in cast("Sequence[StyledConv]", synthesis.convs[2 * k : 2 * k + 2]):
                x = self.layer(conv, x, style, 2 ** (k + 3))
            last = k == len(synthesis.to_rgbs) - 1
            rgb = self.picture(to_rgb, x, style, rgb, "output" if last else "")
        return rgb

    def layer(self, layer: StyledConv, x: Pieces, style: str, size: int) -> Pieces:
        """One styled layer: pieces of [1, I, ·, ·] to pieces of [1, O, size, size]."""
        outputs = layer.conv.weight.shape[1]
        y = self.modulated_conv(layer, x, style, size)
        gain = self.to.constant((layer.noise.weight * GAIN).reshape(1, 1, 1, 1))
        feature = self.to.add("Mul", self.features[size], gain)
        bias = layer.activate.bias * GAIN
        if not layer.noise.concat:
            return (self.activated(self.to.add("Add", y, feature), bias),)
        pieces = self.activated(y, bias[:outputs]), self.activated(feature, bias[outputs:])
        return pieces if size >= PIECES else (self.to.add("Concat", *pieces, axis=1),)

    def modulated_conv(self, layer: StyledConv, x: Pieces, style: str, size: int) -> str:
        """The convolution, demodulated, with the activation's gain."""
        weight = layer.conv.weight[0] * layer.conv.scale
        outputs, inputs = weight.shape[:2]
        scale = self.linear(style, layer.conv.modulation)
        energies = self.single(weight.square().sum(dim=(2, 3)).t() / GAIN**2)
        energy = self.to.add("MatMul", self.to.add("Mul", scale, scale), energies)
        demodulation = self.to.add("Reciprocal", self.root(energy, 1e-8 / GAIN**2))
        winograd = not layer.conv.up and uses_winograd(size, inputs, outputs)
        in_weights = size >= SCALE_WEIGHTS and not winograd
        if winograd and len(x) > 1:
            x = (self.to.add("Concat", *x, axis=1),)
        sums = []
        for k, piece in enumerate(x):
            part = weight.chunk(len(x), dim=1)[k]
            factor = self.part(scale, k, len(x), inputs)
            if not in_weights:
                piece, factor = self.to.add("Mul", piece, self.as_map(factor)), ""
            if winograd:
                sums.append(self.winograd(piece, part, size))
            elif layer.conv.up:
                constant = self.scaled(part.transpose(0, 1), factor, (-1, 1, 1, 1))
                sums.append(
                    self.to.add("ConvTranspose", piece, constant, strides=[2, 2], kernel_shape=[3, 3])
                )
            else:
                constant = self.scaled(part, factor, (1, -1, 1, 1))
                constant = self.scaled(constant, demodulation if in_weights else "", (-1, 1, 1, 1))
                sums.append(self.to.add("Conv", piece, constant, pads=[1] * 4, kernel_shape=[3, 3]))
        y = sums[0] if len(sums) == 1 else self.to.add("Add", *sums)
        if layer.conv.up:
            fir = self.scaled(low_pass(outputs) * 4, demodulation if in_weights else "", (-1, 1, 1, 1))
            y = self.to.add("Conv", y, fir, pads=[1] * 4, group=outputs, kernel_shape=[4, 4])
        return y if in_weights else self.to.add("Mul", y, self.as_map(demodulation))

    def picture(self, layer: ToRgb, x: Pieces, style: str, smaller: str = "", output: str = "") -> str:
        """What a layer shows, added to the smaller picture."""
        weight = layer.conv.weight[0] * layer.conv.scale
        scale, inputs = self.linear(style, layer.conv.modulation), weight.shape[1]
        sums = []
        for k, piece in enumerate(x):
            part = weight.chunk(len(x), dim=1)[k]
            constant = self.scaled(part, self.part(scale, k, len(x), inputs), (1, -1, 1, 1))
            sums.append(self.to.add("Conv", piece, constant, kernel_shape=[1, 1]))
        y = sums[0] if len(sums) == 1 else self.to.add("Add", *sums)
        y = self.to.add("Add", y, self.single(layer.bias))
        if not smaller:
            return y
        fir = self.single(low_pass(3) * 4)
        larger = self.to.add("ConvTranspose", smaller, fir, strides=[2, 2], pads=[1] * 4, group=3)
        return self.to.add("Add", y, larger, output=output)

    def winograd(self, x: str, weight: Tensor, size: int) -> str:
        """A 3×3 convolution by ``folded.winograd``'s matrices: [1, I, size, size] to [1, O, size, size]."""
        outputs, inputs = weight.shape[:2]
        down, side, step = size // 4, len(F4.inputs), len(F4.outputs)
        # Tiles overlap: each begins 4 pixels after the one before and has 6.
        pixels = self.to.constant((step * np.arange(down)[:, None] + np.arange(side)).reshape(-1))
        x = self.to.add("Pad", x, self.to.constant([0, 0, 1, 1, 0, 0, 1, 1]))
        x = self.to.add("Transpose", x, perm=[0, 2, 3, 1])
        x = self.to.add("Gather", self.to.add("Gather", x, pixels, axis=1), pixels, axis=2)
        x = self.to.add("Transpose", self.shaped(x, down, side, down, side, inputs), perm=[1, 3, 0, 2, 4])
        x = self.to.add("MatMul", self.both_axes(F4.inputs), self.shaped(x, side**2, down**2 * inputs))
        taps = self.to.constant(weight.permute(2, 3, 1, 0).reshape(9, -1))
        points = self.shaped(
            self.to.add("MatMul", self.both_axes(F4.weights), taps), side**2, inputs, outputs
        )
        x = self.to.add("MatMul", self.shaped(x, side**2, down**2, inputs), points)
        x = self.to.add("MatMul", self.both_axes(F4.outputs), self.shaped(x, side**2, down**2 * outputs))
        x = self.to.add("Transpose", self.shaped(x, step, step, down, down, outputs), perm=[4, 2, 0, 3, 1])
        return self.shaped(x, 1, outputs, size, size)

    # Single nodes

    def activated(self, x: str, bias: Tensor) -> str:
        return self.to.add(
            "LeakyRelu", self.to.add("Add", x, self.to.constant(bias.reshape(1, -1, 1, 1))), alpha=SLOPE
        )

    def part(self, scale: str, k: int, count: int, inputs: int) -> str:
        """The factors [1, inputs / count] of piece ``k``."""
        if count == 1:
            return scale
        ends = [self.to.constant([i * inputs // count]) for i in (k, k + 1)]
        return self.to.add("Slice", scale, *ends, self.to.constant([1]))

    def scaled(self, weight: Tensor | str, factor: str, shape: Sequence[int]) -> str:
        """Weights times factors that depend on the face; "" is 1."""
        weight = weight if isinstance(weight, str) else self.to.constant(weight)
        return self.to.add("Mul", weight, self.shaped(factor, *shape)) if factor else weight

    def shaped(self, x: str, *shape: int) -> str:
        return self.to.add("Reshape", x, self.to.constant(list(shape)))

    def both_axes(self, matrix: Sequence[Sequence[float]]) -> str:
        one = torch.tensor(matrix, dtype=torch.float32)
        return self.to.constant(torch.kron(one, one))
