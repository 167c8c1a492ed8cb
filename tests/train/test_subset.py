import dataclasses

import pytest

from store_schema.store import Store
from train.subset import SubsetError, long_enough, nested_subset


@pytest.fixture(scope="module")
def trajectories(make_store, tmp_path_factory):
    """Twenty episodes of 36 frames at 4 Hz, that is of 0.0025 hours."""
    path = make_store(tmp_path_factory.mktemp("subset") / "s.zarr", trajectories=[(36, "train")] * 20)
    return Store.open(path).split("train")


def subset(trajectories, hours, subset_seed=0):
    return nested_subset(trajectories, hours=hours, subset_seed=subset_seed, frame_rate_hz=4.0)


def test_fewer_hours_are_contained_in_more(trajectories):
    sizes = []
    for hours in (0.0025, 0.01, 0.02, 0.04):
        assert set(subset(trajectories, hours)) <= set(subset(trajectories, hours + 0.01))
        sizes.append(len(subset(trajectories, hours)))
    assert sizes == [1, 4, 8, 16]


def test_the_seed_decides_which_episodes(trajectories):
    assert subset(trajectories, 0.01) == subset(trajectories, 0.01)
    assert subset(trajectories, 0.01) != subset(trajectories, 0.01, subset_seed=1)


def test_views_of_one_episode_come_together_and_count_once(trajectories):
    views = [dataclasses.replace(t, index=t.index + 20, view=1) for t in trajectories]
    chosen = subset([*trajectories, *views], 0.01)
    assert len(chosen) == 8
    assert len({t.episode_id for t in chosen}) == 4


def test_refuses_more_hours_than_there_are(trajectories):
    with pytest.raises(SubsetError, match=r"hours is 1.0, but the training split holds 0.05. Lower hours"):
        subset(trajectories, 1.0)


def test_refuses_when_no_trajectory_holds_a_clip(trajectories):
    with pytest.raises(
        SubsetError, match=r"No training trajectory has 37 frames.*longest has 36. Lower clip_frames"
    ):
        long_enough(trajectories, 37)
    assert long_enough(trajectories, 36) == trajectories
