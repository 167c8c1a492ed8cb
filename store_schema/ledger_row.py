"""One row of the ledger: a slot that is settled, and the hashes of what was written for it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import xxhash
from numpy.typing import NDArray

from store_schema.attributes import canonical_sha256
from store_schema.errors import SchemaError

HASHED_ARRAYS: Final = ("latents", "token_scale", "states", "actions")
HASH_BYTES: Final = 8


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
        """L1. A row MUST be `written` with frames and 8 bytes of hash for each, or `rejected` with none."""
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


def to_json(row: LedgerRow) -> bytes:
    """A row as the file of its own that it is until the ledger is sealed; it carries its own SHA-256."""
    fields = asdict(row) | {"frame_xxh3": row.frame_xxh3.hex()}
    return json.dumps({"row": fields, "sha256": canonical_sha256(fields)}, sort_keys=True).encode()


def from_json(data: bytes, name: str) -> LedgerRow:
    """L9. A row in a file of its own MUST carry the SHA-256 of its fields, under the slot as file name.

    Raises SchemaError.
    """
    try:
        content = json.loads(data)
        fields = content["row"]
        if canonical_sha256(fields) != content["sha256"]:
            raise SchemaError("its SHA-256 is not the recorded one")
        return from_fields(fields | {"frame_xxh3": bytes.fromhex(fields["frame_xxh3"])})
    except (ValueError, TypeError, KeyError, SchemaError) as error:
        raise SchemaError(
            f"Ledger row {name} cannot be read: {error!r}. Delete it to redo this slot."
        ) from error


def from_fields(fields: Mapping[str, Any]) -> LedgerRow:
    """A row from plain values. Raises SchemaError, or TypeError for names that a row does not have."""
    files = tuple(SlotFile(**file) for file in fields["files"])
    return LedgerRow(**{**fields, "files": files})
