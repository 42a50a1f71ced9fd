"""What went wrong, as one sentence for whoever looks at a picture, a page or an answer."""
# pyright: reportMissingImports=false

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch
from modules import paths

from gpen_nodes import GpenError

from .models import detector_folders, model_folders

__all__ = ["FAILURES", "is_out_of_memory", "tell"]

FAILURES = (GpenError, RuntimeError, MemoryError, OSError, ValueError)
"""What may go wrong while an image is restored; ``tell`` makes a sentence of it."""

# An absolute path up to its last part, of Unix or Windows; no part of a URL or of a relative path.
_FOLDERS = re.compile(r"""(?<![\w:/\\.])(?:[A-Za-z]:[\\/]|\\\\|/)(?:[^\s\\/'"`]+[\\/])*(?=[^\s\\/])""")


def tell(error: BaseException) -> str:
    """One sentence on a failure, with the names of files alone; the console gets their folders, too."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    sentence = lines[0] if not isinstance(error, GpenError) else " ".join(lines)
    if is_out_of_memory(error):
        sentence = "Out of memory; a smaller picture or model, --medvram or --use-cpu gpen needs less."
    print(f"GPEN: {sentence}", file=sys.stderr)
    return _without_folders(sentence)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is memory that is missing, by the error's type or by what the system said."""
    said = re.search("(?i)(out of|allocate|enough) memory", str(error))
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or said is not None


def _without_folders(sentence: str) -> str:
    """Pictures are passed on, and answers go to whoever asks: where the server keeps its files is its own."""
    known = [*model_folders(), *detector_folders(), Path(paths.models_path), Path(torch.hub.get_dir())]
    for folder in known:  # whose names may have blanks
        sentence = sentence.replace(f"{folder}/", "").replace(f"{folder}\\", "")
    return _FOLDERS.sub("", sentence)
