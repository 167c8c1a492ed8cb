"""How fast clips come out of a store: through the stream that training reads from, warm and cold."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Final

import torch

from featurize.break_even import CLIP_ARRAYS
from pipeline.bench.memory_rate import MemoryCopy
from pipeline.bench.rows import Amount, Row
from pipeline.bench.windows import Addresses, disjoint_windows, micro_batches
from store_schema.direct_io import CACHED_SHARE, memory_bytes
from store_schema.store import Store
from train.clips import BatchStream, Clips
from train.stream import StoreClips
from train.subset import long_enough

# Beyond every processor's caches, and little beside a training run.
WARM_BYTES: Final = 2**30
MIN_BATCHES: Final = 8
ROUNDS: Final = 4
WARM: Final = "read warm"
HANDED_OVER: Final = torch.device("meta")
"""A device that takes a batch and computes nothing: what is left is the work of the stream itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What is read of which store: micro-batches of training windows, for `device`, `seconds` a row."""

    store: Store
    clip_frames: int
    micro_batch_clips: int
    device: torch.device
    seconds: float

    @property
    def frame_bytes(self) -> int:
        """Bytes that training reads of a frame, as they lie in the store."""
        specs = self.store.specs
        return sum(specs[name].item_bytes for name in CLIP_ARRAYS if name in specs)

    @property
    def batch_bytes(self) -> int:
        """The same of a micro-batch."""
        return self.micro_batch_clips * self.clip_frames * self.frame_bytes

    @property
    def store_bytes(self) -> int:
        """The same of all stored frames."""
        return self.store.stored_frames * self.frame_bytes

    @property
    def fits_memory(self) -> bool:
        """Whether the page cache holds the store after its first epoch; readers go past it otherwise."""
        return self.store_bytes <= CACHED_SHARE * memory_bytes()

    @property
    def batch_note(self) -> str:
        """How the bytes are asked for."""
        clip_kb = self.clip_frames * self.frame_bytes / 1e3
        return f"{self.micro_batch_clips} clips x {self.clip_frames} frames, {clip_kb:,.0f} kB a clip"


@contextmanager
def open_stream(
    reading: Reading, batches: Iterable[Addresses], device: torch.device
) -> Iterator[BatchStream[Clips]]:
    """The stream of a training run over these batches."""
    supply = StoreClips(store=reading.store, device=device)
    clips, frames = reading.micro_batch_clips, reading.clip_frames
    with supply.stream(iter(batches), clip_frames=frames, max_clips=clips) as stream:
        yield stream


def take(
    stream: BatchStream[Clips], reading: Reading, *, batches: int | None = None, seconds: float = 0.0
) -> Amount:
    """Bytes of the next `batches` batches, or else of those that come within `seconds`, one at least."""
    started, taken, elapsed = time.perf_counter(), 0, 0.0
    for clips in stream if batches is None else islice(stream, batches):
        if clips.latents_BTND.is_cuda:
            torch.cuda.synchronize(clips.latents_BTND.device)
        taken, elapsed = taken + 1, time.perf_counter() - started
        if batches is None and elapsed >= seconds:
            break
    return Amount(taken * reading.batch_bytes, elapsed)


def warm_rows(reading: Reading) -> list[Row]:
    """Memory copy, a first pass that checks hashes, and later ones, of windows that the page cache holds.

    Measured in turns, so that whatever else the machine does falls on all of them alike.
    """
    part = replace(reading, store=cached_part(reading))
    batches = _warmed(part)
    there = HANDED_OVER if reading.device.type == "cpu" else reading.device
    copy, copied, first, later = MemoryCopy(), Amount(), Amount(), Amount()
    for _ in range(ROUNDS):
        copied += copy.copied(reading.seconds / ROUNDS)
        with open_stream(part, cycle(batches), there) as stream:
            # The stream's buffers are touched for the first time now.
            next(stream)
            first += take(stream, part, batches=len(batches) - 1)
            later += take(stream, part, seconds=reading.seconds / ROUNDS)
    memory = Row.measured("memcpy, one thread", copied.per_second, "bytes/s", note="numpy.copyto")
    note = f"{reading.batch_note}, the first {part.store_bytes / 2**20:,.1f} MiB of the store"
    rows = [
        memory,
        Row.measured("read warm, first pass", first.per_second, "bytes/s", limit=memory,
                     note="the same, every frame's hash checked"),
        Row.measured(WARM, later.per_second, "bytes/s", limit=memory, note=note),
    ]  # fmt: skip
    return [*rows, _dequantised_row(part, batches, rows[-1])] if there is HANDED_OVER else rows


def cached_part(reading: Reading) -> Store:
    """The store's first trajectories, 1 GiB of them at most: what is read through the page cache anywhere."""
    store, num_frames = reading.store, 0
    for trajectory in store.planned_trajectories:
        num_frames += trajectory.num_frames
        if num_frames * reading.frame_bytes > WARM_BYTES:
            break
    return replace(store, ledger=store.ledger.first(trajectory.slots.stop))


def _warmed(part: Reading) -> list[Addresses]:
    """Batches of windows that have just been read: all, or as many as the disk gives in time."""
    windows = disjoint_windows(long_enough(part.store.split("train"), part.clip_frames), part.clip_frames)
    batches = micro_batches(windows, part.micro_batch_clips, at_least=MIN_BATCHES)
    with open_stream(part, batches, HANDED_OVER) as stream:
        read = take(stream, part, seconds=part.seconds)
    return batches[: max(round(read.done / part.batch_bytes), MIN_BATCHES)]


def _dequantised_row(part: Reading, batches: list[Addresses], warm: Row) -> Row:
    """What is left of the rate where the processor that reads also dequantises."""
    few = batches[:MIN_BATCHES]
    with open_stream(part, cycle(few), part.device) as stream:
        take(stream, part, batches=len(few))
        taken = take(stream, part, seconds=part.seconds)
    return Row.measured("read warm, dequantised", taken.per_second, "bytes/s", limit=warm,
                        note="to float32 on the cpu; bytes counted as stored")  # fmt: skip
