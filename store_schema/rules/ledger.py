"""The rows of the ledger, with the plan and with the format."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pyarrow.compute as pc

from store_schema.attributes import StoreAttributes
from store_schema.format import LEDGER_FOLDER, LEDGER_TABLE, ArraySpec
from store_schema.ledger import Ledger
from store_schema.problem import Kind, Problem
from store_schema.tables import Trajectory

Owners = Mapping[int, Trajectory]
_REDO: Final = "Delete its row to redo this slot."


def has_ordered_slots(ledger: Ledger) -> Iterator[Problem]:
    """L2. `ledger.parquet` MUST be ordered by slot, with one row a slot."""
    slots = ledger.sealed.column("slot").to_numpy()
    if (np.diff(slots) <= 0).any():
        first = int(slots[1:][np.diff(slots) <= 0][0])
        yield Problem(
            kind="wrong_ledger",
            where=LEDGER_TABLE,
            detail=f"Row of slot {first} is out of order or there twice. Restore the table from a copy.",
        )


def has_the_fingerprint(ledger: Ledger, fingerprint_sha256: str) -> Iterator[Problem]:
    """L3. Every row MUST carry the store's fingerprint."""
    recorded = {row.fingerprint_sha256 for row in ledger.own_rows.values()}
    recorded.update(ledger.sealed.column("fingerprint_sha256").unique().to_pylist())
    if recorded <= {fingerprint_sha256}:
        return
    for slot, sha256 in _of_every_row(ledger, "fingerprint_sha256"):
        if sha256 != fingerprint_sha256:
            yield _problem(
                slot,
                f"Slot {slot} was written under another fingerprint than the store's "
                f"{fingerprint_sha256[:12]}; it belongs to another build.",
            )


def has_an_owner(ledger: Ledger, owners: Owners) -> Iterator[Problem]:
    """L4. Every row MUST be of a slot that a trajectory owns."""
    for slot in ledger:
        if slot not in owners:
            yield Problem(
                kind="wrong_ledger",
                where=_where(slot),
                detail=f"Slot {slot} is in the ledger, but no trajectory owns it.",
            )


def is_as_planned(ledger: Ledger, owners: Owners) -> Iterator[Problem]:
    """L5. A written row MUST name the episode and the number of frames that the plan gives its slot."""
    for slot, num_frames in ledger.written_frames.items():
        if slot not in owners:
            continue
        planned = (owners[slot].episode_id, len(owners[slot].frames_of_slot(slot)))
        found = (ledger.episode_of(slot), num_frames)
        if found != planned:
            yield _problem(
                slot,
                f"Slot {slot} holds {found[1]} frames of episode {found[0]}; "
                f"the plan has {planned[1]} of episode {planned[0]}. {_REDO}",
            )


def lists_its_files(ledger: Ledger, specs: Mapping[str, ArraySpec]) -> Iterator[Problem]:
    """L6. A written row MUST list size and SHA-256 of its file in every per-frame array, and no others."""
    required = sorted(name for name, spec in specs.items() if spec.per_frame)
    for slot, arrays in _listed_files(ledger):
        if sorted(arrays) != required:
            yield _problem(
                slot,
                f"Slot {slot} lists files of arrays {sorted(arrays)}; format 1 requires {required}. {_REDO}",
            )


def is_settled(ledger: Ledger, attributes: StoreAttributes) -> Iterator[Problem]:
    """L7. Every slot of a sealed revision MUST be settled."""
    earlier = attributes.earlier_revisions
    num_sealed = attributes.num_slots if attributes.sealed else earlier[-1].num_slots if earlier else 0
    for slot in range(num_sealed):
        if slot not in ledger:
            yield _problem(slot, f"Slot {slot} is not in the ledger of a sealed store.", kind="missing_slot")


def has_no_row_of_its_own(ledger: Ledger, attributes: StoreAttributes) -> Iterator[Problem]:
    """L8. In a sealed store `ledger.parquet` MUST be the whole ledger: no slot has a row of its own."""
    for slot in ledger.own_rows if attributes.sealed else ():
        yield _problem(
            slot,
            f"Slot {slot} has a row of its own, {LEDGER_FOLDER}/{slot:08d}.json, though the store is sealed: "
            "of another build, or of a repair that was stopped. Run `permafrost featurize --repair`.",
        )


def _of_every_row(ledger: Ledger, column: str) -> Iterator[tuple[int, str]]:
    """A text of every row, column-wise: no row object is made of a sealed one."""
    for slot, text in zip(
        *(ledger.sealed.column(name).to_pylist() for name in ("slot", column)), strict=True
    ):
        if slot not in ledger.own_rows:
            yield slot, text
    for row in ledger.own_rows.values():
        yield row.slot, getattr(row, column)


def _listed_files(ledger: Ledger) -> Iterator[tuple[int, list[str]]]:
    """The arrays that each written row lists."""
    for row in ledger.own_rows.values():
        if row.status == "written":
            yield row.slot, [file.array for file in row.files]
    lists = ledger.sealed.column("files").combine_chunks()
    arrays = lists.flatten().field("array").to_pylist()
    bounds = np.concatenate([[0], np.cumsum(pc.list_value_length(lists).to_numpy(zero_copy_only=False))])
    slots = ledger.sealed.column("slot").to_pylist()
    for slot, start, stop in zip(slots, bounds[:-1], bounds[1:], strict=True):
        if slot in ledger.written_frames and slot not in ledger.own_rows:
            yield slot, arrays[int(start) : int(stop)]


def _where(slot: int) -> str:
    return f"slot {slot}, ledger row"


def _problem(slot: int, detail: str, *, kind: Kind = "wrong_ledger") -> Problem:
    return Problem(kind=kind, where=_where(slot), detail=detail, slot=slot)
