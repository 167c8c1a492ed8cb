"""From the store to the device: readers fill a ring of reused buffers ahead of the loop.

Legend: B clips of a micro-batch.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from store_schema.batch import ClipBatch
from store_schema.buffers import ClipShape
from store_schema.quantisation import ChannelStatistics
from store_schema.store import Store
from train.clips import Clips
from train.pinning import pinned
from train.reader_processes import reading_processes
from train.readers import OpenRing, Part, Ring, reading_threads


@dataclass(frozen=True, kw_only=True)
class StoreClips:
    """Clips of a store, dequantised on `device`.

    open_ring: who reads them. By default processes where the device is a GPU, since the main thread then runs
    Python that launches kernels; threads elsewhere, where it computes in kernels that let them run.
    """

    store: Store
    device: torch.device
    open_ring: OpenRing | None = None

    @contextmanager
    def stream(
        self, first_frames: Iterator[NDArray[np.int64]], *, clip_frames: int, max_clips: int
    ) -> Iterator["StoreStream"]:
        """One batch for each array (B,) of addresses; readers and locked memory are gone on leaving."""
        shape = ClipShape(
            num_clips=max_clips,
            num_frames=clip_frames,
            latent_shape=self.store.latent_shape,
            quantisation=self.store.quantisation,
        )
        statistics = self.store.channel_statistics
        with self._open_ring(self.store, shape) as ring, pinned(ring.buffers, self.device):
            yield StoreStream(
                statistics=None if statistics is None else statistics.to(self.device),
                device=self.device,
                first_frames=first_frames,
                ring=ring,
            )

    @property
    def _open_ring(self) -> OpenRing:
        if self.open_ring is not None:
            return self.open_ring
        return reading_processes if self.device.type == "cuda" else reading_threads


@dataclass(kw_only=True, eq=False)
class StoreStream:
    """Each buffer of the ring is either being filled, waiting in order, or the one last handed out.

    An error of a reader (DamagedStoreError, MissingFramesError, StoreReadError) is raised by the `next` whose
    clips it concerns.
    """

    statistics: ChannelStatistics | None
    device: torch.device
    first_frames: Iterator[NDArray[np.int64]]
    ring: Ring
    waited_seconds: float = 0.0
    _filling: deque["_Filling"] = field(default_factory=deque)
    _handed_out: "_HandedOut | None" = None

    def __post_init__(self) -> None:
        for place in range(len(self.ring.buffers)):
            self._refill(place)

    def __iter__(self) -> "StoreStream":
        return self

    def __next__(self) -> Clips:
        if self._handed_out is not None:
            self._refill(self._handed_out.taken_back())
        if not self._filling:
            self._handed_out = None
            raise StopIteration
        filling = self._filling.popleft()
        # Also where waiting raises, the buffer is free at the next call.
        self._handed_out = _HandedOut(filling.place, None)
        started = time.perf_counter()
        filling.wait()
        self.waited_seconds += time.perf_counter() - started
        filled = self.ring.buffers[filling.place].first(filling.num_clips)
        clips = Clips.from_store(ClipBatch.of(filled), self.statistics, self.device)
        self._handed_out = _HandedOut.now(filling.place, self.device)
        return clips

    def _refill(self, place: int) -> None:
        first_frame_B = next(self.first_frames, None)
        if first_frame_B is not None:
            parts = self.ring.start(place, first_frame_B)
            self._filling.append(_Filling(place, len(first_frame_B), parts))


@dataclass(frozen=True)
class _Filling:
    """A buffer whose first clips are being filled, part by part."""

    place: int
    num_clips: int
    parts: Sequence[Part]

    def wait(self) -> None:
        """Until every part is filled or has failed; then raise what the first of those that failed did."""
        # The stack runs them in reverse and raises the last error: no answer is left for the next batch.
        with ExitStack() as all_parts:
            for part in self.parts:
                all_parts.callback(part.result)


@dataclass(frozen=True)
class _HandedOut:
    """A buffer that the device may still be copying from."""

    place: int
    copied: torch.cuda.Event | None

    @classmethod
    def now(cls, place: int, device: torch.device) -> "_HandedOut":
        if device.type != "cuda":
            return cls(place, None)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(device))
        return cls(place, copied)

    def taken_back(self) -> int:
        if self.copied is not None:
            self.copied.synchronize()
        return self.place
