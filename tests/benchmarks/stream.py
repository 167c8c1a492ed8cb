"""The stream of a training run, from shards to batches, against memory and disk: ratios of one run.

    python tests/benchmarks/stream.py --store /data/vitg.zarr            # written where it is missing
    python tests/benchmarks/stream.py --store /data/vitg.zarr --only cold

warm        windows in the page cache against one thread that copies as many bytes window by window; `first`:
            every frame's hash is checked, `later`: a sample is
busy        batches while the main thread runs Python between two of them for as long as a batch takes to
            read: 1 is full overlap, 0.5 none
cold        windows whose files the page cache was asked to drop, against the faster of two ways to read
            other files of the store from end to end, and against threads that read the same bytes of the
            same files past the page cache and do nothing else: what the disk gives when asked like that
readers     cold again, by how many threads read at once; `later`: scales, states and actions have stayed in
            the page cache, as they do from the second epoch on
lengths     cold again, by frames a window
dequantise  from buffers to float32 clips on the CPU, against a copy of the codes
            then what part of an update of `vjepa2-ac` reading is at several rates (arithmetic)

Rounds take turns; a ratio is the median over rounds of the ratios within a round.
"""

import argparse
import mmap
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.bench.synthetic import SyntheticStore, write_synthetic_store
from store_schema import direct_io
from store_schema.batch import ClipBatch
from store_schema.buffers import ClipBuffers, ClipShape
from store_schema.layout import slot_path
from store_schema.store import Store
from train.clips import Clips
from train.describe import describe
from train.reader_processes import reading_processes
from train.readers import RING_SIZE, OpenRing, reading_threads
from train.stream import StoreClips, StoreStream

BLOCK_BYTES = direct_io.BLOCK_BYTES
HANDED_OVER = torch.device("meta")
"""Takes a batch and computes nothing: what is left is the work of the stream."""
H200_BF16_FLOPS = 989e12
"""Dense, as its data sheet has it."""
ROUNDS = 3
BATCH_CLIPS = 16
CLIP_FRAMES = 16
WARM_BYTES = 2**30
COLD_BYTES = 3 * 2**28
READ_ARRAYS = ("latents", "token_scale", "states", "actions")
READERS: dict[str, OpenRing] = {
    "1 thread": partial(reading_threads, num_readers=1),
    "2 threads": partial(reading_threads, num_readers=2),
    "1 process": partial(reading_processes, num_readers=1),
    "2 processes": partial(reading_processes, num_readers=2),
}
Batches = list[NDArray[np.int64]]
Rounds = dict[str, list[float]]


def main(arguments: argparse.Namespace) -> None:
    """Print one table a section."""
    if not arguments.store.exists():
        print(f"writing {arguments.gib} GiB to {arguments.store}", flush=True)
        asked = SyntheticStore(
            path=arguments.store, size_bytes=int(arguments.gib * 2**30), encoder="vjepa2-vitg"
        )
        write_synthetic_store(asked)
    store = Store.open(arguments.store)
    sections = {"warm": warm, "busy": busy, "cold": cold, "readers": readers, "lengths": lengths,
                "dequantise": dequantise}  # fmt: skip
    for name in [arguments.only] if arguments.only else sections:
        print(f"\n{name}")
        sections[name](store)


def warm(store: Store) -> None:
    """Of one memcpy thread."""
    batches = drawn(store, CLIP_FRAMES, WARM_BYTES)
    read_once(store, batches)
    copy, found = Memcpy(bytes_of(store, batches[:1])), Rounds()
    for _ in range(ROUNDS):
        add(found, "memcpy", copy.rate(2 * len(batches)))
        for name in ("1 thread", "2 threads", "1 process", "2 processes"):
            # The ring's memory is touched for the first time by clips that are not counted.
            touching = batches[:1] * (2 * RING_SIZE)
            with opened(store, chain(touching, batches[1:], cycle(batches)), READERS[name]) as stream:
                list(islice(stream, len(touching)))
                add(found, f"{name}, first", rate(store, stream, batches[1:]))
                add(found, f"{name}, later", rate(store, stream, batches * 2))
    print_ratios(found, "memcpy")


