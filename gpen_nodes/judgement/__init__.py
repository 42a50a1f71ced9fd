"""Judgement of a restored face beside its input: colour, detail, grain, identity and what is in front.

Pure functions on aligned crops, which know no files, hosts or networks.
"""

from .colour import KeptColour, judge_colour
from .detail import KeptDetail, blend_octaves, keep_shares, measure_held
from .grain import grain
from .identity import KeptIdentity, guard_identity
from .judge import Judgement, judge_face
from .occlusion import contradiction

__all__ = [
    "Judgement",
    "KeptColour",
    "KeptDetail",
    "KeptIdentity",
    "blend_octaves",
    "contradiction",
    "grain",
    "guard_identity",
    "judge_colour",
    "judge_face",
    "keep_shares",
    "measure_held",
]
