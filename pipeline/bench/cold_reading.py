"""How fast clips come from the disk itself: the page cache is asked to drop the files first."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from featurize.break_even import CLIP_ARRAYS
from featurize.disk_rates import forget
from pipeline.bench.disk_rate import read_in_order
from pipeline.bench.reading import HANDED_OVER, Reading, open_stream, take
from pipeline.bench.rows import Amount, Row
from pipeline.bench.windows import disjoint_windows, micro_batches, shuffled
from store_schema.layout import slot_path
from store_schema.tables import Trajectory
from train.subset import long_enough

MAX_TRAJECTORIES: Final = 2048
"""Asking for each file takes time; these hold more than any disk gives in a minute."""
SEQUENTIAL, COLD = "disk, sequential", "read cold"


def cold_rows(reading: Reading) -> list[Row]:
    """Whole files one after the other, and random windows of other files, neither from the page cache."""
    if not hasattr(os, "posix_fadvise"):
        why = "this system has no way to ask the page cache to drop a file"
        return [Row.missing(what, "bytes/s", why) for what in (SEQUENTIAL, COLD)]
    chosen = shuffled(long_enough(reading.store.split("train"), reading.clip_frames))[:MAX_TRAJECTORIES]
    # Apart, so that what a cache below the page cache has seen of one cannot answer the other.
    for_disk, for_clips = (chosen[::2], chosen[1::2]) if len(chosen) > 1 else (chosen, chosen)
    in_order = read_in_order(list(_files(reading, for_disk, ("latents",))), reading.seconds)
    sequential = Row.measured(
        SEQUENTIAL,
        in_order.per_second,
        "bytes/s",
        note=f"{_megabytes(in_order)} in whole slots, 1 or 8 at a time, page cache dropped",
    )
    return [sequential, _cold_row(reading, for_clips, sequential)]


def _cold_row(reading: Reading, trajectories: Sequence[Trajectory], sequential: Row) -> Row:
    for path in _files(reading, trajectories, CLIP_ARRAYS):
        forget(path)
    windows = disjoint_windows(trajectories, reading.clip_frames)
    batches = micro_batches(windows, reading.micro_batch_clips)
    with open_stream(reading, batches, HANDED_OVER) as stream:
        taken = take(stream, reading, seconds=reading.seconds)
    return Row.measured(COLD, taken.per_second, "bytes/s", limit=sequential, note=_note(reading, taken))


def _files(reading: Reading, trajectories: Sequence[Trajectory], names: Sequence[str]) -> Iterator[Path]:
    store = reading.store
    for trajectory in trajectories:
        for slot in trajectory.slots:
            for name in names:
                if name in store.specs:
                    yield store.path / slot_path(store.specs[name], slot)


def _note(reading: Reading, taken: Amount) -> str:
    note = f"{_megabytes(taken)} in random windows, hashes checked"
    if reading.fits_memory:
        return f"{note}, page cache dropped; a store of this size may still lie in a cache of the host"
    return f"{note}, past the page cache"


def _megabytes(amount: Amount) -> str:
    """A few megabytes tell little of a disk."""
    return f"{amount.done / 1e6:,.1f} MB"