def busy(store: Store) -> None:
    """One reader, so that it and the main thread have a core each on a machine of two."""
    batches = drawn(store, CLIP_FRAMES, WARM_BYTES)
    read_once(store, batches)
    found = Rounds()
    for _ in range(ROUNDS):
        for name in ("1 thread", "2 threads", "1 process"):
            with opened(store, cycle(batches), READERS[name]) as stream:
                list(islice(stream, len(batches)))
                idle = rate(store, stream, batches)
                seconds = bytes_of(store, batches[:1]) / idle
                add(found, f"{name}, idle", idle)
                add(found, f"{name}, busy", rate(store, stream, batches, lambda: spin(seconds)))  # noqa: B023
    for name in ("1 thread", "2 threads", "1 process"):
        print_ratios({n: r for n, r in found.items() if n.startswith(name)}, f"{name}, idle")


def cold(store: Store) -> None:
    """Of the disk's sequential rate, and of its rate at reading these windows."""
    found = Rounds()
    for number in range(ROUNDS):
        others, batches = halves(store, CLIP_FRAMES, number)
        ways: dict[str, Callable[[], float]] = {
            "sequential, buffered": partial(sequential, others, direct=False),
            "sequential, direct": partial(sequential, others, direct=True),
            "stream, buffered": partial(cold_rate, store, batches, direct=False),
            "stream, direct": partial(cold_rate, store, batches, direct=True),
            "bare reads, direct": partial(bare_reads, store, batches),
        }
        # Turned round every time, so that a disk that slows down slows all of them.
        names = list(ways)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            add(found, name, ways[name]())
    fastest = [
        max(pair) for pair in zip(found["sequential, buffered"], found["sequential, direct"], strict=True)
    ]
    print_ratios({"sequential, the faster": fastest, **found}, "sequential, the faster")
    print_ratios({name: r for name, r in found.items() if name.endswith("direct")}, "bare reads, direct")


def readers(store: Store) -> None:
    """Of eight threads."""
    found = Rounds()
    for number in range(ROUNDS):
        _, batches = halves(store, CLIP_FRAMES, number)
        for num_readers in (8, 2, 4, 16, 32, 64)[:: -1 if number % 2 else 1]:
            for arrays, when in ((READ_ARRAYS, "first"), (("latents",), "later")):
                ring = partial(reading_threads, num_readers=num_readers)
                found_rate = cold_rate(store, batches, direct=True, ring=ring, arrays=arrays)
                add(found, f"{num_readers} threads, {when}", found_rate)
    for when in ("first", "later"):
        print_ratios({name: r for name, r in found.items() if name.endswith(when)}, f"8 threads, {when}")


def lengths(store: Store) -> None:
    """Of windows of 16 frames, as direct I/O reads them."""
    found = Rounds()
    for number in range(ROUNDS):
        for num_frames in (8, 16, 32, 64, 96):
            _, batches = halves(store, num_frames, number)
            add(found, f"{num_frames} frames", cold_rate(store, batches, num_frames=num_frames, direct=True))
    print_ratios(found, "16 frames")


def dequantise(store: Store) -> None:
    """Of a copy of the codes by one thread."""
    buffers = ClipBuffers.of_shape(shape_of(store, CLIP_FRAMES))
    buffers.latents_BTND[:] = 1
    buffers.token_scale_BTN[:] = 1
    batch, copy, found = ClipBatch.of(buffers), Memcpy(buffers.latents_BTND.nbytes), Rounds()
    torch.set_num_threads(1)
    for _ in range(4 * ROUNDS):
        add(found, "memcpy", copy.rate(1))
        started = time.perf_counter()
        Clips.from_store(batch, store.channel_statistics, torch.device("cpu"))
        add(found, "float32 clips", buffers.latents_BTND.nbytes / (time.perf_counter() - started))
    print_ratios(found, "memcpy")
    flops, batch_bytes = describe("vjepa2-ac")["flops_per_step"], 256 * 16 * store.frame_bytes
    seconds = flops / (0.5 * H200_BF16_FLOPS)
    print(
        f"an update of vjepa2-ac: {flops / 1e15:.2f} PFLOP, {seconds:.2f} s on an H200 at half its data sheet"
    )
    for gb_per_second in (1, 5, 10, 20):
        read = batch_bytes / (gb_per_second * 1e9)
        share = f"{read / seconds:.1%} of that, in the background"
        print(f"reading its {batch_bytes / 1e9:.2f} GB at {gb_per_second} GB/s: {share}")


