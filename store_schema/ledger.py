"""The ledger: which slots are finished, and the hashes of what was written.

While a build runs, each slot has a small file of its own, written last; `merge` seals them into one table.
Progress is what the ledger says and nothing else.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from store_schema.atomic import sync_folder, write_atomically
from store_schema.errors import SchemaError
from store_schema.format import LEDGER_FOLDER, LEDGER_TABLE
from store_schema.tables import read_parquet, write_parquet

HASHED_ARRAYS = ("latents", "token_scale", "states", "actions")
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
        pa.field("frame_xxh3", pa.list_(pa.string()), nullable=False),
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

    frame_xxh3: per frame the XXH3-64, as 16 hexadecimal digits, of its bytes in `HASHED_ARRAYS`, in that order.
    """

    slot: int
    episode_id: str
    num_frames: int
    status: Literal["written", "rejected"]
    reason: str = ""
    detail: str = ""
    fingerprint_sha256: str
    files: tuple[SlotFile, ...] = ()
    frame_xxh3: tuple[str, ...] = ()


def frame_hashes(frames: Mapping[str, NDArray[np.generic]]) -> tuple[str, ...]:
    """XXH3-64 of each frame over the arrays of `HASHED_ARRAYS` that are there; all (F, ...) and contiguous."""
    arrays = [frames[name] for name in HASHED_ARRAYS if name in frames]
    return tuple(frame_hash(entries) for entries in zip(*arrays, strict=True))


def frame_hash(entries: Iterable[NDArray[np.generic]]) -> str:
    """XXH3-64 of one frame's entries, in the order of `HASHED_ARRAYS`."""
    digest = xxhash.xxh3_64()
    for entry in entries:
        digest.update(memoryview(entry).cast("B"))
    return digest.hexdigest()


def record(store: Path, row: LedgerRow) -> None:
    """Mark a slot as settled; call this after its files are on disk."""
    write_atomically(_row_path(store, row.slot), json.dumps(asdict(row), sort_keys=True).encode())


def read_ledger(store: Path) -> dict[int, LedgerRow]:
    """Every settled slot, from the sealed table and the rows written since. Raises SchemaError."""
    rows = {row.slot: row for row in _sealed_rows(store)}
    for path in sorted((store / LEDGER_FOLDER).glob("*.json")):
        row = _parse(path)
        rows[row.slot] = row
    return rows


def settled_slots(store: Path) -> set[int]:
    """Numbers of the settled slots, without reading the rows of a running build."""
    sealed = {row.slot for row in _sealed_rows(store)}
    return sealed | {int(path.stem) for path in (store / LEDGER_FOLDER).glob("*.json")}


def merge(store: Path) -> dict[int, LedgerRow]:
    """Seal all rows into one table ordered by slot, then remove the rows' own files."""
    rows = read_ledger(store)
    table = pa.Table.from_pylist([asdict(rows[slot]) for slot in sorted(rows)], schema=LEDGER_SCHEMA)
    write_parquet(store / LEDGER_TABLE, table)
    if (store / LEDGER_FOLDER).is_dir():
        shutil.rmtree(store / LEDGER_FOLDER)
        sync_folder(store)
    return rows


def _row_path(store: Path, slot: int) -> Path:
    return store / LEDGER_FOLDER / f"{slot:08d}.json"


def _sealed_rows(store: Path) -> list[LedgerRow]:
    if not (store / LEDGER_TABLE).is_file():
        return []
    return [_row(fields) for fields in read_parquet(store / LEDGER_TABLE, LEDGER_SCHEMA).to_pylist()]


def _parse(path: Path) -> LedgerRow:
    try:
        return _row(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise SchemaError(f"Ledger row {path.name} cannot be read: {error}. Delete it to redo this slot.") from error


def _row(fields: dict[str, object]) -> LedgerRow:
    files = tuple(SlotFile(**file) for file in fields.pop("files"))  # type: ignore[attr-defined]
    hashes = tuple(fields.pop("frame_xxh3"))  # type: ignore[call-overload]
    return LedgerRow(**fields, files=files, frame_xxh3=hashes)  # type: ignore[arg-type]
