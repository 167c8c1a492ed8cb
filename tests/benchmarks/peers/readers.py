"""Random 16-frame windows of ViT-g-sized int8 frames (256 x 1408) into a batch: our reader and its peers.

The same bytes, on the same disk, into the same page-aligned batch, every reader once a round. Warm rows are
shares of a one-thread memcpy of as many bytes, cold rows (the kernel was asked to drop the files) of
reading a file of the same size from beginning to end. Every reader's first batch is compared with the
truth. The rows of batches have two workers behind them and are again shares of a one-thread memcpy: what
reaches the training process.

    python tests/benchmarks/peers/readers.py --folder SCRATCH           # some 8 x 0.75 GB at 16 slots
    python tests/benchmarks/peers/readers.py --folder SCRATCH --only "np.memmap" "litdata, every 16th window"

Legend: B windows of a batch, T frames of a window, N tokens per frame, D encoder width.
"""

import argparse
import gc
import mmap
import multiprocessing
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import torch
from loader_kinds import LOADERS, OURS_LOADER, OpenLoader
from measuring import Row, add_common_arguments, against_limit, alternate, finish
from our_readers import Batch, Open, ReadBatch, memcpy
from reader_kinds import HAS_THREADS, LIMIT, OURS, OURS_DIRECT, OURS_THREADS, READERS, SHUFFLED_SHARDS
from same_windows import SameWindows, drop_from_page_cache

from store_schema.format import LatentShape

_SEQUENTIAL = "sequential read"
_READ_AT_ONCE_BYTES = 8 * 2**20
# Filling a shuffle buffer reads windows that are never returned: no cold pass of a given size.
_NOT_COLD = (LIMIT, SHUFFLED_SHARDS)
_ALWAYS = tuple(name for name in READERS if name == LIMIT or name.startswith("ours"))
_BATCHES_BEFORE = 2


