"""The ledger: which slots are settled, and the hashes of what was written.

While a build runs, each slot has a small file of its own, written last; `merge` seals them into one table.
Progress is what the ledger says and nothing else.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from store_schema.atomic import remove_partials, sync_folder, write_atomically
from store_schema.errors import SchemaError
from store_schema.format import LEDGER_FOLDER, LEDGER_TABLE
from store_schema.ledger_row import LedgerRow, from_fields, from_json, to_json
from store_schema.tables import read_parquet, write_parquet

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


class Ledger(Mapping[int, LedgerRow]):
    """Every settled slot, by number.

    Rows of the sealed table stay in columns until somebody asks for them: a full DROID build has 20,000. A
    slot that has a row of its own beside its sealed one is described by the former.
    """

    def __init__(self, sealed: pa.Table, own_rows: Mapping[int, LedgerRow]) -> None:
        self.sealed = sealed
        self.own_rows = dict(own_rows)
        self._place = {slot: place for place, slot in enumerate(sealed.column("slot").to_pylist())}
        self._read: dict[int, LedgerRow] = {}
        of_written = sealed.filter(pc.equal(sealed.column("status"), "written"))
        columns = (of_written.column(name).to_pylist() for name in ("slot", "num_frames", "episode_id"))
        self._written = {slot: (frames, episode) for slot, frames, episode in zip(*columns, strict=True)}
        for row in own_rows.values():
            self._written.pop(row.slot, None)
            if row.status == "written":
                self._written[row.slot] = (row.num_frames, row.episode_id)

    def __getitem__(self, slot: int) -> LedgerRow:
        if slot not in self._read:
            self._read[slot] = self.read(slot)
        return self._read[slot]

    def read(self, slot: int) -> LedgerRow:
        """The row of a slot, not kept: for those who go through all of them once. Raises SchemaError."""
        if slot in self.own_rows:
            return self.own_rows[slot]
        (fields,) = self.sealed.slice(self._place[slot], 1).to_pylist()
        return from_fields(fields)

    def __contains__(self, slot: object) -> bool:
        return slot in self._place or slot in self.own_rows

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._place.keys() | self.own_rows.keys()))

    def __len__(self) -> int:
        return len(self._place.keys() | self.own_rows.keys())

    @cached_property
    def written_frames(self) -> Mapping[int, int]:
        """Number of frames of every written slot."""
        return {slot: num_frames for slot, (num_frames, _) in self._written.items()}

    def episode_of(self, slot: int) -> str:
        """Whose frames a written slot holds."""
        episode_id: str = self._written[slot][1]
        return episode_id

    @property
    def rejected(self) -> list[LedgerRow]:
        """The rows of rejected slots, in order."""
        return [self[slot] for slot in self if slot not in self._written]

    def first(self, num_slots: int) -> "Ledger":
        """The ledger of slots 0 to `num_slots` - 1 alone."""
        sealed = self.sealed.filter(pc.less(self.sealed.column("slot"), num_slots))
        return Ledger(sealed, {slot: row for slot, row in self.own_rows.items() if slot < num_slots})


def record(store: Path, row: LedgerRow) -> None:
    """Mark a slot as settled; call this after its files are on disk."""
    write_atomically(_row_path(store, row.slot), to_json(row))


def forget(store: Path, slot: int) -> None:
    """Remove the row that a slot has of its own; one in the sealed table then stands again."""
    _row_path(store, slot).unlink(missing_ok=True)


def read_ledger(store: Path) -> Ledger:
    """Every settled slot, from the sealed table and the rows written since. Raises SchemaError."""
    # Rows before the table: where `merge` runs meanwhile, it writes the table before it removes them.
    rows = [read_row(path) for path in row_files(store)]
    return Ledger(sealed_table(store), {row.slot: row for row in rows if row is not None})


def row_files(store: Path) -> list[Path]:
    """The files of rows that are not in the sealed table yet, or that stand for theirs."""
    return sorted((store / LEDGER_FOLDER).glob("*.json"))


def read_row(path: Path) -> LedgerRow | None:
    """The row in a file of its own; None where it was sealed meanwhile. Raises SchemaError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    row = from_json(data, path.name)
    if path.name != f"{row.slot:08d}.json":
        raise SchemaError(f"Ledger row {path.name} is that of slot {row.slot}. Delete it to redo this slot.")
    return row


def sealed_table(store: Path) -> pa.Table:
    """The sealed rows, none before the first seal. Raises SchemaError."""
    path = store / LEDGER_TABLE
    return read_parquet(path, LEDGER_SCHEMA) if path.is_file() else LEDGER_SCHEMA.empty_table()


def settled_slots(store: Path) -> set[int]:
    """Numbers of the settled slots, without reading their rows."""
    of_their_own = {int(path.stem) for path in (store / LEDGER_FOLDER).glob("*.json")}
    return of_their_own.union(sealed_table(store).column("slot").to_pylist())


def is_settled(store: Path, slot: int) -> bool:
    """Whether one slot is settled, without listing the others."""
    # The row before the table: where `merge` runs meanwhile, it writes the table before it removes the row.
    if _row_path(store, slot).is_file():
        return True
    table = store / LEDGER_TABLE
    if not table.is_file():
        return False
    # The numbers alone: whole, the table of a full build takes 30 MB.
    is_slot = pc.field("slot") == slot
    return bool(pq.read_table(table, columns=["slot"], filters=is_slot, partitioning=None).num_rows)


def merge(store: Path) -> Ledger:
    """Seal all rows into one table ordered by slot, then remove the rows' own files.

    Killed at any point, it is simply called again. What killed writes left goes too, so nobody may be
    writing slots meanwhile.
    """
    rows = read_ledger(store)
    table = pa.Table.from_pylist([asdict(rows[slot]) for slot in rows], schema=LEDGER_SCHEMA)
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
