"""GPEN: an encoder, a mapper and a StyleGAN2 generator fed with the encoder's features."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..errors import ArchitectureError
from .config import GpenConfig
from .encoders import ENCODERS
from .layers import StyledConv, ToRgb, standard_normal
from .names import to_module_names

__all__ = ["Generator", "Gpen", "check_fit"]


class ConstantInput(nn.Module):
    """The learned 4×4 start of the synthesis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(standard_normal(1, channels, 4, 4))

    def forward(self, batch: int) -> Tensor:
        return self.input.expand(batch, -1, -1, -1)


class Generator(nn.Module):
    """StyleGAN2 synthesis with skip RGB outputs and an encoder's features in the place of noise."""

    def __init__(self, config: GpenConfig) -> None:
        super().__init__()
        widths, dim, concat = config.widths, config.style_dim, config.concat
        wider = 2 if concat else 1
        self.input = ConstantInput(widths[4])
        self.conv1 = StyledConv(widths[4], widths[4], dim, concat=concat)
        self.to_rgb1 = ToRgb(widths[4] * wider, dim)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        resolutions = sorted(widths)
        for coarse, fine in pairwise(resolutions):
            c = widths[fine]
            self.convs.append(StyledConv(widths[coarse] * wider, c, dim, concat=concat, up=True))
            self.convs.append(StyledConv(c * wider, c, dim, concat=concat))
            self.to_rgbs.append(ToRgb(c * wider, dim))

    def forward(self, style: Tensor, features: Mapping[int, Tensor]) -> Tensor:
        """[B, style_dim] and a feature map for every resolution to [B, 3, size, size]."""
        x = self.conv1(self.input(style.shape[0]), style, features[4])
        rgb = self.to_rgb1(x, style)
        for k, to_rgb in enumerate(self.to_rgbs):
            feature = features[2 ** (k + 3)]
            x = self.convs[2 * k](x, style, feature)
            x = self.convs[2 * k + 1](x, style, feature)
            rgb = to_rgb(x, style, rgb)
        return rgb


class Gpen(nn.Module):
    """The network: aligned faces [B, 3, input_size, input_size] to [B, 3, size, size], RGB in [-1, 1].

    The output is not clamped. The same input gives the same output: where the output is larger than the
    input, the noise that stands in for missing features comes from a fixed seed and is the same for every
    face.
    """

    def __init__(self, config: GpenConfig) -> None:
        super().__init__()
        self.config = config
        kind = ENCODERS[config.encoder]
        self.encoder, self.mapper = kind.build(config), kind.mapper(config)
        self.generator = Generator(config)

    def forward(self, image: Tensor) -> Tensor:
        code, features = self.encoder(image)
        for resolution, width in self.config.widths.items():
            if resolution > self.config.input_size:
                features[resolution] = self.noise(width, resolution, like=image)
        return self.generator(self.mapper(code), features)

    @staticmethod
    def noise(channels: int, resolution: int, like: Tensor) -> Tensor:
        """What stands in for features above the input's size, [B, channels, resolution, resolution]."""
        # Drawn on the CPU: every device and every batch size gets the same image.
        shape = 1, channels, resolution, resolution
        generator = torch.Generator("cpu").manual_seed(resolution)
        noise = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
        return noise.to(like.device, like.dtype).expand(like.shape[0], -1, -1, -1)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], config: GpenConfig | None = None) -> Gpen:
        """A network on the CPU with these weights.

        Args:
            state: under released or module names.
            config: None is the one that the state dict describes.

        Raises:
            ArchitectureError: tensors are missing, unknown, or of another shape.
        """
        state = to_module_names(state)
        config = config or GpenConfig.from_state_dict(state)
        with torch.device("meta"):  # Drawing weights would take time and change the host's generator.
            network = cls(config)
        check_fit(network, state)
        own = {
            name: tensor.to("cpu", torch.float32, copy=True, memory_format=torch.contiguous_format)
            for name, tensor in state.items()
        }
        network.load_state_dict(own, assign=True)
        return network


def check_fit(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Make sure that a network takes every tensor of a state dict and lacks none.

    Raises:
        ArchitectureError: names the tensors that are missing, unknown, or of another shape.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    problems = [f"{n} is missing" for n in expected if n not in found]
    problems += [f"{n} is unknown" for n in found if n not in expected]
    problems += [f"{n} has shape {found[n]} and not {s}" for n, s in expected.items() if found.get(n, s) != s]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ArchitectureError(
            "These weights do not fit the network that their shapes describe "
            f"({getattr(module, 'config', '')}): {'; '.join(problems[:3])}{more}."
        )
