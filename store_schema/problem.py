"""What can be wrong with a store."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "missing_file",
    "unreadable",
    "wrong_size",
    "wrong_hash",
    "wrong_order",
    "stray_file",
    "missing_slot",
    "wrong_attribute",
    "wrong_array",
    "wrong_table",
    "wrong_plan",
    "wrong_ledger",
    "not_hashed",
    "wrong_value",
    "wrong_statistics",
    "differs_from_source",
]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong in a store.

    where: slot and array, or the file, relative to the store. detail: what was found and what was expected.
    slot: the slot that it concerns; None where it concerns the whole store.
    """

    kind: Kind
    where: str
    detail: str
    slot: int | None = None

    @property
    def is_mendable(self) -> bool:
        """Whether a repair mends it: bytes of a slot that are not as recorded, or an array's metadata.

        Values that are as they were written are not: encoding again gives the same.
        """
        if self.slot is None:
            return self.where.endswith("/zarr.json")
        return self.kind not in ("wrong_value", "differs_from_source")
