"""InvokeAI's nodes as the host registers them; ``invokeai_extension/`` holds what they are made of."""

from .invokeai_extension.degrade import GpenDegradeInvocation
from .invokeai_extension.restore import GpenRestoreFacesInvocation
from .invokeai_extension.steps import (
    GpenAlignFacesInvocation,
    GpenFindFacesInvocation,
    GpenJudgeFacesInvocation,
    GpenPasteFacesInvocation,
    GpenRestoreCropsInvocation,
)

__all__ = [
    "GpenAlignFacesInvocation",
    "GpenDegradeInvocation",
    "GpenFindFacesInvocation",
    "GpenJudgeFacesInvocation",
    "GpenPasteFacesInvocation",
    "GpenRestoreCropsInvocation",
    "GpenRestoreFacesInvocation",
]
