"""Reading frames of one slot of one array: straight from its file, or through tensorstore.

A frame's latent is one byte range of its slot's shard, and so are consecutive frames. A file's size and
shard index (CRC-32C, frames packed in order from byte 0) are checked before it is first read. Files are
opened for each reading: that takes 2 microseconds, where a window of ViT-g frames takes 300 and more.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import tensorstore
from numpy.typing import NDArray

from store_schema.direct_io import read_buffered, read_directly
from store_schema.errors import DamagedStoreError
from store_schema.file_maps import FileMaps
from store_schema.format import SLOT_FRAMES, ArraySpec
from store_schema.layout import slot_path
from store_schema.ledger_row import LedgerRow
from store_schema.object_store import KeyValueStore, ObjectStoreError, is_no_answer, with_few_retries
from store_schema.rules.slots import INDEX_BYTES, is_packed_in_order
from store_schema.store import Store


class ArrayReader(Protocol):
    """Fills `out` (F, ...) with the first frames asked for of one slot of one array."""

    def read_into(self, spec: ArraySpec, slot: int, start: int, out: NDArray[Any]) -> None:
        """Read `len(out)` frames of `slot` from its frame `start` on."""


@dataclass
class ByteRangeReader:
    """The byte range that the frames take in their slot's file: a copy where it is in memory, or `preadv`.

    direct: read sharded arrays past the page cache; the file system must be able to.
    """

    store: Store
    direct: bool = False
    _maps: FileMaps = field(default_factory=FileMaps)
    _checked: set[tuple[str, int]] = field(default_factory=set)

    def read_into(self, spec: ArraySpec, slot: int, start: int, out: NDArray[Any]) -> None:
        """Read frames of one slot of an uncompressed array.

        Raises DamagedStoreError for a file that is missing, of another length, or out of order.
        """
        assert spec.zstd_level is None, "compressed frames have no fixed place in their file"
        path = f"{self.store.path}/{slot_path(spec, slot)}"
        read = read_directly if self.direct and spec.sharded else self._read_cached
        try:
            if (spec.name, slot) not in self._checked:
                _check_file(path, spec, self.store.ledger[slot])
                self._checked.add((spec.name, slot))
            is_whole = read(path, out, start * spec.item_bytes)
        except FileNotFoundError as error:
            raise DamagedStoreError(f"Slot {slot} has lost its file {slot_path(spec, slot)}.") from error
        if not is_whole:
            raise DamagedStoreError(f"Slot {slot} of array '{spec.name}' ends too early.")

    def _read_cached(self, path: str, out: NDArray[Any], offset: int) -> bool:
        return self._maps.copy(path, out, offset) or read_buffered(path, out, offset)


@dataclass
class TensorstoreReader:
    """The same through tensorstore; a missing chunk is an error here too, not fill values.

    kvstore: where the arrays lie if not in the store's folder.
    """

    store: Store
    kvstore: KeyValueStore | None = None
    _arrays: dict[str, Any] = field(default_factory=dict)

    def read_into(self, spec: ArraySpec, slot: int, start: int, out: NDArray[Any]) -> None:
        """Read frames of one slot.

        Raises DamagedStoreError where tensorstore finds a chunk missing or broken, and ObjectStoreError.
        """
        first = slot * SLOT_FRAMES + start
        try:
            out[...] = self._open(spec.name)[first : first + len(out)].read().result()
        except ValueError as error:
            kind = ObjectStoreError if is_no_answer(error) else DamagedStoreError
            raise kind(f"Slot {slot} of array '{spec.name}' cannot be read: {error}") from error

    def _open(self, name: str) -> Any:
        if name not in self._arrays:
            base = self.kvstore or {"driver": "file", "path": f"{self.store.path}/"}
            kvstore = {**base, "path": f"{base['path']}{name}/"}
            spec = {"driver": "zarr3", "kvstore": kvstore, "fill_missing_data_reads": False}
            self._arrays[name] = tensorstore.open(with_few_retries(spec), read=True).result()
        return self._arrays[name]


def _check_file(path: str, spec: ArraySpec, row: LedgerRow) -> None:
    """Raise DamagedStoreError unless the file is as long as format 1 requires, and its frames in order."""
    with Path(path).open("rb", buffering=0) as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(size_bytes - INDEX_BYTES, 0))
        tail = file.read(INDEX_BYTES)
    for problem in is_packed_in_order(spec, row, size_bytes, tail):
        raise DamagedStoreError(problem.detail)
