"""InvokeAI's nodes as the host registers them; ``invokeai_extension/`` holds what they are made of."""

from .invokeai_extension.degrade import Degrade
from .invokeai_extension.restore import RestoreFaces
from .invokeai_extension.steps import AlignFaces, FindFaces, JudgeFaces, PasteFaces, RestoreCrops

__all__ = ["AlignFaces", "Degrade", "FindFaces", "JudgeFaces", "PasteFaces", "RestoreCrops", "RestoreFaces"]
