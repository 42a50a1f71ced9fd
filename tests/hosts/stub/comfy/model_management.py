"""Devices, memory and interrupts."""

import enum
import weakref

import torch

from .cli_args import args


class VRAMState(enum.Enum):
    DISABLED = 0
    NO_VRAM = 1
    LOW_VRAM = 2
    NORMAL_VRAM = 3
    HIGH_VRAM = 4


class InterruptProcessingException(Exception):
    """An Exception in old versions, a BaseException since 0.19.3."""


vram_state = VRAMState.DISABLED
current_loaded_models = []
_interrupted = False


def get_torch_device():
    return torch.device("cpu")


def unet_offload_device():
    return get_torch_device() if vram_state == VRAMState.HIGH_VRAM else torch.device("cpu")


def intermediate_device():
    return torch.device("cpu")


def should_use_fp16(device: torch.device | str = "cpu"):
    return args.force_fp16 and torch.device(device).type != "cpu"


def get_free_memory(device):
    return 2**34


def free_memory(memory_required, device):
    """Models go until so much is free; here it always is."""
    return []


def load_models_gpu(models, memory_required=0, force_full_load=False):
    """Where memory is short, what isn't made of the host's own layers stays behind; nothing tells."""
    for patcher in models:
        if patcher not in [known() for known in current_loaded_models]:
            current_loaded_models.append(weakref.ref(patcher))  # as the host does
        fits = get_free_memory(patcher.load_device) > patcher.model_size() + memory_required
        tight = vram_state == VRAMState.LOW_VRAM and not (fits or force_full_load)
        if not tight and vram_state != VRAMState.NO_VRAM:
            patcher.model.to(patcher.load_device)


def unload_all_models():
    for known in current_loaded_models:
        if patcher := known():
            patcher.model.to(patcher.offload_device)
    current_loaded_models.clear()


def interrupt_current_processing(value=True):
    global _interrupted
    _interrupted = value


def throw_exception_if_processing_interrupted():
    if _interrupted:
        interrupt_current_processing(False)
        raise InterruptProcessingException
