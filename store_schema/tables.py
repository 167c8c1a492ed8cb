"""The Parquet tables beside the arrays: which trajectories there are, and which episodes were rejected."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, TypeVar, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from store_schema.atomic import write_atomically
from store_schema.errors import SchemaError
from store_schema.format import SLOT_FRAMES

Split = Literal["train", "validation"]

TRAJECTORY_SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("lab", pa.string(), nullable=False),
        pa.field("success", pa.bool_(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("camera", pa.string(), nullable=False),
        pa.field("decoder", pa.string(), nullable=False),
        pa.field("view", pa.int32(), nullable=False),
        pa.field("phase", pa.float64(), nullable=False),
        pa.field("crop_top_px", pa.int32(), nullable=False),
        pa.field("crop_left_px", pa.int32(), nullable=False),
        pa.field("crop_height_px", pa.int32(), nullable=False),
        pa.field("crop_width_px", pa.int32(), nullable=False),
        pa.field("first_slot", pa.int32(), nullable=False),
        pa.field("num_frames", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)
REJECT_SCHEMA = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("episode_id", "stage", "reason", "detail")]
)


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One episode through one camera, at one phase of the frame grid, in one crop.

    phase: where the frame grid starts, as a share of its period in [0, 1).
    first_slot: the trajectory's frames lie at `first_slot x 128 + t` for t in [0, num_frames).
    Raises SchemaError for a split that is neither 'train' nor 'validation', and where it has no frames.
    """

    index: int
    episode_id: str
    lab: str
    success: bool
    task: str
    camera: str
    decoder: str
    view: int
    phase: float
    crop_top_px: int
    crop_left_px: int
    crop_height_px: int
    crop_width_px: int
    first_slot: int
    num_frames: int
    split: Split

    def __post_init__(self) -> None:
        """T2. A trajectory MUST have `train` or `validation` as split, and one frame and slot 0 at least."""
        if self.split not in get_args(Split):
            raise SchemaError(
                f"Trajectory {self.index} has split '{self.split}'; expected one of {get_args(Split)}."
            )
        if self.num_frames < 1 or self.first_slot < 0:
            raise SchemaError(
                f"Trajectory {self.index} has {self.num_frames} frames from slot {self.first_slot} on; "
                "expected at least 1 frame and a slot of 0 or more."
            )

    @property
    def first_frame(self) -> int:
        """Address of its first frame."""
        return self.first_slot * SLOT_FRAMES

    @property
    def num_slots(self) -> int:
        """Slots that it takes."""
        return -(-self.num_frames // SLOT_FRAMES)

    @property
    def slots(self) -> range:
        """Its slots, in order."""
        return range(self.first_slot, self.first_slot + self.num_slots)

    def frames_of_slot(self, slot: int) -> range:
        """Which of its frames lie in `slot`, counted from the start of the trajectory.

        Frames [128, 129) of a trajectory of 129 frames lie in its second slot.
        """
        start = (slot - self.first_slot) * SLOT_FRAMES
        return range(start, min(start + SLOT_FRAMES, self.num_frames))


@dataclass(frozen=True, kw_only=True)
class Reject:
    """An episode that could not be used: at which stage, why, and what was seen."""

    episode_id: str
    stage: str
    reason: str
    detail: str


Row = TypeVar("Row", Trajectory, Reject)


def write_table(path: Path, rows: Sequence[Row], schema: pa.Schema) -> None:
    """Write rows as Parquet, atomically; the same rows give the same bytes."""
    write_parquet(path, pa.Table.from_pylist([asdict(row) for row in rows], schema=schema))


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table atomically."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_atomically(path, buffer.getvalue())


def read_trajectories(path: Path) -> tuple[Trajectory, ...]:
    """All planned trajectories. Raises SchemaError."""
    return _read(path, TRAJECTORY_SCHEMA, Trajectory)


def read_rejects(path: Path) -> tuple[Reject, ...]:
    """All rejected episodes. Raises SchemaError."""
    return _read(path, REJECT_SCHEMA, Reject)


def read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    """T1. A table MUST have exactly the columns of its schema, in type and order, and none of them null.

    Raises SchemaError.
    """
    try:
        table = pq.read_table(path, partitioning=None)
        table.validate(full=True)
    # Damaged bytes may claim sizes that no machine has.
    except (OSError, MemoryError, pa.ArrowException) as error:
        raise SchemaError(f"Table {path.name} cannot be read: {error}.") from error
    if table.schema.remove_metadata() != schema:
        found, required = (
            s.remove_metadata().to_string().replace("\n", ", ") for s in (table.schema, schema)
        )
        raise SchemaError(f"Table {path.name} has columns {found}; format 1 requires {required}.")
    return table


def _read(path: Path, schema: pa.Schema, row_type: type[Row]) -> tuple[Row, ...]:
    assert schema.names == [field.name for field in fields(row_type)]
    return tuple(row_type(**row) for row in read_parquet(path, schema).to_pylist())
