"""Reading frames of one slot of one array: straight from its file, or through tensorstore.

A frame's latent is one byte range of its slot's shard, and so are consecutive frames. A file's size and
shard index (CRC-32C, frames packed in order from byte 0) are checked before it is first read.
"""

import os
from dataclasses import dataclass, field
from typing import Any, Protocol

import tensorstore
from numpy.typing import NDArray

from store_schema.errors import DamagedStoreError
from store_schema.format import SLOT_FRAMES, ArraySpec
from store_schema.layout import slot_path
from store_schema.ledger_row import LedgerRow
from store_schema.rules.slots import INDEX_BYTES, is_packed_in_order
from store_schema.store import Store


class ArrayReader(Protocol):
    """Fills `out` (F, ...) with the first frames asked for of one slot of one array."""

    def read_into(self, spec: ArraySpec, slot: int, start: int, out: NDArray[Any]) -> None:
        """Read `len(out)` frames of `slot` from its frame `start` on."""


@dataclass
class ByteRangeReader:
    """`preadv` of the byte range that the frames take in their slot's file."""

    store: Store
    _checked: set[tuple[str, int]] = field(default_factory=set)

    def read_into(self, spec: ArraySpec, slot: int, start: int, out: NDArray[Any]) -> None:
        """Read frames of one slot of an uncompressed array.

        Raises DamagedStoreError for a file that is missing, of another length, or out of order.
        """
        assert spec.zstd_level is None, "compressed frames have no fixed place in their file"
        path = self.store.path / slot_path(spec, slot)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise DamagedStoreError(f"Slot {slot} has lost its file {slot_path(spec, slot)}.") from error
        try:
            if (spec.name, slot) not in self._checked:
                _check_file(descriptor, spec, self.store.ledger[slot])
                self._checked.add((spec.name, slot))
            if not _read_exactly(descriptor, out.data.cast("B"), start * spec.item_bytes):
                raise DamagedStoreError(f"Slot {slot} of array '{spec.name}' ends too early.")
        finally:
            os.close(descriptor)


@dataclass
class TensorstoreReader:
    """The same through tensorstore; a missing chunk is an error here too, not fill values."""

    store: Store
    _arrays: dict[str, Any] = field(default_factory=dict)

    def read_into(self, spec: ArraySpec, slot: int, start: int, out: NDArray[Any]) -> None:
        """Read frames of one slot.

        Raises DamagedStoreError where tensorstore finds a chunk missing or broken.
        """
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


def _check_file(descriptor: int, spec: ArraySpec, row: LedgerRow) -> None:
    """Raise DamagedStoreError unless the file is as long as format 1 requires, and its frames in order."""
    size_bytes = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, INDEX_BYTES, max(size_bytes - INDEX_BYTES, 0))
    for problem in is_packed_in_order(spec, row, size_bytes, tail):
        raise DamagedStoreError(problem.detail)


def _read_exactly(descriptor: int, target: memoryview, offset: int) -> bool:
    """Fill `target` from `offset` on; False where the file ends before that."""
    done = 0
    while done < len(target):
        count = os.preadv(descriptor, [target[done:]], offset + done)
        if count == 0:
            return False
        done += count
    return True
