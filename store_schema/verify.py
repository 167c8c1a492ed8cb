"""Is a store what it says it is? Three levels, each with those before it.

`schema` reads structure and tables, `hashes` every byte, `values` what the numbers mean. Nothing raises for
what is wrong with a store: it is yielded, and what can still be checked is checked. A store that is being
built is checked as far as it is settled.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from store_schema.errors import SchemaError
from store_schema.format import ArraySpec
from store_schema.problem import Problem
from store_schema.reader import ClipReader
from store_schema.remote_files import files_of_slot, frame_files
from store_schema.rules.seal import TABLES, covers_every_file, is_as_sealed, is_hashed, sealed_files
from store_schema.rules.slots import belongs_to_a_slot
from store_schema.rules.statistics import has_its_channel_statistics, has_its_training_statistics
from store_schema.rules.values import TrajectoryRows, row_problems
from store_schema.slot_pass import SlotPass
from store_schema.store import Store
from store_schema.structure import Structure, examine
from store_schema.tables import Trajectory

OnProgress = Callable[[int, int], None]
"""Called with the slots that are read and those there are."""
THREADS: Final = 4
AHEAD: Final = 2 * THREADS
"""Slots in work or waiting to be reported: memory does not grow with the store."""


def verify_schema(path: Path) -> Iterator[Problem]:
    """What is wrong with structure and tables. Raises StoreNotFoundError where no part of a store lies."""
    yield from _schema(examine(path))


def verify_hashes(path: Path, on_progress: OnProgress = lambda _done, _total: None) -> Iterator[Problem]:
    """The same, and every byte against the ledger and the seal."""
    structure = examine(path)
    yield from chain(_schema(structure), _hashes(structure, on_progress, with_values=False))


def verify_values(path: Path, on_progress: OnProgress = lambda _done, _total: None) -> Iterator[Problem]:
    """The same, and the numbers: finite, in range, of one another, and the statistics that are recorded."""
    structure = examine(path)
    damaged = set()
    for problem in chain(_schema(structure), _hashes(structure, on_progress, with_values=True)):
        damaged.add(problem.slot)
        yield problem
    # What only a whole structure gives a meaning to.
    if not structure.problems:
        yield from _values(Store.of(structure), damaged)


def _schema(structure: Structure) -> Iterator[Problem]:
    yield from structure.problems
    attributes, specs = structure.attributes, structure.specs
    if attributes is not None and specs is not None:
        yield from covers_every_file(attributes, specs)
        # The tables were compared before they were read.
        yield from is_as_sealed(structure.path, attributes, set(sealed_files(specs)) - set(TABLES))


def _hashes(structure: Structure, on_progress: OnProgress, *, with_values: bool) -> Iterator[Problem]:
    attributes, specs, ledger = structure.attributes, structure.specs, structure.ledger
    if attributes is not None:
        yield from is_hashed(attributes)
    if specs is None or ledger is None:
        return
    slots = list(ledger.written_frames)

    def check(slot: int) -> list[Problem]:
        try:
            row = ledger.read(slot)
        except SchemaError as error:
            where = f"slot {slot}, ledger row"
            return [Problem(kind="wrong_ledger", where=where, detail=str(error), slot=slot)]
        with files_of_slot(structure.path, specs, row) as folder:
            return SlotPass(path=folder, specs=specs, row=row, with_values=with_values).problems()

    for done, found in enumerate(_in_order(check, sorted(slots)), start=1):
        yield from found
        on_progress(done, len(slots))
    # A store that has begun to grow meanwhile holds slots that are in no ledger of ours.
    if attributes is not None and attributes.sealed and structure.is_current():
        names = frame_files(structure.path, specs)
        yield from belongs_to_a_slot(names, specs, ledger.written_frames)


def _values(store: Store, damaged: set[int | None]) -> Iterator[Problem]:
    for trajectory in store.trajectories:
        if damaged.isdisjoint(trajectory.slots):
            yield from row_problems(_rows(store, trajectory))
    statistics = list(has_its_channel_statistics(store))
    yield from statistics
    if not statistics and not damaged:
        yield from _training_statistics(store.sealed_view())


def _training_statistics(store: Store) -> Iterator[Problem]:
    recorded = store.attributes.statistics
    if recorded is not None:
        # dask takes longer to import than a small store to verify.
        from store_schema.statistics import training_statistics

        yield from has_its_training_statistics(recorded, training_statistics(store))


def _rows(store: Store, trajectory: Trajectory) -> TrajectoryRows:
    def empty(name: str) -> NDArray[Any]:
        spec: ArraySpec = store.specs[name]
        return np.empty((trajectory.num_frames, *spec.item_shape), spec.dtype)

    names = ("states", "actions", "timestamps_seconds", "extrinsics", "source_index")
    entries = {name: empty(name) for name in names}
    ClipReader.open(store).read_arrays(trajectory.first_frame, entries)
    return TrajectoryRows(
        trajectory=trajectory,
        fingerprint=store.attributes.fingerprint,
        states_FA=entries["states"],
        actions_FA=entries["actions"],
        timestamps_seconds_F=entries["timestamps_seconds"],
        extrinsics_FE=entries["extrinsics"],
        source_index_F=entries["source_index"],
    )


def _in_order(work: Callable[[int], list[Problem]], slots: Iterable[int]) -> Iterator[list[Problem]]:
    """Results in the order of `slots`, a few threads at work ahead of the one that is asked for."""
    waiting: deque[Future[list[Problem]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for slot in slots:
            waiting.append(pool.submit(work, slot))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
