"""Decoded frames on their way from one process to another: 354 MB for 128 whole frames of 1280 x 720.

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
from featurize.video.decode import Decoder, each_frame

HAS_MEMFD: Final = hasattr(os, "memfd_create")

Shape = tuple[int, int, int, int]
Size = tuple[int, int]
"""Height and width."""
Box = tuple[slice, slice]
"""Rows and columns of a frame."""


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
    shared_path: str,
    shape: Shape,
    video: Path,
    indices_F: NDArray[np.int64],
    decoder: Decoder,
    frame_size: Size,
    box: Box,
) -> None:
    """Write a box of the frames that `decode_frames` gives into the `SharedFrames` of another process.

    A frame at a time: no second copy of all of them. frame_size: what the whole frames should have. Raises
    VideoUnreadableError as `decode_frames` does, and for frames of another size.
    """
    shared_FHWC = _mapped(shared_path, shape, "r+")
    sorted_indices, places_F = np.unique(indices_F, return_inverse=True)
    for number, frame_HWC in enumerate(each_frame(video, sorted_indices, decoder)):
        if frame_HWC.shape[:2] != frame_size:
            expected, got = _said(frame_size), _said(frame_HWC.shape[:2])
            raise VideoUnreadableError(
                f"{video.name} should decode to frames of {expected} pixels, got {got}."
            )
        shared_FHWC[places_F == number] = frame_HWC[box]


def _shared_file() -> IO[bytes]:
    if HAS_MEMFD:
        return open(os.memfd_create("permafrost-frames"), "w+b")  # noqa: PTH123 - it has no path
    return tempfile.NamedTemporaryFile()


def _mapped(file: IO[bytes] | str, shape: Shape, mode: Any) -> NDArray[np.uint8]:
    return np.memmap(file, dtype=np.uint8, mode=mode, shape=shape)


def _said(size: tuple[int, ...]) -> str:
    height, width = size
    return f"{width} x {height}"
