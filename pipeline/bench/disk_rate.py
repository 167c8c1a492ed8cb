"""How fast the disk of a store gives whole files, one after the other: the limit of a cold reader."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from featurize.disk_rates import CONCURRENT_READS, forget
from pipeline.bench.rows import Amount

BLOCK_BYTES: Final = 2**23


def read_in_order(paths: Sequence[Path], seconds: float) -> Amount:
    """Bytes of whole files that the page cache was asked to drop, and how long they took.

    One file at a time for half of `seconds`, eight at a time on other files in the other half: the faster one
    of the two. Each file is read once at most; a single one is not read in the other half.
    """
    for path in paths:
        forget(path)
    apart = [paths[::2], paths[1::2]]
    workers = (1, CONCURRENT_READS)
    halves = [
        _read(part, num_threads, seconds / 2)
        for part, num_threads in zip(apart, workers, strict=True)
        if part
    ]
    return max(halves, key=lambda half: half.per_second)


def _read(paths: Sequence[Path], num_threads: int, seconds: float) -> Amount:
    started = time.perf_counter()
    shares = [share for number in range(num_threads) if (share := paths[number::num_threads])]
    with ThreadPoolExecutor(num_threads) as pool:
        read_bytes = sum(pool.map(lambda share: _read_until(share, started + seconds), shares))
    return Amount(read_bytes, time.perf_counter() - started)


def _read_until(paths: Sequence[Path], ends: float) -> int:
    """Bytes read of one file after the other, block by block, one block at least."""
    block, done = bytearray(BLOCK_BYTES), 0
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(block):
                done += count
                if time.perf_counter() >= ends:
                    return done
    return done
