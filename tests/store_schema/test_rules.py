"""One test per sentence of store_schema/README.md that a store can break; each begins with its number."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from store_schema import ledger
from store_schema.atomic import write_atomically
from store_schema.attributes import Revision, StoreAttributes
from store_schema.errors import SchemaError
from store_schema.format import LEDGER_TABLE, TRAJECTORIES_TABLE, LatentShape, Quantisation, array_specs
from store_schema.layout import read_attributes, slot_path, write_attributes
from store_schema.ledger_row import SlotFile
from store_schema.problem import Problem
from store_schema.rules.frames import has_latents, has_scales, is_empty
from store_schema.rules.seal import file_sha256
from store_schema.rules.statistics import has_its_training_statistics
from store_schema.rules.values import TrajectoryRows, row_problems
from store_schema.store import Store
from store_schema.tables import TRAJECTORY_SCHEMA, Trajectory, read_parquet, write_parquet, write_table
from store_schema.verify import verify_hashes, verify_schema, verify_values

from .test_damage import swap_first_two_frames

SPECS = array_specs(LatentShape(num_tokens=4, width=8), Quantisation.INT8)
Change = Callable[[Any], Any]


def kinds(problems: Iterator[Problem]) -> set[tuple[str, str]]:
    return {(problem.kind, problem.where) for problem in problems}


def change_json(file: Path, change: Change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def change_attributes(path: Path, change: Change) -> None:
    """With a right hash of the root file."""
    attributes = read_attributes(path)
    change(attributes)
    write_attributes(path, attributes)


def change_plan(path: Path, change: Callable[[list[Trajectory]], list[Trajectory]]) -> None:
    planned = list(Store.open(path).planned_trajectories)
    write_table(path / TRAJECTORIES_TABLE, change(planned), TRAJECTORY_SCHEMA)


def change_row(path: Path, number: int, **changes: Any) -> None:
    ledger.record(path, replace(Store.open(path).ledger[number], **changes))


def seal_again(path: Path, name: str) -> None:
    """Let the seal say what the file `name` has become."""
    change_attributes(path, lambda a: a["files"].update({name: file_sha256(path / name)}))


# Root


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"zarr_format": 2}', b"[" * 100_000])
def test_g1_a_root_that_is_no_group_is_named(own_store: Path, content: bytes) -> None:
    (own_store / "zarr.json").write_bytes(content)
    (problem,) = verify_schema(own_store)
    assert (problem.where, "is not the metadata of a Zarr group" in problem.detail) == ("zarr.json", True)


def test_g2_attributes_of_others_are_named(own_store: Path) -> None:
    change_json(own_store / "zarr.json", lambda m: m["attributes"].update(note="mine"))
    (problem,) = verify_schema(own_store)
    assert "unknown root attributes ['note']" in problem.detail


def test_g2_a_group_of_another_kind_is_named(own_store: Path) -> None:
    change_json(own_store / "zarr.json", lambda m: m["attributes"].pop("permafrost"))
    (problem,) = verify_schema(own_store)
    assert "not a feature store" in problem.detail


def test_g3_a_changed_root_file_is_named(own_store: Path) -> None:
    change_json(own_store / "zarr.json", lambda m: m["attributes"]["permafrost"].update(num_slots=7))
    (problem,) = verify_schema(own_store)
    assert "zarr.json differs from what was written" in problem.detail


def test_g3_a_sealed_root_file_without_its_hash_is_named(own_store: Path) -> None:
    change_json(own_store / "zarr.json", lambda m: m["attributes"].pop("permafrost_sha256"))
    (problem,) = verify_schema(own_store)
    assert "zarr.json differs from what was written" in problem.detail


# Arrays


def break_array(path: Path, array: str, change: Change) -> Problem:
    """The one problem of a store that is not sealed: a seal would tell of the file besides."""
    change_json(path / array / "zarr.json", change)
    (problem,) = verify_schema(path)
    assert (problem.kind, problem.where) == ("wrong_array", f"{array}/zarr.json")
    return problem


@pytest.mark.parametrize("name", list(SPECS))
def test_a1_a_missing_array_is_named(unsealed_store: Path, name: str) -> None:
    (unsealed_store / name / "zarr.json").unlink()
    (problem,) = verify_schema(unsealed_store)
    assert problem.where == f"{name}/zarr.json"


@pytest.mark.parametrize("length", [256, 385])
def test_a2_an_array_that_is_too_short_or_ends_within_a_slot_is_named(unsealed_store, length: int) -> None:
    problem = break_array(unsealed_store, "states", lambda m: m.update(shape=[length, 7]))
    assert "has shape" in problem.detail


def test_a3_another_dtype_is_named(unsealed_store: Path) -> None:
    problem = break_array(unsealed_store, "states", lambda m: m.update(data_type="float64"))
    assert "has dtype float64; format 1 requires float32" in problem.detail


def test_a4_other_chunks_are_named(unsealed_store: Path) -> None:
    grid = {"name": "regular", "configuration": {"chunk_shape": [64, 7]}}
    problem = break_array(unsealed_store, "states", lambda m: m.update(chunk_grid=grid))
    assert "has chunks (64, 7); format 1 requires (128, 7)" in problem.detail


def test_a5_other_dimension_names_are_named(unsealed_store: Path) -> None:
    problem = break_array(unsealed_store, "states", lambda m: m.update(dimension_names=["frame", "x"]))
    assert "has dimension names ('frame', 'x')" in problem.detail


def test_a6_other_codecs_are_named(unsealed_store: Path) -> None:
    problem = break_array(unsealed_store, "states", lambda m: m["codecs"].append({"name": "crc32c"}))
    assert "has codecs" in problem.detail


def test_a7_another_encoding_of_chunk_keys_is_named(unsealed_store: Path) -> None:
    key = {"name": "default", "configuration": {"separator": "."}}
    problem = break_array(unsealed_store, "states", lambda m: m.update(chunk_key_encoding=key))
    assert "has chunk key encoding" in problem.detail


def test_a8_another_fill_value_is_named(unsealed_store: Path) -> None:
    problem = break_array(unsealed_store, "latents", lambda m: m.update(fill_value=0))
    assert "has fill value 0; format 1 requires -128" in problem.detail


# Tables


def test_t1_a_misspelt_column_is_named(unsealed_store: Path) -> None:
    path = unsealed_store / "rejects.parquet"
    write_parquet(
        path, pq.read_table(path, partitioning=None).rename_columns(["episode", "stage", "reason", "detail"])
    )
    (problem,) = verify_schema(unsealed_store)
    assert (problem.kind, problem.where) == ("wrong_table", "rejects.parquet")


def test_t1_text_that_is_no_text_is_named(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("task", pa.string(), nullable=False)])
    not_utf8 = pa.array([b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.Table.from_arrays([not_utf8], schema=schema), tmp_path / "x.parquet")
    with pytest.raises(SchemaError, match=r"Table x.parquet cannot be read"):
        read_parquet(tmp_path / "x.parquet", schema)


@pytest.mark.parametrize(("column", "value"), [("split", "test"), ("num_frames", 0), ("first_slot", -1)])
def test_t2_a_trajectory_that_cannot_be_is_named(unsealed_store: Path, column: str, value: Any) -> None:
    path = unsealed_store / TRAJECTORIES_TABLE
    table = pq.read_table(path, partitioning=None)
    place = table.schema.get_field_index(column)
    values = pa.array([value, *table.column(column).to_pylist()[1:]], table.schema.field(column).type)
    write_parquet(path, table.set_column(place, table.schema.field(column), values))
    (problem,) = verify_schema(unsealed_store)
    assert (problem.where, "Trajectory 0 has" in problem.detail) == (TRAJECTORIES_TABLE, True)


def test_t3_fewer_rows_than_trajectories_are_named(unsealed_store: Path) -> None:
    change_plan(unsealed_store, lambda planned: planned[:1])
    details = [problem.detail for problem in verify_schema(unsealed_store)]
    assert "has 1 rows; the store has 2 trajectories" in details[0]


def test_t4_rows_out_of_order_are_named(unsealed_store: Path) -> None:
    change_plan(unsealed_store, lambda planned: planned[::-1])
    assert "Trajectory 1 lies in row 0" in next(verify_schema(unsealed_store)).detail


@pytest.mark.parametrize("change", [{"phase": 1.0}, {"crop_height_px": 0}, {"crop_left_px": -1}])
def test_t5_a_phase_or_crop_that_cannot_be_is_named(unsealed_store: Path, change: dict[str, Any]) -> None:
    change_plan(unsealed_store, lambda planned: [replace(planned[0], **change), planned[1]])
    (problem,) = verify_schema(unsealed_store)
    assert (problem.kind, "Trajectory 0 has phase" in problem.detail) == ("wrong_plan", True)


def test_t6_an_episode_on_both_sides_is_named(unsealed_store: Path) -> None:
    change_plan(unsealed_store, lambda planned: [planned[0], replace(planned[1], episode_id="episode-0")])
    assert "Episode episode-0 is trained on and held out" in next(verify_schema(unsealed_store)).detail


def test_t7_a_trajectory_beyond_the_arrays_is_named(unsealed_store: Path) -> None:
    change_plan(unsealed_store, lambda planned: [planned[0], replace(planned[1], first_slot=2)])
    assert "Trajectory 1 takes slots up to 3" in next(verify_schema(unsealed_store)).detail


def test_t8_a_slot_with_two_owners_or_none_is_named(unsealed_store: Path) -> None:
    change_plan(unsealed_store, lambda planned: [planned[0], replace(planned[1], first_slot=0)])
    details = [problem.detail for problem in verify_schema(unsealed_store)]
    assert "Slot 0 belongs to trajectories 0 and 1" in details[0]
    assert "Slots [2] belong to no trajectory" in details[1]


# Attributes


def test_f1_a_misspelt_attribute_is_named(own_store: Path) -> None:
    change_attributes(own_store, lambda a: a["fingerprint"]["encoder"].update(widht=8))
    (problem,) = verify_schema(own_store)
    assert "fingerprint.encoder.widht: Extra inputs are not permitted" in problem.detail


def test_f2_a_sealed_store_without_statistics_is_named(own_store: Path) -> None:
    change_attributes(own_store, lambda a: a.update(statistics=None))
    assert "a sealed store has 'statistics'" in next(verify_schema(own_store)).detail


def test_f3_a_revision_that_shrinks_is_named(own_store: Path) -> None:
    as_revision(own_store, num_slots=99)
    assert "no fewer slots than an earlier one, got [99, 8]" in next(verify_schema(own_store)).detail


@pytest.mark.parametrize("text", ["/data/droid", "~/droid", "../droid", "C:\\droid", "file:///droid"])
def test_f4_a_local_path_is_named(own_store: Path, text: str) -> None:
    change_attributes(own_store, lambda a: a["recipe"].update(source=["droid_raw", text]))
    (problem,) = verify_schema(own_store)
    assert problem.where == "zarr.json, attribute recipe.source.1"


def test_f5_slots_before_the_channel_statistics_are_named(unsealed_store: Path) -> None:
    change_attributes(unsealed_store, lambda a: a["fingerprint"].update(channel_statistics_sha256=None))
    sha256 = StoreAttributes.parse(read_attributes(unsealed_store)).fingerprint.sha256()
    for file in (unsealed_store / "ledger").iterdir():
        row = ledger.read_row(file)
        assert row is not None
        ledger.record(unsealed_store, replace(row, fingerprint_sha256=sha256))
    (problem,) = verify_schema(unsealed_store)
    assert "no hash of the channel statistics" in problem.detail


def test_f6_other_channel_statistics_are_named(int8_store: Path) -> None:
    file = int8_store / "channel_std/c/0"
    file.write_bytes(np.ones(8, np.float32).tobytes())
    seal_again(int8_store, "channel_std/c/0")
    assert kinds(verify_hashes(int8_store)) == set()
    assert ("wrong_statistics", "channel_mean, channel_std") in kinds(verify_values(int8_store))


# Ledger


@pytest.mark.parametrize("change", [{"status": "lost"}, {"num_frames": 0}, {"frame_xxh3": b"8 bytes."}])
def test_l1_a_row_that_contradicts_itself_is_refused(tiny_store: Path, change: dict[str, Any]) -> None:
    row = Store.open(tiny_store).ledger[0]
    with pytest.raises(SchemaError, match="Slot 0 "):
        replace(row, **change)


def test_l1_a_sealed_row_that_contradicts_itself_is_named(own_store: Path) -> None:
    table = Store.open(own_store).ledger.sealed
    cut = pc.binary_slice(table.column("frame_xxh3"), 0, 8).combine_chunks()
    place = table.schema.get_field_index("frame_xxh3")
    write_parquet(own_store / LEDGER_TABLE, table.set_column(place, table.schema.field(place), cut))
    seal_again(own_store, LEDGER_TABLE)
    assert ("wrong_ledger", "slot 1, ledger row") in kinds(verify_hashes(own_store))


def test_l2_a_row_there_twice_is_named(own_store: Path) -> None:
    table = Store.open(own_store).ledger.sealed
    write_parquet(own_store / LEDGER_TABLE, pa.concat_tables([table, table.slice(3, 1)]).combine_chunks())
    seal_again(own_store, LEDGER_TABLE)
    assert "Row of slot 3 is out of order or there twice" in next(verify_schema(own_store)).detail


def test_l3_a_row_of_another_build_is_named(unsealed_store: Path) -> None:
    change_row(unsealed_store, 1, fingerprint_sha256="f" * 64)
    (problem,) = verify_schema(unsealed_store)
    assert (problem.slot, "under another fingerprint" in problem.detail) == (1, True)


def test_l4_a_row_without_an_owner_is_named(unsealed_store: Path) -> None:
    change_row(unsealed_store, 1, slot=7)
    (problem,) = verify_schema(unsealed_store)
    assert (problem.where, "no trajectory owns it" in problem.detail) == ("slot 7, ledger row", True)


@pytest.mark.parametrize("change", [{"episode_id": "other"}, {"num_frames": 2, "frame_xxh3": bytes(16)}])
def test_l5_a_row_that_differs_from_the_plan_is_named(unsealed_store: Path, change: dict[str, Any]) -> None:
    change_row(unsealed_store, 1, **change)
    (problem,) = verify_schema(unsealed_store)
    assert (problem.slot, "the plan has 128 of episode episode-1" in problem.detail) == (1, True)


def test_l6_a_row_without_one_of_its_files_is_named(unsealed_store: Path) -> None:
    change_row(unsealed_store, 1, files=Store.open(unsealed_store).ledger[1].files[1:])
    (problem,) = verify_schema(unsealed_store)
    assert (problem.slot, "lists files of arrays" in problem.detail) == (1, True)


def without_row(path: Path, slot: int) -> None:
    table = Store.open(path).ledger.sealed
    write_parquet(path / LEDGER_TABLE, table.filter(pc.not_equal(table.column("slot"), slot)))
    seal_again(path, LEDGER_TABLE)


def test_l7_a_sealed_store_that_lacks_a_slot_is_named(own_store: Path) -> None:
    without_row(own_store, 3)
    assert kinds(verify_schema(own_store)) == {("missing_slot", "slot 3, ledger row")}


def as_revision(path: Path, *, num_slots: int) -> None:
    """Let the store have grown out of its first three trajectories."""
    attributes = StoreAttributes.parse(read_attributes(path))
    assert attributes.statistics is not None
    first = Revision(uuid="first", num_trajectories=3, num_slots=num_slots, library_versions={},
                     code_version="", statistics=attributes.statistics)  # fmt: skip
    change_attributes(path, lambda a: a.update(earlier_revisions=[first.model_dump(mode="json")]))


def test_l7_a_store_that_grows_may_lack_its_new_slots_only(own_store: Path) -> None:
    as_revision(own_store, num_slots=4)
    without_row(own_store, 3)
    change_attributes(own_store, lambda a: a.update(sealed=False, files=None, statistics=None))
    assert kinds(verify_schema(own_store)) == {("missing_slot", "slot 3, ledger row")}


def test_l8_a_stale_row_in_a_sealed_store_is_named_and_refused(own_store: Path) -> None:
    change_row(own_store, 3)
    assert {problem.slot for problem in verify_schema(own_store)} == {3}
    with pytest.raises(SchemaError, match=r"Slot 3 has a row of its own, ledger/00000003.json"):
        Store.open(own_store)


@pytest.mark.parametrize(
    "change", [lambda d: d.replace(b'"reason": ""', b'"reason": "x"'), lambda d: d[:-9], lambda d: b"[]"]
)
def test_l9_a_changed_row_is_named_and_the_others_are_read(unsealed_store: Path, change: Change) -> None:
    file = unsealed_store / "ledger/00000001.json"
    file.write_bytes(change(file.read_bytes()))
    (unsealed_store / slot_path(SPECS["states"], 2)).unlink()
    found = kinds(verify_hashes(unsealed_store))
    assert found == {("wrong_ledger", "slot 1, ledger row"), ("missing_file", "slot 2, array states")}


def test_l9_a_row_under_the_name_of_another_slot_is_named(unsealed_store: Path) -> None:
    row = unsealed_store / "ledger/00000001.json"
    row.rename(row.with_name("00000002.json"))
    (problem,) = verify_schema(unsealed_store)
    assert (problem.slot, "is that of slot 1" in problem.detail) == (2, True)


# Slots


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda file: file.unlink(), "missing_file"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "wrong_size"),
        (lambda file: file.write_bytes(bytes(len(file.read_bytes()))), "wrong_hash"),
        (lambda file: (file.unlink(), file.mkdir()), "wrong_size"),
    ],
)
@pytest.mark.parametrize("array", ["latents", "timestamps_seconds", "thumbnails"])
def test_h1_a_file_that_is_not_as_recorded_is_named(own_store, array: str, change: Change, kind: str) -> None:
    change(own_store / slot_path(Store.open(own_store).specs[array], 1))
    (problem,) = verify_hashes(own_store)
    assert (problem.kind, problem.where, problem.slot) == (kind, f"slot 1, array {array}", 1)


def test_h2_frame_hashes_that_are_not_of_the_frames_are_named(unsealed_store: Path) -> None:
    row = Store.open(unsealed_store).ledger[1]
    change_row(unsealed_store, 1, frame_xxh3=row.frame_xxh3[8:] + bytes(8))
    (problem,) = verify_hashes(unsealed_store)
    assert (problem.kind, problem.slot, "XXH3" in problem.detail) == ("wrong_ledger", 1, True)


def write_file(path: Path, array: str, slot: int, data: bytes) -> None:
    """Put other bytes in place of a slot's file, and let its row say so."""
    write_atomically(path / slot_path(Store.open(path).specs[array], slot), data)
    row = Store.open(path).ledger[slot]
    other = SlotFile(array=array, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    files = tuple(other if file.array == array else file for file in row.files)
    ledger.record(path, replace(row, files=files))


def test_h3_frames_that_do_not_lie_in_order_are_named(unsealed_store: Path) -> None:
    data = (unsealed_store / slot_path(SPECS["latents"], 1)).read_bytes()
    write_file(unsealed_store, "latents", 1, swap_first_two_frames(data))
    assert ("wrong_order", "slot 1, array latents") in kinds(verify_hashes(unsealed_store))


@pytest.mark.parametrize("name", ["states/c/9/0", "states/c/1/1", "states/c/1/0.partial", "latents/c/x/0/0"])
def test_h4_a_file_of_no_slot_is_named_once_the_store_is_sealed(own_store: Path, name: str) -> None:
    write_atomically(own_store / name, b"stale")
    assert kinds(verify_hashes(own_store)) == {("stray_file", name)}


def test_h4_before_that_files_of_slots_to_come_are_let_be(unsealed_store: Path) -> None:
    write_atomically(unsealed_store / "states/c/9/0", b"to come")
    assert kinds(verify_hashes(unsealed_store)) == set()


# Seal


def test_s1_a_seal_of_before_there_were_hashes_is_told_at_level_hashes(own_store: Path) -> None:
    change_attributes(own_store, lambda a: a.update(files=None))
    assert kinds(verify_schema(own_store)) == set()
    assert kinds(verify_hashes(own_store)) == {("not_hashed", "zarr.json")}


def test_s2_a_seal_that_leaves_out_a_file_is_named(own_store: Path) -> None:
    change_attributes(own_store, lambda a: a["files"].pop("states/zarr.json"))
    assert ("wrong_attribute", "zarr.json, attribute files") in kinds(verify_schema(own_store))


@pytest.mark.parametrize(
    "name", ["trajectories.parquet", "rejects.parquet", "ledger.parquet", "latents/zarr.json"]
)
@pytest.mark.parametrize("is_gone", [False, True])
def test_s3_a_file_that_is_not_as_sealed_is_named(own_store: Path, name: str, is_gone: bool) -> None:
    file = own_store / name
    data = file.read_bytes()
    file.unlink()
    if not is_gone:
        file.write_bytes(data + b"\n")
    assert ("missing_file" if is_gone else "wrong_hash", name) in kinds(verify_schema(own_store))


# Values


def test_v1_codes_and_latents_that_mean_nothing_are_named() -> None:
    assert list(has_latents(np.array([-127, 127], np.int8))) == []
    assert list(has_latents(np.array([-128, 127], np.int8))) == ["holds the code -128."]
    assert list(has_latents(np.array([1.0], np.float16))) == []
    assert list(has_latents(np.array([np.nan], np.float16))) == ["holds latents that are NaN or infinite."]


def test_v1_the_frame_is_named(unsealed_store: Path) -> None:
    data = bytearray((unsealed_store / slot_path(SPECS["latents"], 1)).read_bytes())
    data[9 * 32] = 0x80
    write_file(unsealed_store, "latents", 1, bytes(data))
    problems = [p for p in verify_values(unsealed_store) if p.kind == "wrong_value"]
    assert [(p.where, p.detail) for p in problems] == [
        ("slot 1, array latents", "Frame 9 holds the code -128.")
    ]


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_v2_scales_that_mean_nothing_are_named(value: float) -> None:
    assert list(has_scales(np.array([0.0, 1.0], np.float16))) == []
    assert len(list(has_scales(np.array([0.0, value], np.float16)))) == 1


def test_v3_values_after_the_last_frame_are_named(unsealed_store: Path) -> None:
    assert list(is_empty(np.full(7, np.nan, np.float32), SPECS["states"])) == []
    assert list(is_empty(np.array([-1], np.int32), SPECS["source_index"])) == []
    data = (unsealed_store / slot_path(SPECS["source_index"], 0)).read_bytes()
    write_file(unsealed_store, "source_index", 0, data[:-4] + bytes(4))
    details = {p.where: p.detail for p in verify_values(unsealed_store)}
    assert (
        details["slot 0, array source_index"] == "Frame 127 holds values, though the slot has fewer frames."
    )


@pytest.fixture
def rows(tiny_store: Path) -> TrajectoryRows:
    """The trajectory of 129 frames in slots 1 and 2."""
    from store_schema.layout import open_array

    store = Store.open(tiny_store)
    trajectory = store.trajectories[1]
    frames = slice(trajectory.first_frame, trajectory.first_frame + trajectory.num_frames)
    names = ("states", "actions", "timestamps_seconds", "extrinsics", "source_index")
    states, actions, seconds, extrinsics, source_index = (
        np.array(open_array(tiny_store, name)[frames]) for name in names
    )
    return TrajectoryRows(
        trajectory=trajectory,
        fingerprint=store.attributes.fingerprint,
        states_FA=states,
        actions_FA=actions,
        timestamps_seconds_F=seconds,
        extrinsics_FE=extrinsics,
        source_index_F=source_index,
    )


def test_rows_of_a_whole_store_break_no_rule(rows: TrajectoryRows) -> None:
    assert list(row_problems(rows)) == []


def details(rows: TrajectoryRows) -> str:
    return "; ".join(f"{problem.where}: {problem.detail}" for problem in row_problems(rows))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_v4_a_state_that_is_not_finite_is_named(rows: TrajectoryRows, value: float) -> None:
    rows.states_FA[128, 3] = value
    assert details(rows).startswith("slot 2, array states: Frame 128 of trajectory 1 is NaN or infinite")


@pytest.mark.parametrize(("axis", "value"), [(6, -0.06), (6, 1.06), (3, 3.2), (5, -3.2)])
def test_v5_a_state_out_of_range_is_named(rows: TrajectoryRows, axis: int, value: float) -> None:
    rows.states_FA[4, axis] = value
    assert "Frame 4 of trajectory 1 has a" in details(rows)
    assert "outside" in details(rows)


@pytest.mark.parametrize(("frame", "value"), [(4, np.nan), (128, 0.0)])
def test_v6_an_action_missing_or_after_the_end_is_named(rows, frame: int, value: float) -> None:
    rows.actions_FA[frame] = value
    assert f"Frame {frame} of trajectory 1 is NaN before the last frame, or a number in it" in details(rows)


@pytest.mark.parametrize("axis", range(7))
def test_v7_an_action_that_is_not_of_its_states_is_named(rows: TrajectoryRows, axis: int) -> None:
    rows.actions_FA[127, axis] += 1e-4
    assert "slot 1, array actions: Frame 127 of trajectory 1 is not the change" in details(rows)


def test_v7_another_name_of_the_same_rotation_is_the_same_action(rows: TrajectoryRows) -> None:
    roll, pitch, yaw = rows.actions_FA[4, 3:6]
    rows.actions_FA[4, 3:6] = (roll + np.pi, np.pi - pitch, yaw + np.pi)
    assert details(rows) == ""


@pytest.mark.parametrize("value", [np.nan, 0.75])
def test_v8_times_that_do_not_increase_are_named(rows: TrajectoryRows, value: float) -> None:
    rows.timestamps_seconds_F[4] = value
    assert "Frame 4 of trajectory 1 is not finite, or not after the one before" in details(rows)


def test_v8_a_source_may_have_no_times_off_the_physical_clock(rows: TrajectoryRows) -> None:
    rows.timestamps_seconds_F[:] = np.nan
    assert "is not finite" in details(rows)
    nominal = rows.fingerprint.model_copy(update={"clock": "mp4_nominal"})
    assert details(replace(rows, fingerprint=nominal)) == ""


def test_v9_a_time_off_the_grid_is_named(rows: TrajectoryRows) -> None:
    rows.timestamps_seconds_F[4:] += 0.126
    assert "Frame 4 of trajectory 1 lies off the grid of its clock; so are 125 of" in details(rows)


@pytest.mark.parametrize("value", [-1, 12])
def test_v10_a_source_index_that_does_not_increase_is_named(rows: TrajectoryRows, value: int) -> None:
    rows.source_index_F[4] = value
    assert "array source_index: Frame 4 of trajectory 1 is negative, or not after" in details(rows)


def test_v11_an_infinite_pose_is_named(rows: TrajectoryRows) -> None:
    rows.extrinsics_FE[4, 0] = np.inf
    assert "array extrinsics: Frame 4 of trajectory 1 is infinite" in details(rows)


def test_v12_statistics_that_are_not_of_the_training_split_are_named(tiny_store: Path) -> None:
    recorded = Store.open(tiny_store).attributes.statistics
    assert recorded is not None
    assert list(has_its_training_statistics(recorded, recorded)) == []
    shifted = recorded.states.model_copy(
        update={"mean": (recorded.states.mean[0] + 1e-3, *recorded.states.mean[1:])}
    )
    (problem,) = has_its_training_statistics(recorded.model_copy(update={"states": shifted}), recorded)
    assert problem.where == "zarr.json, attribute statistics.states"


def test_v12_they_are_computed_again(own_store: Path) -> None:
    change_attributes(own_store, lambda a: a["statistics"].update(latent_change_l1=0.5))
    assert kinds(verify_values(own_store)) == {
        ("wrong_statistics", "zarr.json, attribute statistics.latent_change_l1")
    }
