"""A GPEN as an ONNX graph: 1×3×S×S in [-1, 1] to the same, ``input`` to ``output``, as its users expect.

Every scale that does not depend on the face is folded into weights. The style scales a convolution's input
and demodulation its output (as ``model.layers.ModulatedConv``), so that weights are constants, which engines
rearrange once. ``mapping`` takes the weights out again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ...model import Gpen
from ...model.encoders import Bottleneck, ConvEncoder, EncoderStage, ResNetEncoder
from ...model.layers import FIR, GAIN, SLOPE, EqualLinear, ModulatedConv, StyledConv, ToRgb
from .graph_writer import GraphWriter

__all__ = ["Export", "low_pass", "write_onnx"]


def write_onnx(network: Gpen, half: bool = False, batch: int | None = 1) -> bytes:
    """The file's contents.

    Args:
        half: weights and feature maps in 16 bits. Input, output, styles and the sum of pictures stay in 32.
        batch: faces at once; None leaves it open.
    """
    with torch.no_grad():
        return Export(network, half, batch).model()


class Export:
    """One graph in the making; ``inference.cpu_graph`` has other layers."""

    def __init__(self, network: Gpen, half: bool, batch: int | None) -> None:
        self.network, self.half = network, half
        self.batch: int | str = "batch" if batch is None else batch
        self.to = GraphWriter(np.float16 if half else np.float32)
        self.features: dict[int, str] = {}

    def model(self) -> bytes:
        config = self.network.config
        image = self.narrow("input")
        if isinstance(self.network.encoder, ConvEncoder):
            code = self.conv_encoder(self.network.encoder, image)
        else:
            code = self.resnet_encoder(cast("ResNetEncoder", self.network.encoder), image)
        for resolution, width in config.widths.items():
            if resolution > config.input_size:
                noise = self.network.noise(width, resolution, like=torch.empty(1))
                self.features[resolution] = self.to.constant(noise)
        self.generator(self.mapper(code))
        sides = {"input": config.input_size, "output": config.size}
        shapes = {name: (self.batch, 3, side, side) for name, side in sides.items()}
        return self.to.model({"input": shapes["input"]}, {"output": shapes["output"]})

    # Encoders

    def conv_encoder(self, encoder: ConvEncoder, x: str) -> str:
        size = self.network.config.input_size
        for stage in cast("Sequence[EncoderStage]", encoder.stages):
            weight, bias = stage.weight * (stage.scale * GAIN), stage.bias * GAIN
            if stage.down:
                size //= 2
                x = self.blur(x, weight.shape[1], pad=2)
            x = self.conv(x, weight, bias, stride=2 if stage.down else 1)
            x = self.features[size] = self.to.add("LeakyRelu", x, alpha=SLOPE)
        return self.linear(self.to.add("Flatten", self.widen(x), axis=1), encoder.to_style)

    def resnet_encoder(self, encoder: ResNetEncoder, image: str) -> str:
        size, taps = self.network.config.input_size, {}
        for _ in range(encoder.octaves):
            taps[size] = image
            image, size = self.blur(image, 3, pad=1, stride=2), size // 2
        taps[size] = image
        x = taps[size // 2] = self.to.add("Relu", self.module_conv(encoder.conv1, image))
        x = self.to.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        for k in range(1, 5):
            for block in cast("Sequence[Bottleneck]", encoder.get_submodule(f"layer{k}")):
                x = self.bottleneck(block, x)
            taps[size >> (k + 1)] = x
        for name, conv in encoder.lateral.items():
            self.features[int(name)] = self.module_conv(conv, taps[int(name)], activated=True)
        for name, conv in encoder.deeper.items():
            finer = self.features[2 * int(name)]
            self.features[int(name)] = self.module_conv(conv, finer, activated=True)
        mean = self.to.add("Flatten", self.to.add("GlobalAveragePool", self.widen(x)), axis=1)
        return self.gemm(mean, encoder.fc.weight, encoder.fc.bias)

    def bottleneck(self, block: Bottleneck, x: str) -> str:
        skip = x if block.downsample is None else self.module_conv(block.downsample[0], x)
        x = self.to.add("Relu", self.module_conv(block.conv1, x))
        x = self.to.add("Relu", self.module_conv(block.conv2, x))
        return self.to.add("Relu", self.to.add("Add", self.module_conv(block.conv3, x), skip))

    # Style

    def mapper(self, code: str) -> str:
        if self.network.config.encoder == "resnet50":
            first, _, second, norm = cast("Sequence[nn.Linear]", self.network.mapper)
            code = self.to.add("LeakyRelu", self.gemm(code, first.weight, first.bias), alpha=SLOPE)
            code = self.gemm(code, second.weight, second.bias)
            scale, bias = self.single(norm.weight), self.single(norm.bias)
            return self.to.add("LayerNormalization", code, scale, bias, axis=-1, epsilon=1e-5)
        square = self.to.add("ReduceMean", self.to.add("Mul", code, code), axes=[1], keepdims=1)
        code = self.to.add("Div", code, self.root(square))
        for layer in list(self.network.mapper)[1:]:
            code = self.linear(code, cast("EqualLinear", layer))
        return code

    def linear(self, x: str, layer: EqualLinear) -> str:
        gain = GAIN if layer.activated else 1.0
        x = self.gemm(x, layer.weight * (layer.scale * gain), layer.bias * (layer.lr_multiplier * gain))
        return self.to.add("LeakyRelu", x, alpha=SLOPE) if layer.activated else x

    # Generator

    def generator(self, style: str) -> str:
        synthesis = self.network.generator
        x = self.to.constant(synthesis.input.input)
        x = self.styled(synthesis.conv1, x, style, 4)
        rgb = self.rgb(synthesis.to_rgb1, x, style)
        for k, to_rgb in enumerate(cast("Sequence[ToRgb]", synthesis.to_rgbs)):
            for conv in cast("Sequence[StyledConv]", synthesis.convs[2 * k : 2 * k + 2]):
                x = self.styled(conv, x, style, 2 ** (k + 3))
            last = k == len(synthesis.to_rgbs) - 1
            rgb = self.rgb(to_rgb, x, style, rgb, "output" if last else "")
        return rgb

    def styled(self, layer: StyledConv, x: str, style: str, resolution: int) -> str:
        """One layer; the activation's gain is in its demodulation, its features' gain and its bias."""
        x, scale = self.modulated(layer.conv, x, style)
        x = self.to.add("Mul", x, self.narrow(scale))
        gain = self.to.constant((layer.noise.weight * GAIN).reshape(1, 1, 1, 1))
        feature = self.to.add("Mul", self.features[resolution], gain)
        if not layer.noise.concat:
            x = self.to.add("Add", x, feature)
        else:
            if resolution > self.network.config.input_size:  # noise, the same for each face
                feature = self.to.add("Expand", feature, self.to.add("Shape", x))
            x = self.to.add("Concat", x, feature, axis=1)
        bias = self.to.constant((layer.activate.bias * GAIN).reshape(1, -1, 1, 1))
        return self.to.add("LeakyRelu", self.to.add("Add", x, bias), alpha=SLOPE)

    def rgb(self, layer: ToRgb, x: str, style: str, skip: str = "", output: str = "") -> str:
        x, scale = self.modulated(layer.conv, x, style)
        x = self.widen(x)
        if scale:
            x = self.to.add("Mul", x, scale)
        x = self.to.add("Add", x, self.single(layer.bias))
        return self.added(x, skip, output) if skip else x

    def added(self, x: str, smaller: str, output: str) -> str:
        """A picture on top of one of half its size."""
        fir = self.single(low_pass(3) * 4)
        larger = self.to.add("ConvTranspose", smaller, fir, strides=[2, 2], pads=[1] * 4, group=3)
        return self.to.add("Add", x, larger, output=output)

    def modulated(self, layer: ModulatedConv, x: str, style: str) -> tuple[str, str]:
        """A convolution of the scaled input, and by what [B, ·, 1, 1] it is yet to be multiplied; "" is 1."""
        style = self.linear(style, layer.modulation)
        weight, scale, applied = layer.weight[0] * layer.scale, "", style
        if self.half:  # at most 1 before the convolution, so that nothing overflows; made up for behind it
            scale = self.to.add("ReduceMax", self.to.add("Abs", style), axes=[1], keepdims=1)
            scale = self.to.add("Max", scale, self.single(1e-12))
            applied = self.to.add("Div", style, scale)
        x = self.to.add("Mul", x, self.narrow(self.as_map(applied)))
        if layer.up:
            x = self.to.add(
                "ConvTranspose",
                x,
                self.to.constant(weight.transpose(0, 1)),
                strides=[2, 2],
                kernel_shape=[3, 3],
            )
            x = self.blur(x, weight.shape[0], pad=1, gain=4.0)
        else:
            x = self.conv(x, weight, None, pad=weight.shape[-1] // 2)
        if layer.demodulate:
            energies = self.single(weight.square().sum(dim=(2, 3)).t() / GAIN**2)
            energy = self.to.add("MatMul", self.to.add("Mul", style, style), energies)
            root = self.root(energy, 1e-8 / GAIN**2)
            scale = self.to.add("Div", scale, root) if scale else self.to.add("Reciprocal", root)
        return x, self.as_map(scale) if scale else ""

    # Single nodes

    def conv(self, x: str, weight: Tensor, bias: Tensor | None, *, stride: int = 1, pad: int = 0) -> str:
        constants = [self.to.constant(each) for each in (weight, bias) if each is not None]
        shape = list(weight.shape[2:])
        return self.to.add("Conv", x, *constants, strides=[stride] * 2, pads=[pad] * 4, kernel_shape=shape)

    def module_conv(self, module: nn.Module, x: str, activated: bool = False) -> str:
        conv = cast("nn.Conv2d", module)
        gain = GAIN if activated else 1.0
        bias = None if conv.bias is None else conv.bias * gain
        x = self.conv(x, conv.weight * gain, bias, stride=conv.stride[0], pad=int(conv.padding[0]))
        return self.to.add("LeakyRelu", x, alpha=SLOPE) if activated else x

    def blur(self, x: str, channels: int, *, pad: int, gain: float = 1.0, stride: int = 1) -> str:
        fir = self.to.constant(low_pass(channels) * gain)
        return self.to.add("Conv", x, fir, pads=[pad] * 4, strides=[stride] * 2, group=channels)

    def gemm(self, x: str, weight: Tensor, bias: Tensor) -> str:
        return self.to.add("Gemm", x, self.single(weight), self.single(bias), transB=1)

    def root(self, x: str, epsilon: float = 1e-8) -> str:
        return self.to.add("Sqrt", self.to.add("Add", x, self.single(epsilon)))

    def as_map(self, x: str) -> str:
        return self.to.add("Unsqueeze", x, self.to.constant([2, 3]))

    def single(self, value: Tensor | float) -> str:
        """A constant in 32 bits."""
        return self.to.constant(value, np.float32)

    def narrow(self, x: str) -> str:
        return self.to.add("Cast", x, to=10) if self.half else x

    def widen(self, x: str) -> str:
        return self.to.add("Cast", x, to=1) if self.half else x


def low_pass(channels: int) -> Tensor:
    """The low-pass filter for each channel by itself, [channels, 1, 4, 4]."""
    return torch.tensor(FIR).expand(channels, 1, 4, 4)
