"""Reading clips straight from the files of a store, checked against the ledger.

A frame's latent is one byte range of its slot's shard, and so is a clip's within one slot. The shard index
is checked (CRC-32C, frames packed in order from byte 0) before its slot is first read, and every frame's
hash when it is first read.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import tensorstore
from numcodecs.checksum32 import CRC32C
from numpy.typing import NDArray

from store_schema.batch import ClipBuffers
from store_schema.errors import DamagedStoreError, MissingFramesError
from store_schema.format import SLOT_FRAMES, ArraySpec
from store_schema.layout import open_group, slot_path
from store_schema.ledger import HASHED_ARRAYS, LedgerRow, frame_hash
from store_schema.store import Store, address_to_slot

CRC_BYTES: Final = 4
INDEX_BYTES: Final = SLOT_FRAMES * 16 + CRC_BYTES
_ABSENT = np.uint64(2**64 - 1)

Entries = dict[str, NDArray[Any]]


class ArrayReader(Protocol):
    """Fills `out` (F, ...) with the first frames asked for of one slot of one array."""

    def read_into(self, spec: ArraySpec, slot: int, start: int, out: NDArray[Any]) -> None:
        """Read `len(out)` frames of `slot` from its frame `start` on."""


@dataclass
class ClipReader:
    """Reads consecutive frames of one store into preallocated buffers; safe to call from many threads.

    array_reader: byte ranges by default; `TensorstoreReader` reads what is not a local file.
    """

    store: Store
    array_reader: ArrayReader
    _verified: dict[int, NDArray[np.bool_]] = field(default_factory=dict)

    @classmethod
    def open(cls, store: Store) -> "ClipReader":
        """The fastest reader for a store on a local disk."""
        return cls(store, ByteRangeReader(store))

    def read(self, first_frame: int, out: ClipBuffers, row: int) -> None:
        """Fill clip `row` of `out` with the consecutive frames from address `first_frame` on.

        Raises MissingFramesError where a frame is not stored, DamagedStoreError where its bytes have changed.
        """
        entries = {"latents": out.latents_BTND[row], "states": out.states_BTA[row], "actions": out.actions_BTA[row]}
        if out.token_scale_BTN is not None:
            entries["token_scale"] = out.token_scale_BTN[row]
        self.read_arrays(first_frame, entries)

    def read_arrays(self, first_frame: int, out: Entries) -> None:
        """Fill each array of `out`, (F, ...) with one common F; checked when all hashed arrays are among them."""
        num_frames = len(out["latents"])
        for slot, start, stop, done in _spans(first_frame, num_frames):
            ledger_row = self._row(slot, stop)
            part = {name: entries[done : done + stop - start] for name, entries in out.items()}
            for name, entries in part.items():
                self.array_reader.read_into(self.store.specs[name], slot, start, entries)
            self._verify(ledger_row, start, part)

    def thumbnails(self, first_frame: int, num_frames: int) -> NDArray[np.uint8]:
        """What the encoder saw, uint8 (F, 64, 64, 3) RGB."""
        for slot, _, stop, _ in _spans(first_frame, num_frames):
            self._row(slot, stop)
        return np.asarray(open_group(self.store.path)["thumbnails"][first_frame : first_frame + num_frames])

    def _row(self, slot: int, stop: int) -> LedgerRow:
        row = self.store.ledger.get(slot)
        if row is None or row.status != "written" or row.num_frames < stop:
            held = "is not written" if row is None or row.status != "written" else f"holds {row.num_frames} frames"
            raise MissingFramesError(
                f"Frame {stop - 1} of slot {slot} was asked for, but the slot {held}. "
                "Choose frames from `Store.trajectories`."
            )
        return row

    def _verify(self, row: LedgerRow, start: int, part: Entries) -> None:
        verified = self._verified.setdefault(row.slot, np.zeros(row.num_frames, dtype=bool))
        arrays = [part[name] for name in HASHED_ARRAYS if name in part]
        for offset, entries in enumerate(zip(*arrays, strict=True)):
            frame = start + offset
            if verified[frame]:
                continue
            if frame_hash(entries) != row.frame_xxh3[frame]:
                raise DamagedStoreError(
                    f"Frame {frame} of slot {row.slot} (episode {row.episode_id}) differs from what was written. "
                    f"`permafrost verify {self.store.path.name}` lists all damage."
                )
            verified[frame] = True


@dataclass
class ByteRangeReader:
    """`preadv` of the byte range that the frames take in their slot's file."""

    store: Store
    _checked: set[Path] = field(default_factory=set)

    def read_into(self, spec: ArraySpec, slot: int, start: int, out: NDArray[Any]) -> None:
        """Read frames of one slot. Raises DamagedStoreError for a file that is missing, short or misindexed."""
        path = self.store.path / slot_path(spec, slot)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise DamagedStoreError(f"Slot {slot} has lost its file {slot_path(spec, slot)}.") from error
        try:
            if spec.sharded and path not in self._checked:
                check_shard_index(descriptor, spec, self.store.ledger[slot])
                self._checked.add(path)
            _read_exactly(descriptor, memoryview(out).cast("B"), start * spec.item_bytes, path)
        finally:
            os.close(descriptor)


