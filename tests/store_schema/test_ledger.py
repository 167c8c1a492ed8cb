"""Progress is what the ledger says: rows come last, merging is safe at every point."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from store_schema import atomic, ledger
from store_schema.attributes import canonical_sha256
from store_schema.errors import SchemaError
from store_schema.format import LEDGER_FOLDER, LEDGER_TABLE
from store_schema.ledger import LEDGER_SCHEMA
from store_schema.ledger_row import LedgerRow, SlotFile, frame_hashes


def written_row(slot: int, **changes: object) -> LedgerRow:
    fields = {
        "slot": slot,
        "episode_id": f"episode-{slot}",
        "num_frames": 2,
        "status": "written",
        "fingerprint_sha256": "0" * 64,
        "files": (SlotFile(array="latents", size_bytes=5, sha256="1" * 64),),
        "frame_xxh3": bytes(range(16)),
    }
    return LedgerRow(**(fields | changes))


def rejected_row(slot: int) -> LedgerRow:
    return LedgerRow(
        slot=slot, episode_id="broken", num_frames=0, status="rejected", reason="video_unreadable",
        detail="ends at frame 3", fingerprint_sha256="0" * 64,
    )  # fmt: skip


ROWS = {0: written_row(0), 3: rejected_row(3), 11: written_row(11)}


def record_all(store: Path) -> None:
    for row in ROWS.values():
        ledger.record(store, row)


def contents(store: Path) -> dict[str, bytes]:
    return {str(f.relative_to(store)): f.read_bytes() for f in store.rglob("*") if f.is_file()}


def test_an_empty_store_has_no_settled_slots(tmp_path: Path) -> None:
    assert ledger.read_ledger(tmp_path) == {}
    assert ledger.settled_slots(tmp_path) == set()


def test_rows_come_back_as_they_were_recorded(tmp_path: Path) -> None:
    record_all(tmp_path)
    assert ledger.read_ledger(tmp_path) == ROWS
    assert ledger.settled_slots(tmp_path) == {0, 3, 11}


def test_rows_come_back_from_the_sealed_table(tmp_path: Path) -> None:
    record_all(tmp_path)
    assert ledger.merge(tmp_path) == ROWS
    assert ledger.read_ledger(tmp_path) == ROWS
    assert ledger.settled_slots(tmp_path) == {0, 3, 11}
    assert [f.name for f in tmp_path.iterdir()] == [LEDGER_TABLE]


def test_merging_twice_changes_nothing(tmp_path: Path) -> None:
    record_all(tmp_path)
    ledger.merge(tmp_path)
    once = contents(tmp_path)
    assert ledger.merge(tmp_path) == ROWS
    assert contents(tmp_path) == once


def test_the_table_does_not_tell_in_which_order_slots_finished(tmp_path: Path) -> None:
    for folder, rows in (("one", list(ROWS.values())), ("other", list(ROWS.values())[::-1])):
        for row in rows:
            ledger.record(tmp_path / folder, row)
        ledger.merge(tmp_path / folder)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_merging_in_two_parts_gives_the_table_of_one_merge(tmp_path: Path) -> None:
    record_all(tmp_path / "at_once")
    ledger.merge(tmp_path / "at_once")
    for row in reversed(ROWS.values()):
        ledger.record(tmp_path / "in_parts", row)
        ledger.merge(tmp_path / "in_parts")
    assert contents(tmp_path / "in_parts") == contents(tmp_path / "at_once")


@pytest.mark.parametrize("steps_before_death", range(8))
def test_a_merge_killed_at_any_point_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps_before_death: int
) -> None:
    """Every call that changes the disk counts as a step; the process dies before the next one."""
    record_all(tmp_path / "whole")
    ledger.merge(tmp_path / "whole")
    store = tmp_path / "killed"
    record_all(store)
    die_after(steps_before_death, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        ledger.merge(store)
    monkeypatch.undo()
    assert ledger.read_ledger(store) == ROWS
    assert ledger.settled_slots(store) == set(ROWS)
    ledger.merge(store)
    assert contents(store) == contents(tmp_path / "whole")


def die_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `steps` renames, removals and syncs happen, and none after that."""
    left = [steps]

    def dying(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def step(*args: object, **kwargs: object) -> object:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, step)

    for owner, name in ((Path, "replace"), (Path, "rmdir"), (atomic.os, "fsync")):
        dying(owner, name)
    real_unlink = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if left[0] > 0:
            left[0] -= 1
            real_unlink(path, missing_ok)
        elif path.suffix != atomic.PARTIAL_SUFFIX:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", unlink)


def test_a_row_recorded_during_a_merge_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_all(tmp_path)
    write_parquet = ledger.write_parquet

    def record_meanwhile(path: Path, table: pa.Table) -> None:
        ledger.record(tmp_path, written_row(5))
        write_parquet(path, table)

    monkeypatch.setattr(ledger, "write_parquet", record_meanwhile)
    ledger.merge(tmp_path)
    assert ledger.settled_slots(tmp_path) == {0, 3, 5, 11}


