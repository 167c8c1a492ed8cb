"""Host memory that a GPU copies from without a detour."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from store_schema.buffers import ClipBuffers


class PinningError(RuntimeError):
    """The CUDA driver refused to lock memory."""


@contextmanager
def pinned(ring: Sequence[ClipBuffers], device: torch.device) -> Iterator[None]:
    """Page-lock the buffers while the context lasts, where `device` is CUDA. Raises PinningError."""
    arrays = [array for buffers in ring for array in _arrays(buffers)] if device.type == "cuda" else []
    registered: list[int] = []
    try:
        for array in arrays:
            _register(array)
            registered.append(array.ctypes.data)
        yield
    finally:
        if registered:
            # A copy that is still under way must not lose its memory.
            torch.cuda.synchronize(device)
        for address in registered:
            torch.cuda.cudart().cudaHostUnregister(address)  # type: ignore[no-untyped-call]


def _arrays(buffers: ClipBuffers) -> list[NDArray[np.generic]]:
    arrays = [buffers.latents_BTND, buffers.token_scale_BTN, buffers.states_BTA, buffers.actions_BTA]
    return [array for array in arrays if array is not None]


def _register(array: NDArray[np.generic]) -> None:
    status = torch.cuda.cudart().cudaHostRegister(array.ctypes.data, array.nbytes, 0)  # type: ignore[no-untyped-call]
    if int(status) != 0:
        raise PinningError(
            f"CUDA could not page-lock {array.nbytes} bytes of a clip buffer (error {int(status)}). "
            "Lower micro_batch_clips, or raise the limit of locked memory (`ulimit -l`)."
        )
