"""What makes a face worth learning from, measured: how blurred it is, and whether it is there twice."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["blur_of", "near_duplicates", "thumbprint"]

_SIDE = 32
_CHUNK = 1024


def blur_of(face: np.ndarray) -> float:
    """How little of its detail a face loses by a blur, 0 (all) to 1 (none): high for one that is blurred.

    The idea is Crete et al. 2007, "The blur effect": a blur changes a sharp image much and a blurred one
    little, whatever it shows and in whatever contrast. Here it is the share of the luma's gradient energy
    that a Gaussian blur of σ 1 leaves.

    Args:
        face: uint8 [S, S, 3] RGB, at the size at which the photo has it.
    """
    luma = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    energies = [
        float(np.square(np.diff(x, axis=0)).mean() + np.square(np.diff(x, axis=1)).mean())
        for x in (cv2.GaussianBlur(luma, (0, 0), 1), luma)
    ]
    return energies[0] / energies[1] if energies[1] else 1.0


def thumbprint(face: np.ndarray) -> np.ndarray:
    """A face at 32 px, without its mean and of length 1, float32 [3072].

    The dot product of two is their correlation, which size, exposure and compression hardly change.

    Args:
        face: uint8 [S, S, 3] RGB, aligned.
    """
    small = cv2.resize(face, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


def near_duplicates(prints: np.ndarray, order: np.ndarray, likeness: float) -> dict[int, int]:
    """Which faces show what a better one shows: number of the face, and of the one to keep.

    Args:
        prints: [N, 3072] of ``thumbprint``.
        order: the faces' numbers, best first.
        likeness: correlation from which two are one image.
    """
    ranked, twins = prints[order], dict[int, int]()
    for first in range(0, len(ranked), _CHUNK):
        alike = ranked[first : first + _CHUNK] @ ranked.T >= likeness
        for row, others in enumerate(alike, start=first):
            better = next((k for k in np.flatnonzero(others[:row]) if int(order[k]) not in twins), None)
            if better is not None:
                twins[int(order[row])] = int(order[better])
    return twins