class Memcpy:
    """Windows from anywhere in 512 MiB into the memory of a batch."""

    def __init__(self, num_bytes: int) -> None:
        self.source, self.target = pages(2**29), pages(num_bytes)
        self.window_bytes = num_bytes // BATCH_CLIPS
        self.rng = np.random.default_rng(0)

    def copy(self) -> None:
        """One batch."""
        starts = self.rng.integers(0, len(self.source) - self.window_bytes, BATCH_CLIPS) // 4096 * 4096
        for row, start in enumerate(starts.tolist()):
            place = slice(row * self.window_bytes, (row + 1) * self.window_bytes)
            np.copyto(self.target[place], self.source[start : start + self.window_bytes])

    def rate(self, batches: int) -> float:
        """Bytes a second."""
        started = time.perf_counter()
        for _ in range(batches):
            self.copy()
        return batches * len(self.target) / (time.perf_counter() - started)


def pages(num_bytes: int) -> NDArray[np.uint8]:
    memory = np.frombuffer(mmap.mmap(-1, num_bytes), dtype=np.uint8)
    memory[:] = 1
    return memory


def spin(seconds: float) -> None:
    """Hold the interpreter."""
    ends, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < ends:
        count += 1


def shape_of(store: Store, num_frames: int, num_clips: int = BATCH_CLIPS) -> ClipShape:
    return ClipShape(num_clips=num_clips, num_frames=num_frames, latent_shape=store.latent_shape,
                     quantisation=store.quantisation)  # fmt: skip


def opened(
    store: Store, batches: Iterator[NDArray[np.int64]], readers: OpenRing, num_frames: int = CLIP_FRAMES
) -> AbstractContextManager[StoreStream]:
    supply = StoreClips(store=store, device=HANDED_OVER, open_ring=readers)
    return supply.stream(
        batches, clip_frames=num_frames, max_clips=max(BATCH_CLIPS * CLIP_FRAMES // num_frames, 1)
    )


def rate(
    store: Store, stream: StoreStream, batches: Batches, between: Callable[[], None] | None = None
) -> float:
    """Bytes a second of as many batches as these, `between` run after each."""
    started = time.perf_counter()
    for clips in islice(stream, len(batches)):
        num_frames = clips.states_BTA.shape[1]
        if between is not None:
            between()
    return bytes_of(store, batches, num_frames) / (time.perf_counter() - started)


def cold_rate(
    store: Store,
    batches: Batches,
    *,
    num_frames: int = CLIP_FRAMES,
    direct: bool,
    ring: OpenRing = reading_threads,
    arrays: Sequence[str] = READ_ARRAYS,
) -> float:
    """Bytes a second after the page cache was asked to drop the files of these arrays."""
    firsts = [first for batch in batches for first in batch.tolist()]
    forget([path for first in firsts for path in files_of(store, first, num_frames, arrays)])
    direct_io.CACHED_SHARE = 0.0 if direct else float("inf")
    with opened(store, iter(batches), ring, num_frames) as stream:
        found = rate(store, stream, batches)
    direct_io.CACHED_SHARE = 0.5
    return found


def sequential(paths: list[Path], *, direct: bool, block_bytes: int = 2**23) -> float:
    """Whole files one after the other, in large blocks."""
    forget(paths)
    block, done, started = memoryview(mmap.mmap(-1, block_bytes)), 0, time.perf_counter()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | (os.O_DIRECT if direct else 0))
        offset, size = 0, path.stat().st_size // 4096 * 4096
        while offset < size:
            offset += os.preadv(descriptor, [block[: size - offset]], offset)
        os.close(descriptor)
        done += offset
    return done / (time.perf_counter() - started)


def bare_reads(store: Store, batches: Batches, num_threads: int = 32) -> float:
    """Bytes a second of the windows' latents by threads that read whole blocks and look at none."""
    reads = [read for batch in batches for first in batch.tolist() for read in reads_of(store, first)]
    forget([path for path, _, _ in reads])
    memory = [pages(max(size for _, _, size in reads)) for _ in range(num_threads)]

    def read_share(thread: int) -> None:
        for path, offset, size in reads[thread::num_threads]:
            direct_io.read_directly(str(path), memory[thread][:size], offset)

    with ThreadPoolExecutor(num_threads) as threads:
        started = time.perf_counter()
        list(threads.map(read_share, range(num_threads)))
        return sum(size for _, _, size in reads) / (time.perf_counter() - started)


