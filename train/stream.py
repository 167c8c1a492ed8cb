"""From the store to the device: threads fill a ring of reused buffers ahead of the loop.

Legend: B clips of a micro-batch.
"""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from store_schema.batch import ClipBuffers
from store_schema.quantisation import ChannelStatistics
from store_schema.reader import ClipReader
from store_schema.store import Store, address_to_slot
from train.clips import Clips
from train.pinning import pinned

RING_SIZE: Final = 3
READER_THREADS: Final = 2


class StoreReadError(OSError):
    """The operating system could not read a slot."""


@dataclass(frozen=True, kw_only=True)
class StoreClips:
    """Clips of a store, dequantised on `device`."""

    store: Store
    device: torch.device

    @contextmanager
    def stream(
        self, first_frames: Iterator[NDArray[np.int64]], *, clip_frames: int, max_clips: int
    ) -> Iterator["StoreStream"]:
        """One batch for each array (B,) of addresses; threads and locked memory are gone on leaving."""
        ring = [self._allocate(max_clips, clip_frames) for _ in range(RING_SIZE)]
        statistics = self.store.channel_statistics
        with pinned(ring, self.device), ThreadPoolExecutor(READER_THREADS, "clip-reader") as threads:
            try:
                yield StoreStream(
                    reader=ClipReader.open(self.store),
                    statistics=None if statistics is None else statistics.to(self.device),
                    device=self.device,
                    threads=threads,
                    first_frames=first_frames,
                    ring=ring,
                )
            finally:
                threads.shutdown(wait=True, cancel_futures=True)

    def _allocate(self, num_clips: int, num_frames: int) -> ClipBuffers:
        return ClipBuffers.allocate(
            num_clips=num_clips,
            num_frames=num_frames,
            latent_shape=self.store.latent_shape,
            quantisation=self.store.quantisation,
        )


@dataclass(kw_only=True, eq=False)
class StoreStream:
    """Each buffer of the ring is either being filled, waiting in order, or the one last handed out.

    An error of a reading thread (DamagedStoreError, MissingFramesError, StoreReadError) is raised by the
    `next` whose clips it concerns.
    """

    reader: ClipReader
    statistics: ChannelStatistics | None
    device: torch.device
    threads: ThreadPoolExecutor
    first_frames: Iterator[NDArray[np.int64]]
    ring: list[ClipBuffers]
    waited_seconds: float = 0.0
    _filling: deque["_Filling"] = field(default_factory=deque)
    _handed_out: "_HandedOut | None" = None

    def __post_init__(self) -> None:
        for buffers in self.ring:
            self._refill(buffers)

    def __iter__(self) -> "StoreStream":
        return self

    def __next__(self) -> Clips:
        if self._handed_out is not None:
            self._refill(self._handed_out.taken_back())
        if not self._filling:
            self._handed_out = None
            raise StopIteration
        filling = self._filling.popleft()
        started = time.perf_counter()
        filled = filling.filled.result()
        self.waited_seconds += time.perf_counter() - started
        clips = Clips.from_store(filled.as_batch(), self.statistics, self.device)
        self._handed_out = _HandedOut.now(filling.buffers, self.device)
        return clips

    def _refill(self, buffers: ClipBuffers) -> None:
        first_frame_B = next(self.first_frames, None)
        if first_frame_B is not None:
            filled = self.threads.submit(_fill, self.reader, buffers.first(len(first_frame_B)), first_frame_B)
            self._filling.append(_Filling(buffers, filled))


@dataclass(frozen=True)
class _Filling:
    """A buffer that is being filled, and the part of it that will be."""

    buffers: ClipBuffers
    filled: "Future[ClipBuffers]"


@dataclass(frozen=True)
class _HandedOut:
    """A buffer that the device may still be copying from."""

    buffers: ClipBuffers
    copied: torch.cuda.Event | None

    @classmethod
    def now(cls, buffers: ClipBuffers, device: torch.device) -> "_HandedOut":
        if device.type != "cuda":
            return cls(buffers, None)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(device))
        return cls(buffers, copied)

    def taken_back(self) -> ClipBuffers:
        if self.copied is not None:
            self.copied.synchronize()
        return self.buffers


def _fill(reader: ClipReader, buffers: ClipBuffers, first_frame_B: NDArray[np.int64]) -> ClipBuffers:
    for row, first_frame in enumerate(first_frame_B.tolist()):
        try:
            reader.read(first_frame, buffers, row)
        except OSError as error:
            slot, frame = address_to_slot(first_frame)
            raise StoreReadError(
                f"The clip at frame {frame} of slot {slot} cannot be read: {error}. Check the disk; "
                "the same command then continues from the last checkpoint."
            ) from error
    return buffers
