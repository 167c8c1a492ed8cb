"""One store out of several finished ones, slot by slot, without encoding anything again."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import store_schema
from store_schema.atomic import write_atomically
from store_schema.attributes import StoreAttributes
from store_schema.channel_arrays import write_channel_statistics
from store_schema.errors import DamagedStoreError, StoreNotFoundError
from store_schema.format import LEDGER_FOLDER, LEDGER_TABLE, REJECTS_TABLE, TRAJECTORIES_TABLE
from store_schema.identity import revision_uuid
from store_schema.joining import JoinedPlan, JoinError, PlacedSlot, joined_plan, joined_source, origin_of
from store_schema.layout import create_group, read_attributes, slot_path
from store_schema.ledger import record, settled_slots
from store_schema.locks import hold_store
from store_schema.provenance import code_version, library_versions
from store_schema.sealing import seal
from store_schema.statistics import training_statistics
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, TRAJECTORY_SCHEMA, write_table

Progress = Callable[[int, int], None]
"""Called with the slots that are there and those there will be."""


@dataclass(frozen=True, kw_only=True)
class MergeReport:
    """What the merged store holds; num_copied: slots that this call copied."""

    num_trajectories: int
    num_slots: int
    num_copied: int


def merge_stores(
    paths: Sequence[Path], out: Path, on_progress: Progress = lambda _done, _total: None
) -> MergeReport:
    """Join finished stores of equal fingerprint, channel statistics included, into a new store at `out`.

    Every byte is compared with its part's ledger on the way. Killed at any moment, the same call goes on.
    Raises JoinError, with nothing written, where the stores do not go together or `out` is another store;
    DamagedStoreError where a part has changed since it was written; StoreHeldError, and what `Store.open`
    raises.
    """
    if out.exists() and (not out.is_dir() or any(out.samefile(path) for path in paths if path.exists())):
        raise JoinError(f"{out} is a part of the merge, or no folder. Choose another --out.")
    parts = [Store.open(path) for path in paths]
    plan = joined_plan(parts)
    attributes = _attributes(parts, plan)
    with hold_store(out):
        _begin(out, parts[0], plan, attributes)
        settled = settled_slots(out)
        pending = [placed for placed in plan.slots if placed.slot not in settled]
        for number, placed in enumerate(pending, start=len(plan.slots) - len(pending) + 1):
            _copy(parts[placed.part], out, placed)
            on_progress(number, len(plan.slots))
        joined = Store.open(out)
        if not joined.attributes.sealed:
            seal(out, joined.attributes, joined.specs, training_statistics(joined))
    return MergeReport(
        num_trajectories=len(plan.trajectories), num_slots=len(plan.slots), num_copied=len(pending)
    )


def _attributes(parts: Sequence[Store], plan: JoinedPlan) -> StoreAttributes:
    """Of the first part, where the parts agree; what they differ in is kept for each in `merged_from`."""
    first = parts[0].attributes
    # A part that was merged itself is known by what it was made of.
    origins = [
        origin
        for part in parts
        for origin in part.attributes.merged_from
        or (origin_of(part.attributes, len(part.planned_trajectories)),)
    ]
    return StoreAttributes(
        format_version=1,
        uuid=revision_uuid(first.fingerprint, plan.trajectories),
        num_slots=len(plan.slots),
        num_trajectories=len(plan.trajectories),
        fingerprint=first.fingerprint,
        recipe=first.recipe,
        source=joined_source([origin.source for origin in origins]),
        library_versions=library_versions(),
        code_version=code_version(store_schema),
        merged_from=tuple(origins),
    )


def _begin(out: Path, first: Store, plan: JoinedPlan, attributes: StoreAttributes) -> None:
    """Create the empty store, or check that the one at `out` is this merge, begun before."""
    try:
        found = read_attributes(out)
    except StoreNotFoundError as error:
        if any((out / name).exists() for name in (LEDGER_TABLE, LEDGER_FOLDER)):
            raise JoinError(
                f"{out.name} holds what is left of a store; nothing was changed. Choose another --out."
            ) from error
        write_table(out / TRAJECTORIES_TABLE, plan.trajectories, TRAJECTORY_SCHEMA)
        write_table(out / REJECTS_TABLE, plan.rejects, REJECT_SCHEMA)
        if first.channel_statistics is not None:
            write_channel_statistics(out, first.specs, first.channel_statistics)
        create_group(out, first.specs, attributes.num_slots, attributes.model_dump(mode="json"))
        return
    if found.get("uuid") != attributes.uuid:
        raise JoinError(f"{out.name} is another store already; nothing was changed. Choose another --out.")


def _copy(part: Store, out: Path, placed: PlacedSlot) -> None:
    """All files of a slot, then its row: a slot that can be read is whole."""
    row = part.ledger[placed.part_slot]
    for file in row.files:
        spec = part.specs[file.array]
        data = _read_checked(part, slot_path(spec, placed.part_slot), file.sha256)
        write_atomically(out / slot_path(spec, placed.slot), data)
    record(out, replace(row, slot=placed.slot))


def _read_checked(part: Store, name: str, sha256: str) -> bytes:
    path = part.path / name
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedStoreError(
            f"{name} of {part.path.name} is not what was written. `permafrost verify {part.path.name}` lists "
            "all damage, `permafrost featurize --repair` mends it."
        )
    return data
