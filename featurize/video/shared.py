"""Decoded frames on their way from one process to another: 354 MB for 128 frames of 1280 x 720.

They are written into memory that both processes map, since a pipe would copy them twice and hold both ends
up. On Linux it is an anonymous file: the kernel frees it with its last user, however that ends, and the limit
on /dev/shm, 64 MB in a container by default, does not count. Elsewhere it is a temporary file.

Shape suffixes: F frames asked for, H height, W width, C colours (RGB).
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from featurize.video.container import VideoUnreadableError
from featurize.video.decode import Decoder, decode_frames

HAS_MEMFD: Final = hasattr(os, "memfd_create")

Shape = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class SharedFrames:
    """uint8 frames (F, H, W, C), zero until they are written. path: where a child process maps them."""

    path: str
    shape: Shape
    frames_FHWC: NDArray[np.uint8]


@contextmanager
def shared_frames(shape: Shape) -> Iterator[SharedFrames]:
    """Memory for frames of this shape. It is freed when the block has ended and no array refers to it."""
    with _shared_file() as file:
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}" if HAS_MEMFD else file.name
        yield SharedFrames(path=path, shape=shape, frames_FHWC=_mapped(file, shape, "w+"))


def decode_into(
    shared_path: str, shape: Shape, video: Path, indices_F: NDArray[np.int64], decoder: Decoder
) -> None:
    """Write what `decode_frames` gives into the `SharedFrames` of another process.

    Raises VideoUnreadableError as it does, and for frames of another size.
    """
    frames_FHWC = decode_frames(video, indices_F, decoder)
    if frames_FHWC.shape != shape:
        expected, got = _size(shape), _size(frames_FHWC.shape)
        raise VideoUnreadableError(f"{video.name} should decode to frames of {expected} pixels, got {got}.")
    np.copyto(_mapped(shared_path, shape, "r+"), frames_FHWC)


def _shared_file() -> IO[bytes]:
    if HAS_MEMFD:
        return open(os.memfd_create("permafrost-frames"), "w+b")  # noqa: PTH123 - it has no path
    return tempfile.NamedTemporaryFile()


def _mapped(file: IO[bytes] | str, shape: Shape, mode: Any) -> NDArray[np.uint8]:
    return np.memmap(file, dtype=np.uint8, mode=mode, shape=shape)


def _size(shape: tuple[int, ...]) -> str:
    _, height, width, _ = shape
    return f"{width} x {height}"
