"""A process that dies while it writes a slot, by SIGKILL at any moment, leaves nothing half visible."""

import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from store_schema import ledger
from store_schema.integrity import digest
from store_schema.layout import FrameArrays, slot_path
from store_schema.slot_writer import SlotWriter
from store_schema.store import Store
from store_schema.verify import verify_hashes

SLOT = 1
EPISODE = "episode-1"
NUM_KILLS = 20
SEED = 20261121
LIMIT_SECONDS = 20.0


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Tensorstore must not be forked, and a fresh interpreter a round would take the time of the test."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["store_schema.slot_writer"])
    return context


def slot_files(path: Path) -> list[Path]:
    return [path / slot_path(spec, SLOT) for spec in Store.open(path).specs.values() if spec.per_frame]


def forget_slot(path: Path) -> None:
    """Take the slot out of the store: its row, its files, and what killed writers left."""
    (path / f"ledger/{SLOT:08d}.json").unlink(missing_ok=True)
    for file in slot_files(path):
        file.unlink(missing_ok=True)
        for leftover in file.parent.glob("*.partial"):
            leftover.unlink()
    shutil.rmtree(path / f"latents/c/{SLOT}", ignore_errors=True)


def start_writing(processes: ForkServerContext, writer: SlotWriter, frames: FrameArrays) -> BaseProcess:
    """A process that has begun to write the slot's first file."""
    process = processes.Process(target=writer.write, args=(SLOT, EPISODE, frames))
    process.start()
    first_folder = writer.path / f"latents/c/{SLOT}"
    while process.is_alive() and not first_folder.exists():
        time.sleep(0.0005)
    return process


def seconds_to_write(processes: ForkServerContext, writer: SlotWriter, frames: FrameArrays) -> float:
    forget_slot(writer.path)
    process = start_writing(processes, writer, frames)
    started = time.perf_counter()
    process.join()
    return time.perf_counter() - started


def moments(longest_seconds: float) -> Iterator[float]:
    """Moments of death after the first file was begun, until there are enough or the time is up."""
    rng = np.random.default_rng(SEED)
    stop = time.monotonic() + LIMIT_SECONDS
    for _ in range(NUM_KILLS):
        if time.monotonic() < stop:
            yield rng.uniform(0.0, longest_seconds)


def test_a_writer_killed_at_any_moment_leaves_a_whole_slot_or_none(
    processes: ForkServerContext,
    unsealed_store: Path,
    building_store: Path,
    writer_of: Callable[[Path], SlotWriter],
    frames_of: Callable[[Path, int], FrameArrays],
) -> None:
    writer, frames = writer_of(unsealed_store), frames_of(unsealed_store, SLOT)
    intact = {file: file.read_bytes() for file in slot_files(unsealed_store)}
    killed_halfway = 0
    for delay_seconds in moments(seconds_to_write(processes, writer, frames)):
        forget_slot(unsealed_store)
        process = start_writing(processes, writer, frames)
        time.sleep(delay_seconds)
        process.kill()
        process.join()
        # No file is ever torn, listed in the ledger or not.
        assert all(file.read_bytes() == data for file, data in intact.items() if file.exists())
        store = Store.open(unsealed_store)
        assert list(verify_hashes(unsealed_store)) == []
        assert store.missing_slots() in ([], [SLOT])
        killed_halfway += store.missing_slots() == [SLOT]
    assert killed_halfway > 0, "every writer was done before it was killed; the test shows nothing"
    writer.write(SLOT, EPISODE, frames)
    ledger.merge(unsealed_store)
    whole = Path(shutil.copytree(building_store, unsealed_store.with_name("whole.zarr")))
    ledger.merge(whole)
    assert digest(unsealed_store) == digest(whole)
    assert list(unsealed_store.rglob("*.partial")) == []
