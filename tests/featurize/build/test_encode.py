"""`encode` of a slot is a pure function: the same bytes in any order, and of its own frames alone."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from featurize import encode as module
from featurize.encode import STAGE_AHEAD, ahead, encode, encode_slots, pending_slots
from featurize.encoder.registry import load_encoder
from featurize.errors import UnknownSlotsError
from featurize.finalise import finalise
from store_schema.errors import FingerprintMismatchError
from store_schema.integrity import digest
from store_schema.store import Store

from .builds import differing_frames, folder_of, frame_arrays, write_lossless_video

LIMIT_SECONDS = 30
SEEN_BY_THE_ENCODER = ("latents", "token_scale", "thumbnails")


def encoded(build, encoder, slots=None):
    encode(build, encoder, slots)
    return build


def sealed_digest(build):
    finalise(build)
    return digest(build.store)


@pytest.mark.parametrize(("split", "step"), [("train", 130), ("train", 0), ("validation", 7)])
def test_changing_one_source_frame_changes_only_that_frames_latent(
    prepared, make_prepared, encoder, source, tmp_path, split, step
):
    """Step 130 lies in the second slot of its trajectory."""
    trajectory = next(
        t for t in Store.open(prepared.store).planned_trajectories if t.split == split and t.num_frames > step
    )
    changed_source = tmp_path / "changed"
    for root in (tmp_path / "whole", changed_source):
        shutil.copytree(source, root)
    video = folder_of(tmp_path / "whole", trajectory.episode_id).video
    num_frames = len(
        folder_of(source, trajectory.episode_id).read_rows("observation/robot_state/gripper_position")
    )
    write_lossless_video(video, num_frames)
    whole = encoded(make_prepared("whole.zarr", source_root=tmp_path / "whole"), encoder)
    address = trajectory.first_frame + step
    before = frame_arrays(whole.store)
    row = before["source_index"][address]

    def invert(number, picture):
        if number == row:
            np.subtract(255, picture, out=picture)

    write_lossless_video(folder_of(changed_source, trajectory.episode_id).video, num_frames, invert)
    changed = encoded(make_prepared("changed.zarr", source_root=changed_source), encoder)
    after = frame_arrays(changed.store)
    assert Store.open(changed.store).missing_slots() == []
    assert all(row.status == "written" for row in Store.open(changed.store).ledger.values())
    for name, values in before.items():
        expected = [address] if name in SEEN_BY_THE_ENCODER else []
        assert differing_frames(values, after[name]) == expected, name


def test_slots_in_reversed_order_one_by_one_give_the_same_store(make_prepared, encoder, finished):
    build = make_prepared()
    for slot in reversed(pending_slots(build)):
        assert encode(build, encoder, [slot]) == 1
    assert sealed_digest(build) == digest(finished.store)


def test_many_decoders_and_writers_at_once_give_the_same_store(make_prepared, encoder, finished, monkeypatch):
    """As beside a GPU."""
    monkeypatch.setattr(module, "most_decoders", lambda device, workers: 4)
    monkeypatch.setattr(module, "most_writers", lambda device: 4)
    assert sealed_digest(encoded(make_prepared(), encoder)) == digest(finished.store)


def test_a_second_encode_finds_nothing_to_do(make_prepared, encoder):
    build = encoded(make_prepared(), encoder)
    times = {path: path.stat().st_mtime_ns for path in build.store.rglob("*") if path.is_file()}
    assert encode(build, encoder) == 0
    assert times == {path: path.stat().st_mtime_ns for path in build.store.rglob("*") if path.is_file()}


def test_only_the_slots_asked_for_are_encoded(make_prepared, encoder):
    build = encoded(make_prepared(), encoder, [3, 1])
    assert sorted(Store.open(build.store).ledger) == [1, 3]
    assert pending_slots(build) == [0, 2, 4, 5, 6]
    assert encode(build, encoder, [1, 2, 3]) == 1


def test_rows_are_reported_once_they_are_on_disk_and_in_the_order_given(make_prepared, encoder):
    build = make_prepared()
    slots = [4, 0, 2]
    for row, slot in zip(encode_slots(build, encoder, slots), slots, strict=True):
        assert row.slot == slot
        assert Store.open(build.store).ledger[slot] == row


def test_refuses_slots_that_the_plan_does_not_have(prepared, encoder):
    with pytest.raises(UnknownSlotsError, match=r"Slots \[-1, 7\] do not exist; the plan has slots 0 to 6\."):
        encode(prepared, encoder, [-1, 0, 7])


def test_refuses_an_encoder_that_the_store_was_not_planned_for(prepared):
    bfloat16 = load_encoder(prepared.recipe.encoder, dtype=torch.bfloat16)
    with pytest.raises(
        FingerprintMismatchError,
        match=r"encoder.compute_dtype: store has float32, asked for bfloat16\. Use the settings of the store",
    ):
        encode(prepared, bfloat16)


def test_work_runs_ahead_by_a_bounded_number_of_items():
    """What is decoded but not yet encoded is held in memory."""
    taken, is_open = [], threading.Event()
    is_open.set()
    with ThreadPoolExecutor(1) as pool:
        for number, result in enumerate(ahead(pool, square_when(is_open), noted(taken))):
            assert result == number**2
            assert len(taken) <= number + 1 + STAGE_AHEAD


def test_where_results_are_waited_for_more_is_in_work_up_to_the_most():
    most, taken, in_work = 5, [], []
    with ThreadPoolExecutor(1) as pool:
        for number, _ in enumerate(ahead(pool, lambda _: time.sleep(0.02), noted(taken), most)):
            in_work.append(len(taken) - number - 1)
    assert in_work[0] == STAGE_AHEAD
    assert max(in_work) == most


def test_where_results_are_there_no_more_is_in_work_than_before():
    taken, is_open = [], threading.Event()
    is_open.set()
    with ThreadPoolExecutor(1) as pool:
        results = ahead(pool, square_when(is_open), noted(taken, pool), most=10)
        for number, _ in enumerate(results):
            assert len(taken) <= number + 1 + STAGE_AHEAD


NUM_ITEMS = 20


def noted(taken, idle_pool=None):
    """Items; with a pool, each only when the work before it is done."""
    for item in range(NUM_ITEMS):
        if idle_pool is not None:
            idle_pool.submit(int).result()
        taken.append(item)
        yield item


def square_when(is_open):
    def square(item):
        assert is_open.wait(LIMIT_SECONDS)
        return item**2

    return square
