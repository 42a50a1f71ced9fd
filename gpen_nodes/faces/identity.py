"""Who a face is: MobileFaceNet embeddings, differentiable, for training, evaluation and choosing faces.

Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-time Face Verification on Mobile Devices"
(2018), arXiv:1804.07573, in the variant of github.com/foamliu/MobileFaceNet (Apache-2.0), which has 128
output values, ReLU and ReLU6 in place of PReLU, and takes RGB normalised by ImageNet's mean and deviation.
The exported file has batch norm folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ArchitectureError, FaceError
from ..host import Host, interrupts_of
from ..weight_files import MOBILEFACENET, locate, read_onnx_weights
from .alignment import align_faces
from .face import AlignedFace, DetectedFace, all_aligned
from .finding import find_faces
from .geometry.resample import compose, resizing, warp
from .geometry.templates import ARCFACE_POINTS, similarity, template_points
from .selection import select_faces

__all__ = ["FaceEmbedder", "arcface_crop", "face_likeness", "find_embedder"]

# Channels of the expanded and of the output layer, and stride, of each inverted residual block.
_BLOCKS = [
    *[(128, 64, 2), *[(128, 64, 1)] * 4],
    *[(256, 128, 2), *[(256, 128, 1)] * 6],
    *[(512, 128, 2), *[(256, 128, 1)] * 2],
]


def arcface_crop(crops: Tensor, template: str = "gpen") -> Tensor:
    """Faces aligned to one of our templates, moved to ArcFace's 112 px crop.

    Args:
        crops: [B, 3, S, S], any range, differentiable.
        template: the one they were aligned to.

    Returns:
        [B, 3, 112, 112], anti-aliased.
    """
    matrix = similarity(ARCFACE_POINTS, template_points(template, crops.shape[-1]))
    return warp(crops, matrix, (112, 112))


@torch.inference_mode()
def face_likeness(
    faces: Sequence[DetectedFace], reference: Tensor, weights: str | Path, *, host: Host | None = None
) -> tuple[float, ...]:
    """How much aligned faces look like a person.

    Args:
        faces: aligned by ``align_faces``, to any template and size.
        reference: [B, H, W, C] or [H, W, C] in [0, 1], photos of the person, whose largest face counts.
        weights: MobileFaceNet.onnx, see docs/checkpoints.md; kept once read. It runs on the CPU.
        host: where the reference's face is looked for; asked for interrupts all the time.

    Returns:
        For each face the cosine to the most similar photo: about 0.9 for one person under like conditions,
        about 0 for two.

    Raises:
        FaceError: no face in the reference, or a face that isn't aligned.
        CheckpointError: the weights are missing, damaged or another network's.
    """
    aligned = all_aligned(faces)
    found = find_faces(reference, host=host)
    persons = [one.face for one in select_faces(found, max_faces=1) if one.selected]
    if not persons:
        raise FaceError("No face was found in the reference picture. Give one that shows the person's face.")
    if not aligned:
        return ()
    embedder = _embedder(str(weights))
    check = interrupts_of(host)

    def embedded(faces: Sequence[AlignedFace]) -> Tensor:
        vectors = []
        for face in faces:
            check()
            vectors.append(embedder(_arcface_crop_of(face)))
        return torch.cat(vectors)

    known = embedded(align_faces(reference, persons, 256, host=host))
    return tuple((embedded(aligned) @ known.T).amax(1).tolist())


def find_embedder(weights: str | Path | None = None) -> FaceEmbedder | None:
    """MobileFaceNet from ``weights`` or where it usually lies, kept once read; None if it is not there."""
    path = weights or locate(MOBILEFACENET)
    return _embedder(str(path)) if path else None


@lru_cache(maxsize=1)
def _embedder(weights: str) -> FaceEmbedder:
    return FaceEmbedder.load(weights)


def _arcface_crop_of(face: AlignedFace) -> Tensor:
    """[1, 3, 112, 112] on the CPU, by the face's own landmarks: whatever it was aligned to."""
    side = len(face.crop)
    landmarks = torch.tensor(face.landmarks, dtype=torch.float64)
    to_crop = compose(resizing(side / face.crop_size, side / face.crop_size), face.matrix)
    points = landmarks @ to_crop[:, :2].T + to_crop[:, 2]
    matrix = similarity(ARCFACE_POINTS, tuple((x, y) for x, y in points.tolist()))
    crop = face.crop.detach().to("cpu", torch.float32).permute(2, 0, 1)[None]
    return warp(crop, matrix, (112, 112)).clamp(0, 1)


class FaceEmbedder(nn.Module):
    """MobileFaceNet: a face to a unit vector of 128 values; the dot product of two is their likeness.

    Two photos of one person give about 0.9 under like conditions, two people about 0 ± 0.1. Frozen, and
    always in evaluation mode: it has neither batch norm nor dropout.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, 64, 3, 2, 1),
            nn.ReLU6(),
            nn.Conv2d(64, 64, 3, 1, 1, groups=64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 1),
            nn.ReLU(),
        ]
        channels = 64
        for expanded, out, stride in _BLOCKS:
            layers.append(_InvertedResidual(channels, expanded, out, stride))
            channels = out
        layers += [
            nn.Conv2d(128, 512, 1),
            nn.ReLU6(),
            nn.Conv2d(512, 512, 7, groups=512),
            nn.Conv2d(512, 128, 1),
        ]
        self.layers = nn.Sequential(*layers)
        self.register_buffer("mean", _channels(0.485, 0.456, 0.406))
        self.register_buffer("deviation", _channels(0.229, 0.224, 0.225))
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # faster on a CPU

    @classmethod
    def load(cls, path: str | Path) -> FaceEmbedder:
        """The network with the weights of ``MobileFaceNet.onnx``, on the CPU.

        Raises:
            CheckpointError: the file is missing or damaged.
            ArchitectureError: its weights are another network's.
        """
        weights = list(read_onnx_weights(path).values())
        with torch.device("cpu"):  # Whatever device and dtype the host has made the default.
            embedder = cls().float()
        # The export has lost the names, but keeps the order: each convolution's weight, then its bias.
        own = list(embedder.parameters())
        if [w.shape for w in weights] != [p.shape for p in own]:
            raise ArchitectureError(
                f"{path} isn't the MobileFaceNet that is expected (51 convolutions, 128 values)."
            )
        with torch.no_grad():
            for parameter, weight in zip(own, weights, strict=True):
                parameter.copy_(weight)
        return embedder

    def forward(self, faces: Tensor) -> Tensor:
        """Embed ArcFace crops.

        Args:
            faces: [B, 3, 112, 112] RGB in [0, 1].

        Returns:
            [B, 128], each of length 1.
        """
        return F.normalize(self.layers((faces - self.mean) / self.deviation).flatten(1))

    def embed(self, crops: Tensor, template: str = "gpen") -> Tensor:
        """Embed [B, 3, S, S] RGB faces in [0, 1], aligned to ``template`` at any size: [B, 128], length 1."""
        return self(arcface_crop(crops, template))


def _channels(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device="cpu").view(3, 1, 1)


class _InvertedResidual(nn.Sequential):
    """Widen, filter each channel, narrow; added to the input where the shapes agree."""

    def __init__(self, channels: int, expanded: int, out: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(channels, expanded, 1),
            nn.ReLU6(),
            nn.Conv2d(expanded, expanded, 3, stride, 1, groups=expanded),
            nn.ReLU6(),
            nn.Conv2d(expanded, out, 1),
        )
        self.residual = stride == 1 and channels == out

    def forward(self, input: Tensor) -> Tensor:
        output = super().forward(input)
        return input + output if self.residual else output
