"""Do the plan and the ledger of a store agree with each other and with its format?"""

from collections.abc import Mapping, Sequence

from store_schema.errors import SchemaError
from store_schema.format import ArraySpec
from store_schema.ledger import LedgerRow
from store_schema.tables import Trajectory


def owners_of_slots(trajectories: Sequence[Trajectory], num_slots: int) -> dict[int, Trajectory]:
    """The trajectory that owns each planned slot.

    Raises SchemaError where a row is out of order, two trajectories share a slot, or one leaves the arrays.
    """
    owners: dict[int, Trajectory] = {}
    for position, trajectory in enumerate(trajectories):
        if trajectory.index != position:
            raise SchemaError(
                f"Trajectory {trajectory.index} lies in row {position}; its index must be its row."
            )
        if trajectory.slots.stop > num_slots:
            raise SchemaError(
                f"Trajectory {position} takes slots up to {trajectory.slots.stop - 1}; "
                f"the store has slots 0 to {num_slots - 1}."
            )
        for slot in trajectory.slots:
            if slot in owners:
                raise SchemaError(
                    f"Slot {slot} belongs to trajectories {owners[slot].index} and {position}; "
                    "format 1 requires one owner."
                )
            owners[slot] = trajectory
    return owners


def check_ledger(
    ledger: Mapping[int, LedgerRow],
    owners: Mapping[int, Trajectory],
    specs: Mapping[str, ArraySpec],
    fingerprint_sha256: str,
) -> None:
    """Raise SchemaError at the first row that belongs to another build, or differs from its trajectory."""
    stale = sorted(slot for slot, row in ledger.items() if row.fingerprint_sha256 != fingerprint_sha256)
    if stale:
        raise SchemaError(
            f"Slots {stale[:5]} were written under another fingerprint than the store's "
            f"{fingerprint_sha256[:12]}; they belong to another build."
        )
    required_files = {name for name, spec in specs.items() if spec.per_frame}
    for slot, row in ledger.items():
        if slot not in owners:
            raise SchemaError(f"Slot {slot} is in the ledger, but no trajectory owns it.")
        if row.status == "written":
            _check_written(row, owners[slot], required_files)


def _check_written(row: LedgerRow, owner: Trajectory, required_files: set[str]) -> None:
    planned = (owner.episode_id, len(owner.frames_of_slot(row.slot)))
    if (row.episode_id, row.num_frames) != planned:
        raise SchemaError(
            f"Slot {row.slot} holds {row.num_frames} frames of episode {row.episode_id}; "
            f"the plan has {planned[1]} of episode {planned[0]}."
        )
    found_files = {file.array for file in row.files}
    if found_files != required_files:
        raise SchemaError(
            f"Slot {row.slot} lists files of arrays {sorted(found_files)}; "
            f"format 1 requires {sorted(required_files)}."
        )
