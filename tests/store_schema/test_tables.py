"""The Parquet tables: addresses, columns, and bytes that depend on the rows alone."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_schema.errors import SchemaError
from store_schema.format import SLOT_FRAMES
from store_schema.tables import (
    REJECT_SCHEMA,
    TRAJECTORY_SCHEMA,
    Reject,
    Trajectory,
    read_rejects,
    read_trajectories,
    write_table,
)


def trajectory(**changes: object) -> Trajectory:
    fields = {
        "index": 0, "episode_id": "LAB+2023", "lab": "LAB", "success": True, "task": "füll die Tasse",
        "camera": "left", "decoder": "pyav", "view": 0, "phase": 0.125, "crop_top_px": 1, "crop_left_px": 2,
        "crop_height_px": 90, "crop_width_px": 120, "first_slot": 3, "num_frames": 129, "split": "train",
    }  # fmt: skip
    return Trajectory(**(fields | changes))


def test_trajectories_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = (trajectory(), trajectory(index=1, first_slot=5, success=False, split="validation", task=""))
    write_table(tmp_path / "t.parquet", rows, TRAJECTORY_SCHEMA)
    assert read_trajectories(tmp_path / "t.parquet") == rows


def test_rejects_come_back_as_they_were_written_none_included(tmp_path: Path) -> None:
    rows = (Reject(episode_id="e", stage="index", reason="too_short", detail="7 frames"),)
    for expected in (rows, ()):
        write_table(tmp_path / "r.parquet", expected, REJECT_SCHEMA)
        assert read_rejects(tmp_path / "r.parquet") == expected


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_table(tmp_path / name, [trajectory()], TRAJECTORY_SCHEMA)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_table_with_a_misspelt_column_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", [trajectory()], TRAJECTORY_SCHEMA)
    renamed = pq.read_table(tmp_path / "t.parquet").rename_columns({"camera": "kamera"})
    pq.write_table(renamed, tmp_path / "t.parquet")
    with pytest.raises(
        SchemaError, match=r"t.parquet has columns .*kamera: string.*requires .* camera: string not"
    ):
        read_trajectories(tmp_path / "t.parquet")


def test_a_table_with_another_column_type_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", [trajectory()], TRAJECTORY_SCHEMA)
    table = pq.read_table(tmp_path / "t.parquet")
    place = table.schema.get_field_index("num_frames")
    wider = table.set_column(place, pa.field("num_frames", pa.int64(), nullable=False), [[129]])
    pq.write_table(wider, tmp_path / "t.parquet")
    with pytest.raises(
        SchemaError, match=r"num_frames: int64 not null.*format 1 requires .*num_frames: int32 not"
    ):
        read_trajectories(tmp_path / "t.parquet")


def test_a_missing_and_a_damaged_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"Table t.parquet cannot be read"):
        read_trajectories(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(SchemaError, match=r"Table t.parquet cannot be read"):
        read_trajectories(tmp_path / "t.parquet")


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    row = trajectory()
    object.__setattr__(row, "split", "test")
    write_table(tmp_path / "t.parquet", [row], TRAJECTORY_SCHEMA)
    with pytest.raises(
        SchemaError, match=r"Trajectory 0 has split 'test'; expected one of \('train', 'validation"
    ):
        read_trajectories(tmp_path / "t.parquet")


@pytest.mark.parametrize("changes", [{"num_frames": 0}, {"first_slot": -1}])
def test_a_trajectory_without_frames_or_place_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(
        SchemaError, match=r"Trajectory 0 has \d+ frames from slot -?\d on; expected at least 1 fr"
    ):
        replace(trajectory(), **changes)


@pytest.mark.parametrize(
    ("num_frames", "num_slots"), [(1, 1), (127, 1), (128, 1), (129, 2), (256, 2), (257, 3)]
)
def test_a_trajectory_takes_as_many_slots_as_its_frames_need(num_frames: int, num_slots: int) -> None:
    drawn = trajectory(num_frames=num_frames)
    assert drawn.num_slots == num_slots
    assert drawn.slots == range(3, 3 + num_slots)


@given(num_frames=st.integers(1, 1000), first_slot=st.integers(0, 10**6))
def test_the_frames_of_the_slots_follow_each_other_without_gap(num_frames: int, first_slot: int) -> None:
    drawn = trajectory(num_frames=num_frames, first_slot=first_slot)
    assert drawn.first_frame == first_slot * SLOT_FRAMES
    parts = [drawn.frames_of_slot(slot) for slot in drawn.slots]
    assert [frame for part in parts for frame in part] == list(range(num_frames))
    assert all(0 < len(part) <= SLOT_FRAMES for part in parts)


def test_the_129th_frame_lies_alone_in_the_second_slot() -> None:
    assert trajectory(num_frames=129).frames_of_slot(4) == range(128, 129)
