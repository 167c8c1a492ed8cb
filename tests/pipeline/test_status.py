"""`status` on a store in every state: unfinished, growing, damaged, and none at all."""

import json
import os
import shutil
import time

import pytest

from pipeline.build_rate import build_rate
from pipeline.commands.store_lines import duration
from pipeline.store_accounts import STATUS_NAMES
from store_schema.integrity import digest
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, Reject, write_table

from .store_states import NUM_SLOTS, SLOTS_DONE

NEXT_STEPS = {
    "indexed": "to plan, calibrate, encode and seal.",
    "planned": "to calibrate, encode and seal.",
    "calibrated": "to encode the slots that are missing, and seal.",
    "partly_encoded": "to encode the slots that are missing, and seal.",
    "encoded": "to seal it.",
    "sealed": "Run `permafrost train --store",
    "being_extended": "to encode the slots that are missing, and seal.",
}


@pytest.fixture
def status(permafrost):
    def run(store):
        code, out, err = permafrost("status", store, "--json")
        assert err == ""
        account = json.loads(out)
        assert tuple(account) == STATUS_NAMES
        assert code == (1 if account["faults"] else 0)
        return account

    return run


@pytest.fixture
def copy_of(store_states, tmp_path):
    return lambda name: shutil.copytree(store_states[name], tmp_path / "copy.zarr")


@pytest.mark.parametrize("state", NEXT_STEPS)
def test_every_state_is_named_with_what_comes_next(status, store_states, state):
    account = status(store_states[state])
    assert (account["state"], account["faults"]) == (state, [])
    assert NEXT_STEPS[state] in account["next_step"]


@pytest.mark.parametrize("state", NEXT_STEPS)
def test_a_look_changes_nothing(permafrost, store_states, state):
    before = digest(store_states[state])
    assert permafrost("status", store_states[state])[0] == 0
    assert permafrost("inspect", store_states[state])[0] == 0
    assert digest(store_states[state]) == before


def test_an_indexed_store_says_what_was_found(status, copy_of):
    store = copy_of("indexed")
    rejects = [
        Reject(episode_id=f"bad-{n}", stage="index", reason=reason, detail="")
        for n, reason in enumerate(("too_short", "video_missing", "too_short"))
    ]
    write_table(store / "build" / "rejects.parquet", rejects, REJECT_SCHEMA)
    account = status(store)
    assert (account["usable_episodes"], account["usable_streams"]) == (6, 6)
    assert account["rejects"] == {"too_short": 2, "video_missing": 1}
    assert (account["encoder"], account["clock"]) == ("vit-tiny-random", "physical")


def test_a_build_that_has_not_got_to_the_end_of_index_is_begun(status, tmp_path):
    (tmp_path / "store.zarr" / "build").mkdir(parents=True)
    account = status(tmp_path / "store.zarr")
    assert account["state"] == "begun"
    assert account["next_step"].endswith("the source is not indexed yet, or is being indexed now.")


def test_a_planned_store_has_everything_before_it(status, store_states):
    account, store = status(store_states["planned"]), Store.open(store_states["planned"])
    assert (account["frames"], account["slots_done"], account["bytes"]) == (0, 0, 0)
    assert account["planned_frames"] == sum(t.num_frames for t in store.planned_trajectories)
    assert account["planned_hours"] == pytest.approx(account["planned_frames"] / 4 / 3600)


def test_a_half_encoded_store_counts_what_is_done(status, store_states):
    account, store = status(store_states["partly_encoded"]), Store.open(store_states["partly_encoded"])
    assert (account["slots_done"], account["slots"], account["sealed"]) == (len(SLOTS_DONE), NUM_SLOTS, False)
    assert (account["episodes"], account["trajectories"], account["planned_trajectories"]) == (1, 1, 6)
    assert account["frames"] == store.planned_trajectories[0].num_frames + 128
    assert account["hours"] == pytest.approx(account["frames"] / 4 / 3600)


def test_a_sealed_store_has_all_that_was_planned(status, store_states):
    account, store = status(store_states["sealed"]), Store.open(store_states["sealed"])
    for name in ("episodes", "trajectories", "frames", "hours", "bytes"):
        assert account[name] == account[f"planned_{name}"]
    assert (account["episodes"], account["slots"], account["slots_done"]) == (6, NUM_SLOTS, NUM_SLOTS)
    assert account["fingerprint"] == store.attributes.fingerprint.sha256()
    assert account["bytes_per_frame"] == 16 * 96 + 16 * 2
    assert account["frames_per_second"] is None


