"""Opening a store in any state, and what it then shows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from store_schema import ledger
from store_schema.errors import SchemaError
from store_schema.format import TRAJECTORIES_TABLE
from store_schema.layout import write_attributes
from store_schema.ledger_row import SlotFile
from store_schema.store import Store, address_to_slot
from store_schema.tables import TRAJECTORY_SCHEMA, Trajectory, write_table


def forget(path: Path, *slots: int) -> None:
    """Take slots out of the ledger, as if they had not been finished."""
    for slot in slots:
        (path / f"ledger/{slot:08d}.json").unlink()


def change_plan(path: Path, change: Callable[[list[Trajectory]], list[Trajectory]]) -> None:
    planned = list(Store.open(path).planned_trajectories)
    write_table(path / TRAJECTORIES_TABLE, change(planned), TRAJECTORY_SCHEMA)


def test_a_sealed_store_shows_everything(shared_store: Path) -> None:
    store = Store.open(shared_store)
    assert store.attributes.sealed
    assert [t.num_frames for t in store.trajectories] == [40, 129, 16, 12, 24, 30, 12]
    assert [t.num_frames for t in store.split("validation")] == [30, 12]
    assert store.missing_slots() == []
    assert store.planned_frames == store.stored_frames == 263
    assert store.rejects_by_reason() == {}


def test_a_planned_store_opens_and_shows_no_trajectories(unsealed_store: Path) -> None:
    forget(unsealed_store, 0, 1, 2)
    store = Store.open(unsealed_store)
    assert store.trajectories == ()
    assert len(store.planned_trajectories) == 2
    assert store.missing_slots() == [0, 1, 2]
    assert (store.planned_frames, store.stored_frames) == (134, 0)


def test_a_half_built_store_shows_the_trajectories_whose_every_slot_is_there(unsealed_store: Path) -> None:
    forget(unsealed_store, 2)
    store = Store.open(unsealed_store)
    assert [t.index for t in store.trajectories] == [0]
    assert store.missing_slots() == [2]
    assert (store.planned_frames, store.stored_frames) == (134, 133)


def test_a_store_does_not_see_slots_that_finish_after_it_was_opened(unsealed_store: Path) -> None:
    row = Store.open(unsealed_store).ledger[0]
    forget(unsealed_store, 0)
    before = Store.open(unsealed_store)
    ledger.record(unsealed_store, row)
    assert before.missing_slots() == [0]
    assert Store.open(unsealed_store).missing_slots() == []


def test_bytes_of_a_frame_are_those_of_latents_and_scales(tiny_store: Path, float16_store: Path) -> None:
    assert Store.open(tiny_store).frame_bytes == 4 * 8 + 4 * 2
    assert Store.open(float16_store).frame_bytes == 4 * 8 * 2


def test_channel_statistics_are_those_that_the_fingerprint_names(
    tiny_store: Path, float16_store: Path
) -> None:
    store = Store.open(tiny_store)
    statistics = store.channel_statistics
    assert statistics is not None
    assert statistics.sha256() == store.attributes.fingerprint.channel_statistics_sha256
    assert statistics.std_D.dtype is torch.float32
    assert Store.open(float16_store).channel_statistics is None


def test_channel_statistics_are_refused_where_the_files_are_gone(int8_store: Path) -> None:
    (int8_store / "channel_mean/c/0").unlink()
    with pytest.raises(
        SchemaError, match=r"channel_mean and channel_std have SHA-256 .* else restore the files"
    ):
        _ = Store.open(int8_store).channel_statistics


def test_channel_statistics_are_refused_before_they_are_calibrated(unsealed_store: Path) -> None:
    forget(unsealed_store, 0, 1, 2)
    attributes = Store.open(unsealed_store).attributes
    planned = attributes.fingerprint.model_copy(update={"channel_statistics_sha256": None})
    write_attributes(
        unsealed_store, attributes.model_copy(update={"fingerprint": planned}).model_dump(mode="json")
    )
    with pytest.raises(
        SchemaError, match=r"fingerprint says None. Run `permafrost featurize --step calibrate`"
    ):
        _ = Store.open(unsealed_store).channel_statistics


def test_slots_of_another_fingerprint_are_refused(unsealed_store: Path) -> None:
    row = Store.open(unsealed_store).ledger[1]
    ledger.record(unsealed_store, replace(row, fingerprint_sha256="f" * 64))
    with pytest.raises(SchemaError, match=r"Slot 1 was written under another fingerprint than the store's"):
        Store.open(unsealed_store)


def test_a_ledger_row_that_no_trajectory_owns_is_refused(unsealed_store: Path) -> None:
    row = Store.open(unsealed_store).ledger[1]
    ledger.record(unsealed_store, replace(row, slot=7))
    with pytest.raises(SchemaError, match="Slot 7 is in the ledger, but no trajectory owns it"):
        Store.open(unsealed_store)


def test_a_ledger_row_of_another_episode_is_refused(unsealed_store: Path) -> None:
    row = Store.open(unsealed_store).ledger[1]
    ledger.record(unsealed_store, replace(row, episode_id="episode-0"))
    with pytest.raises(
        SchemaError, match="128 frames of episode episode-0; the plan has 128 of episode episode-1"
    ):
        Store.open(unsealed_store)


def test_a_ledger_row_with_fewer_frames_than_planned_is_refused(unsealed_store: Path) -> None:
    row = Store.open(unsealed_store).ledger[1]
    ledger.record(unsealed_store, replace(row, num_frames=100, frame_xxh3=row.frame_xxh3[:800]))
    with pytest.raises(SchemaError, match="Slot 1 holds 100 frames of episode episode-1; the plan has 128"):
        Store.open(unsealed_store)


def test_a_ledger_row_without_one_of_its_files_is_refused(unsealed_store: Path) -> None:
    row = Store.open(unsealed_store).ledger[1]
    ledger.record(unsealed_store, replace(row, files=row.files[1:]))
    with pytest.raises(SchemaError, match=r"Slot 1 lists files of arrays .*; format 1 requires .*'latents'"):
        Store.open(unsealed_store)
    foreign = SlotFile(array="depth", size_bytes=1, sha256="0" * 64)
    ledger.record(unsealed_store, replace(row, files=(*row.files, foreign)))
    with pytest.raises(SchemaError, match="'depth'"):
        Store.open(unsealed_store)


def test_two_trajectories_on_one_slot_are_refused(unsealed_store: Path) -> None:
    change_plan(unsealed_store, lambda planned: [planned[0], replace(planned[1], first_slot=0)])
    with pytest.raises(
        SchemaError, match="Slot 0 belongs to trajectories 0 and 1; format 1 requires one owner"
    ):
        Store.open(unsealed_store)


def test_a_trajectory_beyond_the_arrays_is_refused(unsealed_store: Path) -> None:
    change_plan(unsealed_store, lambda planned: [planned[0], replace(planned[1], first_slot=2)])
    with pytest.raises(SchemaError, match="Trajectory 1 takes slots up to 3; the store has slots 0 to 2"):
        Store.open(unsealed_store)


def test_trajectories_out_of_order_are_refused(unsealed_store: Path) -> None:
    change_plan(unsealed_store, lambda planned: planned[::-1])
    with pytest.raises(SchemaError, match="Trajectory 1 lies in row 0; its index must be its row"):
        Store.open(unsealed_store)


def test_a_store_without_its_table_of_trajectories_is_refused(int8_store: Path) -> None:
    (int8_store / TRAJECTORIES_TABLE).unlink()
    with pytest.raises(
        SchemaError, match=r"trajectories.parquet differs from what was sealed: its SHA-256 is None"
    ):
        Store.open(int8_store)


def test_addresses_count_frames_through_the_slots() -> None:
    assert [address_to_slot(frame) for frame in (0, 127, 128, 300)] == [(0, 0), (0, 127), (1, 0), (2, 44)]


def test_rejects_of_a_running_build_are_counted_once_an_episode(unsealed_store: Path) -> None:
    store = Store.open(unsealed_store)
    for slot in (1, 2):
        rejected = replace(
            store.ledger[slot], status="rejected", reason="too_dark", num_frames=0, files=(), frame_xxh3=b""
        )
        ledger.record(unsealed_store, rejected)
    assert Store.open(unsealed_store).rejects_by_reason() == {"too_dark": 1}
    assert Store.open(unsealed_store).stored_frames == 5