@dataclass
class TensorstoreReader:
    """The same through tensorstore, for stores that are not local files; missing chunks are errors here too."""

    store: Store
    _arrays: dict[str, Any] = field(default_factory=dict)

    def read_into(self, spec: ArraySpec, slot: int, start: int, out: NDArray[Any]) -> None:
        """Read frames of one slot. Raises DamagedStoreError where tensorstore finds a chunk missing or broken."""
        first = slot * SLOT_FRAMES + start
        try:
            out[...] = self._open(spec.name)[first : first + len(out)].read().result()
        except ValueError as error:
            raise DamagedStoreError(f"Slot {slot} of array '{spec.name}' cannot be read: {error}") from error

    def _open(self, name: str) -> Any:
        if name not in self._arrays:
            kvstore = {"driver": "file", "path": str(self.store.path / name)}
            spec = {"driver": "zarr3", "kvstore": kvstore, "fill_missing_data_reads": False}
            self._arrays[name] = tensorstore.open(spec, read=True).result()
        return self._arrays[name]


def check_shard_index(descriptor: int, spec: ArraySpec, row: LedgerRow) -> None:
    """Raise DamagedStoreError unless the shard's frames are packed in order from byte 0, as format 1 requires."""
    size_bytes = os.fstat(descriptor).st_size
    expected_bytes = row.num_frames * spec.item_bytes + INDEX_BYTES
    if size_bytes != expected_bytes:
        raise DamagedStoreError(
            f"Slot {row.slot} of array '{spec.name}' has {size_bytes} bytes; its {row.num_frames} frames "
            f"and index take {expected_bytes}."
        )
    index = _decode_index(os.pread(descriptor, INDEX_BYTES, size_bytes - INDEX_BYTES), spec, row)
    expected = np.full((SLOT_FRAMES, 2), _ABSENT)
    expected[: row.num_frames, 0] = np.arange(row.num_frames) * spec.item_bytes
    expected[: row.num_frames, 1] = spec.item_bytes
    if not np.array_equal(index, expected):
        raise DamagedStoreError(f"The shard index of slot {row.slot} of array '{spec.name}' is not in frame order.")


def _decode_index(data: bytes, spec: ArraySpec, row: LedgerRow) -> NDArray[np.uint64]:
    try:
        payload = CRC32C(location="end").decode(data)
    except RuntimeError as error:
        raise DamagedStoreError(
            f"The shard index of slot {row.slot} of array '{spec.name}' fails its CRC-32C."
        ) from error
    return np.frombuffer(payload, dtype="<u8").reshape(SLOT_FRAMES, 2)


def _read_exactly(descriptor: int, target: memoryview, offset: int, path: Path) -> None:
    done = 0
    while done < len(target):
        count = os.preadv(descriptor, [target[done:]], offset + done)
        if count == 0:
            raise DamagedStoreError(f"{path.parent.name}/{path.name} ends {len(target) - done} bytes too early.")
        done += count


def _spans(first_frame: int, num_frames: int) -> Iterator[tuple[int, int, int, int]]:
    """Slot, start, stop within it, and frames before it, for every slot that the clip touches."""
    done = 0
    while done < num_frames:
        slot, start = address_to_slot(first_frame + done)
        stop = min(start + num_frames - done, SLOT_FRAMES)
        yield slot, start, stop, done
        done += stop - start