@pytest.mark.parametrize("state", ["partly_encoded", "encoded", "sealed"])
def test_bytes_are_those_of_the_files_of_finished_slots(status, store_states, state):
    files = [f for f in store_states[state].glob("*/c/**/*") if f.is_file()]
    per_frame = [f for f in files if f.relative_to(store_states[state]).parts[0] not in CHANNEL_ARRAYS]
    assert status(store_states[state])["bytes"] == sum(f.stat().st_size for f in per_frame)


CHANNEL_ARRAYS = ("channel_mean", "channel_std")


def test_planned_bytes_differ_from_the_final_ones_by_the_thumbnails_alone(status, store_states):
    final = status(store_states["sealed"])["bytes"]
    assert status(store_states["partly_encoded"])["planned_bytes"] == pytest.approx(final, rel=0.05)
    assert status(store_states["encoded"])["planned_bytes"] == final
    planned, store = status(store_states["planned"])["planned_bytes"], Store.open(store_states["sealed"])
    thumbnails = sum(f.stat().st_size for f in store.path.glob("thumbnails/c/**/*") if f.is_file())
    raw = 64 * 64 * 3 * store.planned_frames
    assert planned == final - thumbnails + raw


def test_a_growing_store_tells_its_revision(status, store_states):
    account = status(store_states["being_extended"])
    assert (account["revision"], account["sealed"]) == (2, False)


class TestDamaged:
    """What can still be read is told, beside the fault and with exit code 1."""

    def damaged(self, status, store):
        account = status(store)
        assert account["state"] == "damaged"
        assert f"permafrost verify {store}" in account["next_step"]
        return account

    def test_a_table_of_trajectories_that_cannot_be_read(self, status, copy_of):
        store = copy_of("partly_encoded")
        (store / "trajectories.parquet").write_bytes(b"PAR1 no more")
        account = self.damaged(status, store)
        assert "trajectories.parquet" in account["faults"][0]
        assert account["planned_frames"] is None
        assert (account["encoder"], account["slots_done"]) == ("vit-tiny-random", len(SLOTS_DONE))

    def test_a_ledger_row_that_cannot_be_read(self, status, copy_of):
        store = copy_of("partly_encoded")
        (store / "ledger" / "00000003.json").write_text("{")
        account = self.damaged(status, store)
        assert "00000003.json" in account["faults"][0]
        assert (account["planned_trajectories"], account["slots_done"]) == (6, None)

    def test_a_ledger_row_that_is_a_folder(self, status, copy_of):
        store = copy_of("partly_encoded")
        (store / "ledger" / "00000005.json").mkdir()
        account = self.damaged(status, store)
        assert "Is a directory" in account["faults"][0]
        assert (account["planned_trajectories"], account["slots_done"]) == (6, None)

    def test_root_attributes_that_cannot_be_read(self, status, copy_of):
        store = copy_of("sealed")
        (store / "zarr.json").write_bytes(b"\xff\x00")
        account = self.damaged(status, store)
        assert len(account["faults"]) == 1
        assert "zarr.json" in account["faults"][0]
        assert (account["encoder"], account["slots_done"], account["planned_trajectories"]) == (
            None, NUM_SLOTS, 6)  # fmt: skip

    def test_every_fault_is_named(self, status, copy_of):
        store = copy_of("partly_encoded")
        (store / "rejects.parquet").unlink()
        shutil.rmtree(store / "states")
        faults = self.damaged(status, store)["faults"]
        assert ["states" in faults[0], "rejects.parquet" in faults[1], len(faults)] == [True, True, 2]

    def test_root_metadata_that_is_gone(self, status, copy_of):
        store = copy_of("sealed")
        (store / "zarr.json").unlink()
        assert "zarr.json is missing" in self.damaged(status, store)["faults"][0]

    def test_a_sealed_ledger_that_cannot_be_read(self, status, copy_of):
        store = copy_of("sealed")
        (store / "ledger.parquet").write_bytes(b"")
        assert "ledger.parquet" in self.damaged(status, store)["faults"][0]

    def test_an_index_that_cannot_be_read(self, status, copy_of):
        store = copy_of("indexed")
        (store / "build" / "episodes.parquet").write_bytes(b"")
        (store / "build" / "recipe.json").write_text('{"clock": "sundial"}')
        account = status(store)
        assert account["state"] == "indexed"
        assert "episodes.parquet" in account["faults"][0]
        assert "build/recipe.json is not a recipe: clock:" in account["faults"][1]

    def test_people_read_the_fault_in_the_table(self, permafrost, copy_of):
        store = copy_of("partly_encoded")
        (store / "trajectories.parquet").unlink()
        code, out, err = permafrost("status", store)
        assert (code, err) == (1, "")
        assert "fault" in out
        assert "trajectories.parquet" in out


