"""Writing one slot: all of its files, then its ledger row, last."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from store_schema.atomic import write_atomically
from store_schema.errors import SchemaError
from store_schema.format import ArraySpec
from store_schema.layout import FrameArrays, slot_files, slot_path
from store_schema.ledger import record
from store_schema.ledger_row import LedgerRow, SlotFile, frame_hashes


@dataclass(frozen=True, kw_only=True)
class SlotContents:
    """All bytes of one slot: its ledger row, and its file in each per-frame array by the array's name."""

    row: LedgerRow
    files: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class SlotWriter:
    """Writes slots of the store at `path`; one process owns a slot, many may write different ones."""

    path: Path
    specs: dict[str, ArraySpec]
    fingerprint_sha256: str

    def write(self, slot: int, episode_id: str, frames: FrameArrays) -> LedgerRow:
        """Write the frames of one slot. They become visible to readers when this returns, not before.

        frames: for every per-frame array (F, ...) with the same 1 <= F <= 128. Raises SchemaError.
        """
        contents = self.contents(slot, episode_id, frames)
        self.place(contents)
        record(self.path, contents.row)
        return contents.row

    def contents(self, slot: int, episode_id: str, frames: FrameArrays) -> SlotContents:
        """The bytes that `write` writes, in memory. Raises SchemaError."""
        frames = {name: np.ascontiguousarray(entries) for name, entries in frames.items()}
        lengths = {name: len(entries) for name, entries in frames.items()}
        if len(set(lengths.values())) != 1:
            raise SchemaError(f"The arrays of slot {slot} hold different numbers of frames: {lengths}.")
        files = slot_files(self.specs, slot, frames)
        row = LedgerRow(
            slot=slot,
            episode_id=episode_id,
            num_frames=len(frames["states"]),
            status="written",
            fingerprint_sha256=self.fingerprint_sha256,
            files=tuple(_slot_file(name, data) for name, data in files.items()),
            frame_xxh3=frame_hashes(frames),
        )
        return SlotContents(row=row, files=files)

    def place(self, contents: SlotContents) -> None:
        """Write the files of a slot, and nothing into the ledger."""
        for name, data in contents.files.items():
            write_atomically(self.path / slot_path(self.specs[name], contents.row.slot), data)

    def reject(self, slot: int, episode_id: str, reason: str, detail: str) -> LedgerRow:
        """Settle a slot that can never be written, with the reason; its whole trajectory is then left out."""
        row = LedgerRow(
            slot=slot,
            episode_id=episode_id,
            num_frames=0,
            status="rejected",
            reason=reason,
            detail=detail,
            fingerprint_sha256=self.fingerprint_sha256,
        )
        record(self.path, row)
        return row


def _slot_file(name: str, data: bytes) -> SlotFile:
    return SlotFile(array=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
