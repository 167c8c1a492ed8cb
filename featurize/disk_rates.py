"""How fast a disk takes slots and gives clips back."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from store_schema.format import ArraySpec
from store_schema.layout import FrameArrays, slot_path
from store_schema.slot_writer import SlotWriter

MAX_WRITTEN_BYTES: Final = 2**30
CLIP_FRAMES: Final = 16
CONCURRENT_READS: Final = 8


@dataclass(frozen=True, kw_only=True)
class DiskRates:
    """write: whole slots by `SlotWriter`, synced, one writer. read: clips at random, eight at a time."""

    write_bytes_per_second: float
    read_bytes_per_second: float


def measure_disk(
    folder: Path, specs: dict[str, ArraySpec], frames_per_slot: int, seconds: float
) -> DiskRates:
    """Write slots of drawn frames into `folder` for half of the time, 1 GiB at most; read in the other half.

    Between the two the page cache is asked to forget the files, where the system has a way to ask. A cache
    below it, of a controller or a host, may still answer.
    """
    written, write_rate = _write(folder, specs, _drawn_frames(specs, frames_per_slot), seconds / 2)
    paths = [folder / slot_path(specs["latents"], slot) for slot in range(written)]
    for path in paths:
        forget(path)
    frame_bytes = specs["latents"].item_bytes
    read_rate = _read(paths, frames_per_slot * frame_bytes, CLIP_FRAMES * frame_bytes, seconds / 2)
    return DiskRates(write_bytes_per_second=write_rate, read_bytes_per_second=read_rate)


def _write(
    folder: Path, specs: dict[str, ArraySpec], frames: FrameArrays, seconds: float
) -> tuple[int, float]:
    """Number of slots written, and bytes a second."""
    writer = SlotWriter(path=folder, specs=specs, fingerprint_sha256="0" * 64)
    started, num_slots, written_bytes, elapsed = time.perf_counter(), 0, 0, 0.0
    while num_slots == 0 or (elapsed < seconds and written_bytes < MAX_WRITTEN_BYTES):
        row = writer.write(num_slots, "drawn", frames)
        num_slots, written_bytes = num_slots + 1, written_bytes + sum(file.size_bytes for file in row.files)
        elapsed = time.perf_counter() - started
    return num_slots, written_bytes / elapsed


def _read(paths: list[Path], file_bytes: int, clip_bytes: int, seconds: float) -> float:
    """Bytes a second; every clip is read once at most, so that none comes out of the page cache."""
    clips = [(path, offset) for path in paths for offset in range(0, file_bytes, clip_bytes)]
    order = np.random.default_rng(0).permutation(len(clips))
    started, read_bytes, elapsed = time.perf_counter(), 0, 0.0
    with ThreadPoolExecutor(CONCURRENT_READS) as pool:
        sizes: Iterator[int] = pool.map(lambda number: _read_clip(*clips[number], clip_bytes), order)
        for size_bytes in sizes:
            read_bytes, elapsed = read_bytes + size_bytes, time.perf_counter() - started
            if elapsed >= seconds:
                pool.shutdown(cancel_futures=True)
                break
    return read_bytes / elapsed


def _read_clip(path: Path, offset: int, size_bytes: int) -> int:
    with path.open("rb", buffering=0) as file:
        return len(os.pread(file.fileno(), size_bytes, offset))


def _drawn_frames(specs: dict[str, ArraySpec], num_frames: int) -> FrameArrays:
    """Values that no codec makes smaller by much, within what every array may hold."""
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(1, 120, size=(num_frames, *spec.item_shape), dtype=np.uint8).astype(spec.dtype)
        for name, spec in specs.items()
        if spec.per_frame
    }


def forget(path: Path) -> None:
    """Ask the page cache to drop a file, where the system has a way to ask."""
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
