"""Which windows reading is measured on."""

import numpy as np

from pipeline.bench.windows import disjoint_windows, micro_batches, shuffled
from store_schema.store import Store


def test_windows_share_no_frame_and_stay_inside_their_trajectory(tiny_store):
    trajectories = [t for t in Store.open(tiny_store).split("train") if t.num_frames >= 16]
    windows = disjoint_windows(trajectories, 16)
    frames = (windows[:, None] + np.arange(16)).ravel()
    owned = np.concatenate([np.arange(t.first_frame, t.first_frame + t.num_frames) for t in trajectories])
    assert len(set(frames)) == len(frames)
    assert set(frames) <= set(owned)
    # 40, 129, 16 and 24 frames hold 2, 8, 1 and 1 windows of 16.
    assert len(windows) == 12


def test_windows_come_in_an_order_that_is_random_and_repeats(tiny_store):
    trajectories = Store.open(tiny_store).split("train")
    windows = disjoint_windows(trajectories, 4)
    assert not np.array_equal(windows, np.sort(windows))
    assert np.array_equal(windows, disjoint_windows(trajectories, 4))


def test_batches_are_full_and_windows_come_again_where_there_are_too_few():
    batches = micro_batches(np.arange(5), 2, at_least=4)
    assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3], [4, 0], [1, 2]]
    assert [batch.tolist() for batch in micro_batches(np.arange(5), 2)] == [[0, 1], [2, 3]]


def test_shuffling_keeps_every_trajectory(tiny_store):
    trajectories = Store.open(tiny_store).trajectories
    mixed = shuffled(trajectories)
    assert mixed != list(trajectories)
    assert sorted(mixed, key=lambda t: t.index) == list(trajectories)
