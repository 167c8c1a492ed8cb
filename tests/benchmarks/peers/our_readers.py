"""A copy in memory and our own readers, each a context manager that gives a function to fill a batch with.

That function takes first frames (B,) and the batch (B, T, N, D) and returns the first frames that it did
read: those asked for, or for formats of ready-made samples the samples in which they lie.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from same_windows import SameWindows

from store_schema.array_readers import ByteRangeReader
from store_schema.buffers import ClipBuffers, ClipShape
from store_schema.reader import ClipReader
from train.readers import CACHED_READERS, WAITING_READERS, Filler

Addresses = NDArray[np.int64]
Batch = NDArray[np.int8]
ReadBatch = Callable[[Addresses, Batch], Addresses]
Open = Callable[[SameWindows], AbstractContextManager[ReadBatch]]


def window_by_window(read_one: Callable[[int, Batch], None]) -> ReadBatch:
    """Window by window."""

    def read(first_frame_B: Addresses, batch_BTND: Batch) -> Addresses:
        for row, first in enumerate(first_frame_B.tolist()):
            read_one(first, batch_BTND[row])
        return first_frame_B

    return read


@contextmanager
def memcpy(windows: SameWindows) -> Iterator[ReadBatch]:
    """The limit: frames that lie in memory already."""
    latents_FND, frames = windows.latents_FND, windows.window_frames
    yield window_by_window(lambda first, out_TND: np.copyto(out_TND, latents_FND[first : first + frames]))


@contextmanager
def ours(windows: SameWindows) -> Iterator[ReadBatch]:
    """ClipReader, latents alone: what the peers read. Hashes need all arrays and are not checked."""
    reader = ClipReader.open(windows.store)
    yield window_by_window(lambda first, out_TND: reader.read_arrays(first, {"latents": out_TND}))


@contextmanager
def ours_whole_clips(windows: SameWindows) -> Iterator[ReadBatch]:
    """ClipReader as in training: scales, states, actions too, and each frame's hash when first read."""
    with _whole_clips(windows, ClipReader.open(windows.store), num_readers=1) as read:
        yield read


@contextmanager
def ours_threads(windows: SameWindows) -> Iterator[ReadBatch]:
    """The same by as many threads as training has."""
    with _whole_clips(windows, ClipReader.open(windows.store), num_readers=CACHED_READERS) as read:
        yield read


@contextmanager
def ours_direct(windows: SameWindows) -> Iterator[ReadBatch]:
    """The same past the page cache, as a store that does not fit into memory is read."""
    reader = ClipReader(windows.store, ByteRangeReader(windows.store, direct=True))
    with _whole_clips(windows, reader, num_readers=WAITING_READERS) as read:
        yield read


@contextmanager
def _whole_clips(windows: SameWindows, reader: ClipReader, *, num_readers: int) -> Iterator[ReadBatch]:
    """As training fills its ring, into the batch's memory; the rest of a clip has buffers of its own."""
    buffers_of = cache(partial(_buffers, windows))

    def read(first_frame_B: Addresses, batch_BTND: Batch) -> Addresses:
        num_clips = len(first_frame_B)
        filler = Filler(reader, [replace(buffers_of(num_clips), latents_BTND=batch_BTND)])
        parts = np.array_split(np.arange(num_clips), min(num_readers, num_clips))
        filled = [threads.submit(filler.fill, 0, int(rows[0]), first_frame_B[rows]) for rows in parts]
        for part in filled:
            part.result()
        return first_frame_B

    with ThreadPoolExecutor(num_readers) as threads:
        yield read


def _buffers(windows: SameWindows, num_clips: int) -> ClipBuffers:
    shape = ClipShape(
        num_clips=num_clips,
        num_frames=windows.window_frames,
        latent_shape=windows.store.latent_shape,
        quantisation=windows.store.quantisation,
    )
    return ClipBuffers.of_shape(shape)
