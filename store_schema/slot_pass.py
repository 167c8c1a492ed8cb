"""One pass over the files of a written slot, a frame in memory at a time.

Each byte is read once: the same read serves the hash of the file, those of its frames, and what the frames
hold.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from store_schema.format import ArraySpec
from store_schema.ledger_row import HASHED_ARRAYS, LedgerRow
from store_schema.problem import Problem
from store_schema.rules.frames import frame_problems
from store_schema.rules.slots import INDEX_BYTES, has_the_frame_hashes, is_as_recorded, is_packed_in_order


@dataclass(kw_only=True, eq=False)
class SlotPass:
    """Reads one slot of the store at `path`; with_values: look at what the frames hold, too."""

    path: Path
    specs: Mapping[str, ArraySpec]
    row: LedgerRow
    with_values: bool = False
    _frames: list[Any] = field(default_factory=list)
    _found: list[Problem] = field(default_factory=list)
    _tail: bytes = b""

    def problems(self) -> list[Problem]:
        """What is wrong with the files of this slot, with its row, and with its frames."""
        self._frames = [xxhash.xxh3_64() for _ in range(self.row.num_frames)]
        listed = [file.array for file in self.row.files if file.array in self.specs]
        in_order = sorted(listed, key=lambda name: (name not in HASHED_ARRAYS, list(self.specs).index(name)))
        found = [problem for name in in_order for problem in self._of_file(self.specs[name])]
        if not found:
            frame_xxh3 = b"".join(digest.digest() for digest in self._frames)
            found += has_the_frame_hashes(self.row, frame_xxh3)
        return found

    def _of_file(self, spec: ArraySpec) -> Iterator[Problem]:
        self._found, self._tail = [], b""
        damage = list(is_as_recorded(self.path, spec, self.row, lambda path: self._read(path, spec)))
        yield from damage
        if not damage:
            yield from self._found

    def _read(self, path: Path, spec: ArraySpec) -> str:
        """SHA-256 of the file; notes its frames on the way."""
        sha256, is_hashed, size_bytes = hashlib.sha256(), spec.name in HASHED_ARRAYS, 0
        with path.open("rb") as file:
            for place, block in enumerate(iter(lambda: file.read(spec.item_bytes), b"")):
                sha256.update(block)
                if is_hashed and place < self.row.num_frames:
                    self._frames[place].update(block)
                if self.with_values and spec.zstd_level is None:
                    self._found += frame_problems(spec, self.row, place, block)
                self._tail = (self._tail + block)[-INDEX_BYTES:]
                size_bytes += len(block)
        self._found += is_packed_in_order(spec, self.row, size_bytes, self._tail)
        return sha256.hexdigest()
