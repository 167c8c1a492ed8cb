"""Where a run computes, and in which precision."""

import contextlib

import torch


class DeviceError(ValueError):
    """The device asked for is not there."""


def choose_device(name: str | None) -> torch.device:
    """The device of this name; without one a GPU if there is one. Raises DeviceError."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"There is no kind of device called '{name}'; use 'cpu' or 'cuda'.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"Device '{name}' was asked for, but PyTorch sees no GPU. Use --device cpu.")
    return device


def compute_dtype(device: torch.device) -> torch.dtype:
    """Of matrix products under `autocast`."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def free_bytes(device: torch.device) -> int | None:
    """Memory of a GPU that nobody uses now; None for a CPU, whose memory is shared with all else."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def autocast(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """bfloat16 matrix products on a GPU; the CPU computes in float32, and the same bits every time."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()