def test_people_read_a_line_a_subject(permafrost, store_states):
    code, out, err = permafrost("status", store_states["partly_encoded"])
    assert (code, err) == (0, "")
    lines = {
        line.split("│")[1].strip(): line.split("│")[2].strip() for line in out.splitlines() if "│" in line
    }
    assert lines["state"] == "partly encoded"
    assert lines["slots"] == "2 of 7 (29%)"
    assert lines["trajectories"] == "1 of 6"
    assert lines["bytes per frame"] == "1,568"
    assert lines["rejects"] == "none"
    assert lines["rate"]
    assert "usable" not in lines


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist; `permafrost featurize --source ... --store"),
        (lambda path: path.write_text(""), "is a file, not a folder;"),
        (lambda path: path.mkdir(), "holds no feature store and no part of one;"),
    ],
)
@pytest.mark.parametrize("command", ["status", "inspect"])
def test_where_there_is_no_store_one_line_says_so(permafrost, tmp_path, command, make, message):
    path = tmp_path / "[red]none.zarr"
    make(path)
    code, out, err = permafrost(command, path, "--json")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert f"{path} {message}" in err


PLANNED = {slot: 100 + slot for slot in range(200)}


class TestRate:
    """Rows appear at known times: slot n holds 100 + n frames."""

    @pytest.fixture
    def settle(self, tmp_path):
        """`settle(slot, when)` writes the row of a slot at a time in seconds."""
        (tmp_path / "ledger").mkdir()

        def write(slot, when):
            row = tmp_path / "ledger" / f"{slot:08d}.json"
            row.touch()
            os.utime(row, (when, when))

        return write

    def rate(self, tmp_path, now, missing_frames=1_000):
        return build_rate(tmp_path, PLANNED, missing_frames, now=now)

    def test_the_first_slot_only_starts_the_clock(self, tmp_path, settle):
        for slot, when in ((4, 1_000), (0, 1_010), (2, 1_030)):
            settle(slot, when)
        rate = self.rate(tmp_path, now=1_035)
        assert rate.frames_per_second == pytest.approx((100 + 102) / 30)
        assert rate.seconds_left == pytest.approx(1_000 * 30 / 202)
        assert rate.idle_seconds == 5

    def test_fewer_than_two_slots_have_no_rate(self, tmp_path, settle):
        assert self.rate(tmp_path, now=1_000).idle_seconds is None
        settle(0, 1_000)
        rate = self.rate(tmp_path, now=1_002)
        assert (rate.frames_per_second, rate.seconds_left, rate.idle_seconds) == (None, None, 2)

    def test_a_resumed_build_is_measured_from_where_it_went_on(self, tmp_path, settle):
        for slot, when in enumerate((0, 10, 20, 50_000, 50_005, 50_010)):
            settle(slot, when)
        assert self.rate(tmp_path, now=50_011).frames_per_second == pytest.approx((104 + 105) / 10)

    def test_a_build_that_has_stopped_has_no_rate(self, tmp_path, settle):
        for slot, when in enumerate((0, 10, 20)):
            settle(slot, when)
        rate = self.rate(tmp_path, now=20 + 720)
        assert (rate.frames_per_second, rate.idle_seconds) == (None, 720)

    def test_slow_slots_are_no_pause(self, tmp_path, settle):
        for slot in range(4):
            settle(slot, 900 * slot)
        rate = self.rate(tmp_path, now=2_700 + 1_200)
        assert rate.frames_per_second == pytest.approx((101 + 102 + 103) / 2_700)

    def test_only_the_last_slots_count(self, tmp_path, settle):
        for slot in range(200):
            settle(slot, slot * 30 if slot < 136 else 135 * 30 + (slot - 135) * 2)
        expected = sum(100 + slot for slot in range(137, 200)) / (63 * 2)
        assert self.rate(tmp_path, now=135 * 30 + 128).frames_per_second == pytest.approx(expected)

    def test_a_clock_that_is_behind_gives_no_negative_times(self, tmp_path, settle):
        settle(0, 1_000)
        settle(1, 1_000)
        rate = self.rate(tmp_path, now=900)
        assert (rate.idle_seconds, rate.frames_per_second) == (0, None)

    def test_a_status_shows_rate_and_time_left(self, status, copy_of):
        store = copy_of("partly_encoded")
        now = time.time()
        for slot, seconds_ago in ((0, 8), (3, 0)):
            os.utime(store / f"ledger/{slot:08d}.json", (now - seconds_ago, now - seconds_ago))
        account = status(store)
        missing = account["planned_frames"] - account["frames"]
        assert account["frames_per_second"] == pytest.approx(128 / 8)
        assert account["seconds_left"] == pytest.approx(missing / (128 / 8))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (720, "12 min"), (7_200, "2.0 h"), (600_000, "7 days")]
)
def test_durations_are_in_the_unit_that_people_would_take(seconds, text):
    assert duration(seconds) == text