def main() -> None:
    """Write what is missing, check every reader, measure, print."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    # zarr-python warns of tables beside arrays, litdata and others of their own dependencies.
    warnings.simplefilter("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    windows = SameWindows(
        folder=options.folder,
        latent_shape=LatentShape(num_tokens=256, width=1408),
        num_slots=options.slots,
    )
    chosen, missing = _available({name: READERS[name] for name in (*_ALWAYS, *options.only)}, windows)
    # litdata leaves 'spawn' behind when it writes, and pipelines of lambdas cannot be pickled for that.
    multiprocessing.set_start_method("fork", force=True)
    # First: their workers are forked, which goes badly once libraries have started threads.
    handed = _handed_over(windows, options, missing) if options.batches else []
    warm = _warm(windows, chosen, options)
    cold = _cold(windows, chosen, options) if options.cold_windows else []
    facts = {
        "windows of a batch": options.batch,
        "megabytes in each format": windows.num_frames
        * windows.window_bytes
        // windows.window_frames
        // 10**6,
        "rounds": options.rounds,
        "processor": f"{os.cpu_count()} cores, {platform.machine()}",
        "left out": missing or "nothing",
    }
    finish("Random windows into a batch", [*warm, *cold, *handed], facts, options.json)


def _warm(windows: SameWindows, chosen: Mapping[str, Open], options: argparse.Namespace) -> list[Row]:
    rng, batch_BTND = np.random.default_rng(0), _aligned_batch(windows, options.batch)
    draw = partial(windows.draw, rng, options.batch)
    with ExitStack() as opened:
        readers = {
            name: opened.enter_context(open_it(windows))
            for name, open_it in chosen.items()
            if name != OURS_DIRECT
        }
        measures = {name: partial(_seconds, read, draw, batch_BTND) for name, read in readers.items()}
        seconds = alternate(measures, rounds=options.rounds, warm_up=2)
    return _rows("warm", seconds, LIMIT, _opponent)


def _cold(windows: SameWindows, chosen: Mapping[str, Open], options: argparse.Namespace) -> list[Row]:
    rng, batch_BTND = np.random.default_rng(1), _aligned_batch(windows, options.cold_windows)
    draw = partial(_scattered, windows, rng, options.cold_windows)
    measures: dict[str, Callable[[], float]] = {
        _SEQUENTIAL: partial(_sequential_seconds, windows, batch_BTND)
    }
    for name, open_it in chosen.items():
        if name not in _NOT_COLD:
            measures[name] = partial(_cold_seconds, windows, open_it, draw, batch_BTND)
    seconds = alternate(measures, rounds=options.cold_rounds, warm_up=0)
    return _rows("cold", seconds, _SEQUENTIAL, _opponent)


def _handed_over(windows: SameWindows, options: argparse.Namespace, missing: list[str]) -> list[Row]:
    batch_BTND = _aligned_batch(windows, options.batch)
    measures: dict[str, Callable[[], float]] = {LIMIT: partial(_copied_seconds, windows, batch_BTND, options)}
    for name, open_it in LOADERS.items():
        measures[name] = partial(_handed_over_seconds, windows, open_it, options)
        try:
            measures[name]()
        except ModuleNotFoundError as error:
            del measures[name]
            missing.append(f"{name} ({error.name} is not installed)")
    seconds = alternate(measures, rounds=options.rounds, warm_up=0)
    return _rows("batches", seconds, LIMIT, lambda _peer: OURS_LOADER)


def _copied_seconds(windows: SameWindows, batch_BTND: Batch, options: argparse.Namespace) -> float:
    draw = partial(windows.draw, np.random.default_rng(3), options.batch)
    with memcpy(windows) as read:
        return sum(_seconds(read, draw, batch_BTND) for _ in range(options.batches))


def _handed_over_seconds(windows: SameWindows, open_it: OpenLoader, options: argparse.Namespace) -> float:
    """Of `options.batches` batches, after the first two: what it takes to start workers is no part of it."""
    with open_it(windows, options.batch) as next_batch:
        for _ in range(_BATCHES_BEFORE):
            next_batch()
        started = time.perf_counter()
        for _ in range(options.batches):
            next_batch()
        return time.perf_counter() - started


def _opponent(peer: str) -> str:
    return OURS_THREADS if peer in HAS_THREADS else OURS


def _rows(
    state: str, seconds: dict[str, list[float]], limit: str, opponent: Callable[[str], str]
) -> list[Row]:
    own = [name for name in seconds if name.startswith("ours")]
    peers = [name for name in seconds if name not in own and name != limit]
    rows = [against_limit(f"{state}: {name}", None, seconds[name], seconds[limit], limit) for name in own]
    rows += [
        against_limit(f"{state}: {name}", seconds[opponent(name)], seconds[name], seconds[limit], limit)
        for name in peers
    ]
    return rows


def _seconds(read: ReadBatch, draw: Callable[[], np.ndarray], batch_BTND: Batch) -> float:
    first_frame_B = draw()
    started = time.perf_counter()
    read(first_frame_B, batch_BTND)
    return time.perf_counter() - started


def _cold_seconds(
    windows: SameWindows, open_it: Open, draw: Callable[[], np.ndarray], batch_BTND: Batch
) -> float:
    # A mapping that a reader of the last round left behind would keep its pages.
    gc.collect()
    drop_from_page_cache(windows.folder)
    with open_it(windows) as read:
        return _seconds(read, draw, batch_BTND)


def _sequential_seconds(windows: SameWindows, batch_BTND: Batch) -> float:
    drop_from_page_cache(windows.flat_file)
    target = memoryview(batch_BTND).cast("B")
    started = time.perf_counter()
    descriptor = os.open(windows.flat_file, os.O_RDONLY)
    for done in range(0, len(target), _READ_AT_ONCE_BYTES):
        os.preadv(descriptor, [target[done : done + _READ_AT_ONCE_BYTES]], done)
    os.close(descriptor)
    return time.perf_counter() - started


def _scattered(windows: SameWindows, rng: np.random.Generator, num_windows: int) -> np.ndarray:
    """Windows that share no frame: in a cold pass nobody profits from what was read before."""
    numbers = rng.permutation(windows.num_frames // windows.window_frames)[:num_windows]
    return numbers * windows.window_frames


def _available(chosen: Mapping[str, Open], windows: SameWindows) -> tuple[dict[str, Open], list[str]]:
    """The readers whose library is installed, each checked against the truth on a first batch."""
    there, missing = {}, []
    for name, open_it in chosen.items():
        try:
            with open_it(windows) as read:
                _check(name, read, windows)
            there[name] = open_it
        except ModuleNotFoundError as error:
            missing.append(f"{name} ({error.name} is not installed)")
    return there, missing


def _check(name: str, read: ReadBatch, windows: SameWindows) -> None:
    batch_BTND = _aligned_batch(windows, 4)
    read_B = read(windows.draw(np.random.default_rng(2), 4), batch_BTND)
    for row, first in enumerate(read_B.tolist()):
        truth_TND = windows.latents_FND[first : first + windows.window_frames]
        if not np.array_equal(batch_BTND[row], truth_TND):
            raise SystemExit(f"{name} returned other bytes than those at frame {first}.")


def _aligned_batch(windows: SameWindows, num_windows: int) -> Batch:
    memory = mmap.mmap(-1, num_windows * windows.window_bytes)
    batch_BTND = np.frombuffer(memory, dtype=np.int8).reshape(num_windows, *windows.window_shape)
    batch_BTND.fill(0)
    return batch_BTND


def _arguments() -> argparse.Namespace:
    peers = [name for name in READERS if name not in _ALWAYS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="the disk to measure; data stay there")
    parser.add_argument("--slots", type=int, default=16, help="slots of 128 frames in each format")
    parser.add_argument("--batch", type=int, default=16, help="windows of a batch")
    parser.add_argument("--cold-windows", type=int, default=64, help="windows of a cold pass; 0 for none")
    parser.add_argument("--cold-rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=12, help="batches handed over in a round; 0 for none")
    parser.add_argument("--only", nargs="*", default=peers, choices=peers, metavar="READER")
    add_common_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
