"""The files of slots: what the ledger says of them, and of their frames."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numcodecs.checksum32 import CRC32C

from store_schema.errors import SchemaError
from store_schema.format import SLOT_FRAMES, ArraySpec
from store_schema.layout import slot_path
from store_schema.ledger_row import LedgerRow, SlotFile
from store_schema.problem import Kind, Problem
from store_schema.rules.seal import file_sha256

INDEX_BYTES: Final = SLOT_FRAMES * 16 + 4
"""Of a shard: offset and size of each frame, and their CRC-32C."""
_ABSENT: Final = np.uint64(2**64 - 1)


def is_as_recorded(
    path: Path, spec: ArraySpec, row: LedgerRow, sha256_of: Callable[[Path], str] = file_sha256
) -> Iterator[Problem]:
    """H1. Every file of a written slot MUST have the size and the SHA-256 that its ledger row says."""
    file = _listed(row, spec.name)
    place = path / slot_path(spec, row.slot)

    def problem(kind: Kind, detail: str) -> Problem:
        where = f"slot {row.slot}, array {spec.name}"
        return Problem(kind=kind, where=where, detail=f"episode {row.episode_id}: {detail}", slot=row.slot)

    try:
        size_bytes = place.stat().st_size
        if size_bytes != file.size_bytes:
            yield problem("wrong_size", f"{size_bytes} bytes, ledger says {file.size_bytes}")
        elif (sha256 := sha256_of(place)) != file.sha256:
            yield problem("wrong_hash", f"SHA-256 {sha256}, ledger says {file.sha256}")
    except FileNotFoundError:
        yield problem("missing_file", "file is gone")
    except OSError as error:
        yield problem("unreadable", f"{error.strerror}")


def has_the_frame_hashes(row: LedgerRow, frame_xxh3: bytes) -> Iterator[Problem]:
    """H2. `frame_xxh3` MUST hold the big-endian XXH3-64 of each frame's bytes in the hashed arrays."""
    if frame_xxh3 != row.frame_xxh3:
        yield Problem(
            kind="wrong_ledger",
            where=f"slot {row.slot}, ledger row",
            detail=f"The frames of slot {row.slot} have other XXH3 hashes than its row, though its files are "
            "as recorded.",
            slot=row.slot,
        )


def is_packed_in_order(spec: ArraySpec, row: LedgerRow, size_bytes: int, tail: bytes) -> Iterator[Problem]:
    """H3. In uncompressed arrays frames MUST be packed in order from byte 0 of their slot's file.

    tail: the last `INDEX_BYTES` of the file, which hold the index of a shard.
    """
    if spec.zstd_level is not None:
        return
    index_bytes = INDEX_BYTES if spec.sharded else 0
    expected_bytes = (row.num_frames if spec.sharded else SLOT_FRAMES) * spec.item_bytes + index_bytes
    fault = None
    if size_bytes != expected_bytes:
        fault = (
            f"Slot {row.slot} of array '{spec.name}' has {size_bytes} bytes; "
            f"its {row.num_frames} frames take {expected_bytes}."
        )
    elif spec.sharded:
        fault = _index_fault(spec, row, tail[-INDEX_BYTES:])
    if fault is not None:
        where = f"slot {row.slot}, array {spec.name}"
        yield Problem(kind="wrong_order", where=where, detail=fault, slot=row.slot)


def _index_fault(spec: ArraySpec, row: LedgerRow, index: bytes) -> str | None:
    what = f"The shard index of slot {row.slot} of array '{spec.name}'"
    try:
        payload = CRC32C(location="end").decode(index)
    except RuntimeError:
        return f"{what} fails its CRC-32C."
    expected = np.full((SLOT_FRAMES, 2), _ABSENT)
    expected[: row.num_frames, 0] = np.arange(row.num_frames) * spec.item_bytes
    expected[: row.num_frames, 1] = spec.item_bytes
    found = np.frombuffer(payload, dtype="<u8").reshape(SLOT_FRAMES, 2)
    return None if np.array_equal(found, expected) else f"{what} is not in frame order."


def belongs_to_a_slot(
    names: Iterable[str], specs: Mapping[str, ArraySpec], slots: Collection[int]
) -> Iterator[Problem]:
    """H4. In a sealed store every file of a per-frame array MUST be that of a written slot."""
    for name in stray_files(names, specs, slots):
        yield Problem(
            kind="stray_file",
            where=name,
            detail=f"{name} belongs to no written slot, but Zarr libraries read it. Delete the file.",
        )


def stray_files(
    names: Iterable[str], specs: Mapping[str, ArraySpec], slots: Collection[int]
) -> Iterator[str]:
    """Of the files of per-frame arrays, relative to the store, those that belong to none of `slots`."""
    for name in names:
        array, _, slot, *_ = name.split("/")
        if not (slot.isdecimal() and int(slot) in slots and name == slot_path(specs[array], int(slot))):
            yield name


def _listed(row: LedgerRow, array: str) -> SlotFile:
    for file in row.files:
        if file.array == array:
            return file
    raise SchemaError(f"Slot {row.slot} lists no file of array '{array}'; its ledger row is not of format 1.")