def test_merging_removes_what_killed_writes_left(tmp_path: Path) -> None:
    record_all(tmp_path)
    (tmp_path / LEDGER_FOLDER / "00000004.json.0badcafe.partial").write_text("{")
    (tmp_path / "latents/c/4").mkdir(parents=True)
    (tmp_path / "latents/c/4/0.0badcafe.partial").write_bytes(b"torn")
    ledger.merge(tmp_path)
    assert list(contents(tmp_path)) == [LEDGER_TABLE]


def test_a_half_written_row_is_not_seen(tmp_path: Path) -> None:
    record_all(tmp_path)
    (tmp_path / LEDGER_FOLDER / "00000004.json.0badcafe.partial").write_text('{"slot"')
    assert ledger.read_ledger(tmp_path) == ROWS
    assert ledger.settled_slots(tmp_path) == set(ROWS)


def test_a_later_row_of_a_slot_stands_before_the_sealed_one(tmp_path: Path) -> None:
    record_all(tmp_path)
    ledger.merge(tmp_path)
    ledger.record(tmp_path, written_row(3))
    assert ledger.read_ledger(tmp_path)[3].status == "written"


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields | {"sloth": 1},
        lambda fields: {name: value for name, value in fields.items() if name != "files"},
        lambda fields: fields | {"status": "writen"},
        lambda fields: fields | {"frame_xxh3": "00"},
    ],
)
def test_a_wrong_row_is_refused_and_named(tmp_path: Path, change) -> None:
    record_all(tmp_path)
    path = tmp_path / LEDGER_FOLDER / "00000000.json"
    fields = change(json.loads(path.read_text())["row"])
    path.write_text(json.dumps({"row": fields, "sha256": canonical_sha256(fields)}))
    with pytest.raises(SchemaError, match=r"Ledger row 00000000.json cannot be read: .*Delete it to redo"):
        ledger.read_ledger(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "not json",
        lambda text: "[]",
        lambda text: text.replace('"num_frames": 2', '"num_frames": 1'),
        lambda text: text.replace('"sha256": "', '"sha256": "0', 1),
    ],
)
def test_a_damaged_row_is_refused_and_named(tmp_path: Path, change) -> None:
    record_all(tmp_path)
    path = tmp_path / LEDGER_FOLDER / "00000000.json"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(SchemaError, match=r"Ledger row 00000000.json cannot be read: .*Delete it to redo"):
        ledger.read_ledger(tmp_path)


def test_a_ledger_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"slot": pa.array([0], pa.int32())}), tmp_path / LEDGER_TABLE)
    with pytest.raises(
        SchemaError, match=r"Table ledger.parquet has columns slot: int32; format 1 requires slot"
    ):
        ledger.read_ledger(tmp_path)


def test_the_ledger_table_keeps_its_schema_on_disk(tmp_path: Path) -> None:
    record_all(tmp_path)
    ledger.merge(tmp_path)
    assert pq.read_schema(tmp_path / LEDGER_TABLE).remove_metadata() == LEDGER_SCHEMA


def test_a_row_refuses_an_unknown_status() -> None:
    with pytest.raises(SchemaError, match="Slot 4 has status 'done'; expected 'written' or 'rejected'"):
        written_row(4, status="done")


@pytest.mark.parametrize(
    "changes", [{"num_frames": 0, "frame_xxh3": b""}, {"num_frames": 3}, {"status": "rejected"}]
)
def test_a_row_refuses_frames_that_do_not_fit_its_hashes(changes: dict[str, object]) -> None:
    with pytest.raises(
        SchemaError, match=r"Slot 4 is \w+ with \d frames and \d+ bytes of hashes; a written slot"
    ):
        written_row(4, **changes)


def test_frame_hashes_cover_latent_scale_state_and_action_in_that_order() -> None:
    rng = np.random.default_rng(0)
    frames = {
        "actions": rng.normal(size=(3, 7)).astype(np.float32),
        "states": rng.normal(size=(3, 7)).astype(np.float32),
        "thumbnails": np.zeros((3, 64, 64, 3), np.uint8),
        "token_scale": rng.normal(size=(3, 4)).astype(np.float16),
        "latents": rng.integers(-127, 127, size=(3, 4, 8), dtype=np.int8),
    }
    order = ("latents", "token_scale", "states", "actions")
    expected = [
        xxhash.xxh3_64_digest(b"".join(frames[name][t].tobytes() for name in order)) for t in range(3)
    ]
    hashes = frame_hashes(frames)
    assert hashes == b"".join(expected)
    assert written_row(0, num_frames=3, frame_xxh3=hashes).hash_of(1) == expected[1]