def reads_of(store: Store, first: int) -> Iterator[tuple[Path, int, int]]:
    """Path, offset and bytes, in whole blocks of the disk, of the latents of a window."""
    spec = store.specs["latents"]
    for slot in range(first // 128, (first + CLIP_FRAMES - 1) // 128 + 1):
        begins, ends = max(first - slot * 128, 0), min(first + CLIP_FRAMES - slot * 128, 128)
        offset = begins * spec.item_bytes // BLOCK_BYTES * BLOCK_BYTES
        num_blocks = -(-(ends * spec.item_bytes - offset) // BLOCK_BYTES)
        yield store.path / slot_path(spec, slot), offset, num_blocks * BLOCK_BYTES


def forget(paths: list[Path]) -> None:
    """Ask the page cache to drop files, which must have been written back."""
    for path in set(paths):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def files_of(
    store: Store, first: int, num_frames: int, arrays: Sequence[str] = READ_ARRAYS
) -> Iterator[Path]:
    for slot in range(first // 128, (first + num_frames - 1) // 128 + 1):
        for name in arrays:
            yield store.path / slot_path(store.specs[name], slot)


def windows(store: Store, num_frames: int) -> list[int]:
    """First frames of windows that do not overlap."""
    return [
        t.first_frame + start
        for t in store.trajectories
        for start in range(0, t.num_frames - num_frames + 1, num_frames)
    ]


def drawn(store: Store, num_frames: int, num_bytes: int, seed: int = 0) -> Batches:
    """Batches of the windows in a random order."""
    order = np.random.default_rng(seed).permutation(np.array(windows(store, num_frames)))
    size = max(BATCH_CLIPS * CLIP_FRAMES // num_frames, 1)
    batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    return batches[: max(round(num_bytes / (size * num_frames * store.frame_bytes)), 1)]


def halves(store: Store, num_frames: int, seed: int) -> tuple[list[Path], Batches]:
    """Files to read from end to end, and batches of windows of the other files."""
    slots = np.random.default_rng(seed).permutation(sorted(store.ledger.written_frames))
    ours = set(slots[len(slots) // 2 :].tolist())
    batches = drawn(store, num_frames, 2**40, seed)
    flat = [first for batch in batches for first in batch.tolist()]
    chosen = np.array([first for first in flat if {first // 128, (first + num_frames - 1) // 128} <= ours])
    size = max(BATCH_CLIPS * CLIP_FRAMES // num_frames, 1)
    kept = [chosen[i : i + size] for i in range(0, len(chosen) - size + 1, size)]
    limit = max(round(COLD_BYTES / (size * num_frames * store.frame_bytes)), 1)
    others = [
        store.path / slot_path(store.specs["latents"], slot) for slot in slots[: len(slots) // 2].tolist()
    ]
    return others, kept[:limit]


def read_once(store: Store, batches: Batches) -> None:
    """From end to end: pages that came in pieces are copied out at half the rate of others."""
    first_frames = {first for batch in batches for first in batch.tolist()}
    paths = [path for first in sorted(first_frames) for path in files_of(store, first, CLIP_FRAMES)]
    sequential(list(dict.fromkeys(paths)), direct=False)


def bytes_of(store: Store, batches: Batches, num_frames: int = CLIP_FRAMES) -> int:
    row_bytes = sum(store.specs[name].item_bytes for name in ("states", "actions"))
    return sum(len(batch) for batch in batches) * num_frames * (store.frame_bytes + row_bytes)


def add(found: Rounds, name: str, value: float) -> None:
    found.setdefault(name, []).append(value)


def print_ratios(found: Rounds, limit: str) -> None:
    for name, rates in found.items():
        ratios = [rate / of for rate, of in zip(rates, found[limit], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rate_gb, ratio = statistics.median(rates) / 1e9, statistics.median(ratios)
        print(f"{name:24} {rate_gb:6.2f} GB/s   ratio {ratio:.2f} ({spread})", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--gib", type=float, default=2.0, help="size of the store if it has to be written")
    parser.add_argument("--only", choices=["warm", "busy", "cold", "readers", "lengths", "dequantise"])
    main(parser.parse_args())
