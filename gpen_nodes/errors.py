"""Every error that this package raises on purpose.

    GpenError
    ├── CheckpointError              a weight file that cannot be used
    │   ├── UnsafeCheckpointError    it wants to run code or build foreign objects
    │   └── ArchitectureError        its tensors are not a GPEN that we know
    ├── MissingWeightsError          weights, or the package that runs them, are not on this machine
    ├── ImageError                   a picture that cannot be read, written or used
    ├── FaceError                    no face, or none where one is expected
    ├── OptionError                  a value or a combination of options that makes no sense
    ├── DegenerateOutputError        the network gave NaN or infinity
    └── OutOfMemoryError             the device has too little memory for even one face; torch's own, too

A message names what was found, what was expected, and what to do next. Interrupts are not errors of
this package: whatever a host raises to stop work passes through untouched.
"""

from __future__ import annotations

import torch

__all__ = [
    "ArchitectureError",
    "CheckpointError",
    "DegenerateOutputError",
    "FaceError",
    "GpenError",
    "ImageError",
    "MissingWeightsError",
    "OptionError",
    "OutOfMemoryError",
    "UnsafeCheckpointError",
    "printable",
]

_MAX_SHOWN = 2000


def printable(text: str, limit: int = _MAX_SHOWN) -> str:
    """Text of any origin for a terminal, a log or a page: what they would obey is shown, ``\\x1b``, instead.

    Line breaks stay. What is longer than ``limit`` characters ends in an ellipsis.
    """
    shown = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in shown)


class GpenError(Exception):
    """Base of all errors raised on purpose by this package.

    What files and users name may stand in a message: it is shown as ``printable`` shows it.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class CheckpointError(GpenError):
    """A weight file is missing, damaged, or holds no usable weights.

    One line, whatever names the file holds.
    """

    def __str__(self) -> str:
        return super().__str__().replace("\n", "\\n")


class UnsafeCheckpointError(CheckpointError):
    """A weight file asks for more than tensors and plain containers; nothing of it was run."""


class ArchitectureError(CheckpointError):
    """Tensor names or shapes describe no GPEN that this package knows."""


class MissingWeightsError(GpenError):
    """Weights, or a package, that a choice of the user needs are not on this machine."""


class ImageError(GpenError):
    """A picture cannot be read, written, or has an unusable shape, mode or range."""


class FaceError(GpenError):
    """No face was found, or none where the request expects one."""


class OptionError(GpenError):
    """An option's value, or a combination of options, makes no sense."""


class DegenerateOutputError(GpenError):
    """The network's output holds NaN or infinity."""


class OutOfMemoryError(GpenError, torch.cuda.OutOfMemoryError):
    """The device has too little memory for even one face.

    Also torch's own error of that name, by which hosts know that they should free memory.
    """
