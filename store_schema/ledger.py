"""The ledger: which slots are finished, and the hashes of what was written.

While a build runs, each slot has a small file of its own, written last; `merge` seals them into one table.
Progress is what the ledger says and nothing else.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from store_schema.atomic import remove_partials, sync_folder, write_atomically
from store_schema.errors import SchemaError
from store_schema.format import LEDGER_FOLDER, LEDGER_TABLE
from store_schema.tables import read_parquet, write_parquet

HASHED_ARRAYS: Final = ("latents", "token_scale", "states", "actions")
HASH_BYTES: Final = 8
_FILE = pa.struct(
    [
        pa.field("array", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)
LEDGER_SCHEMA = pa.schema(
    [
        pa.field("slot", pa.int32(), nullable=False),
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("num_frames", pa.int32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("fingerprint_sha256", pa.string(), nullable=False),
        pa.field("files", pa.list_(_FILE), nullable=False),
        # One value a slot: 128 strings each would cost a reader of 20,000 slots some 170 MB.
        pa.field("frame_xxh3", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class SlotFile:
    """Size and SHA-256 of a slot's file in one array."""

    array: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """A settled slot: written, or rejected for good with the reason.

    frame_xxh3: 8 bytes a frame, the big-endian XXH3-64 of its bytes in `HASHED_ARRAYS`, in that order.
    Raises SchemaError where the fields contradict each other.
    """

    slot: int
    episode_id: str
    num_frames: int
    status: Literal["written", "rejected"]
    reason: str = ""
    detail: str = ""
    fingerprint_sha256: str
    files: tuple[SlotFile, ...] = ()
    frame_xxh3: bytes = b""

    def __post_init__(self) -> None:
        is_written = self.status == "written"
        if not is_written and self.status != "rejected":
            raise SchemaError(
                f"Slot {self.slot} has status '{self.status}'; expected 'written' or 'rejected'."
            )
        if is_written != (self.num_frames > 0) or len(self.frame_xxh3) != HASH_BYTES * self.num_frames:
            raise SchemaError(
                f"Slot {self.slot} is {self.status} with {self.num_frames} frames and {len(self.frame_xxh3)} "
                f"bytes of hashes; a written slot has {HASH_BYTES} a frame, a rejected one no frames."
            )

    def hash_of(self, frame: int) -> bytes:
        """The hash of one of its frames."""
        return self.frame_xxh3[HASH_BYTES * frame : HASH_BYTES * (frame + 1)]


def frame_hashes(frames: Mapping[str, NDArray[Any]]) -> bytes:
    """XXH3-64 of each frame over those of `HASHED_ARRAYS` that are there; all (F, ...) and contiguous."""
    arrays = [frames[name] for name in HASHED_ARRAYS if name in frames]
    return b"".join(frame_hash(entries) for entries in zip(*arrays, strict=True))


def frame_hash(entries: Iterable[NDArray[Any]]) -> bytes:
    """XXH3-64 of one frame's entries, in the order of `HASHED_ARRAYS`, as 8 big-endian bytes."""
    digest = xxhash.xxh3_64()
    for entry in entries:
        digest.update(entry.data.cast("B"))
    return digest.digest()


def record(store: Path, row: LedgerRow) -> None:
    """Mark a slot as settled; call this after its files are on disk."""
    fields = asdict(row) | {"frame_xxh3": row.frame_xxh3.hex()}
    write_atomically(_row_path(store, row.slot), json.dumps(fields, sort_keys=True).encode())


def read_ledger(store: Path) -> dict[int, LedgerRow]:
    """Every settled slot, from the sealed table and the rows written since. Raises SchemaError."""
    rows = {row.slot: row for row in _sealed_rows(store)}
    for path in sorted((store / LEDGER_FOLDER).glob("*.json")):
        row = _parse(path)
        rows[row.slot] = row
    return rows


def settled_slots(store: Path) -> set[int]:
    """Numbers of the settled slots, without reading their rows."""
    sealed = _sealed_table(store).column("slot").to_pylist()
    return set(sealed) | {int(path.stem) for path in (store / LEDGER_FOLDER).glob("*.json")}


def merge(store: Path) -> dict[int, LedgerRow]:
    """Seal all rows into one table ordered by slot, then remove the rows' own files.

    Killed at any point, it is simply called again. What killed writes left goes too, so nobody may be
    writing slots meanwhile.
    """
    rows = read_ledger(store)
    table = pa.Table.from_pylist([asdict(rows[slot]) for slot in sorted(rows)], schema=LEDGER_SCHEMA)
    write_parquet(store / LEDGER_TABLE, table)
    remove_partials(store)
    # Only rows that are in the table: one recorded in between stays.
    for slot in rows:
        _row_path(store, slot).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not there, or not empty
        (store / LEDGER_FOLDER).rmdir()
    sync_folder(store)
    return rows


def _row_path(store: Path, slot: int) -> Path:
    return store / LEDGER_FOLDER / f"{slot:08d}.json"


def _sealed_rows(store: Path) -> list[LedgerRow]:
    return [_row(fields) for fields in _sealed_table(store).to_pylist()]


def _sealed_table(store: Path) -> pa.Table:
    path = store / LEDGER_TABLE
    return read_parquet(path, LEDGER_SCHEMA) if path.is_file() else LEDGER_SCHEMA.empty_table()


def _parse(path: Path) -> LedgerRow:
    try:
        fields = json.loads(path.read_bytes())
        return _row(fields | {"frame_xxh3": bytes.fromhex(fields["frame_xxh3"])})
    except (ValueError, TypeError, KeyError, SchemaError) as error:
        raise SchemaError(
            f"Ledger row {path.name} cannot be read: {error!r}. Delete it to redo this slot."
        ) from error


def _row(fields: dict[str, Any]) -> LedgerRow:
    files = tuple(SlotFile(**file) for file in fields["files"])
    return LedgerRow(**(fields | {"files": files}))
