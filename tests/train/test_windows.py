import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_schema.store import Store
from store_schema.tables import Trajectory
from train.windows import SampleBy, WindowSampler

CLIP_FRAMES = 16


@pytest.fixture(scope="module")
def training_split(tiny_store):
    """Four trajectories of 40, 129, 16 and 24 frames; the one of 12 holds no clip."""
    return tuple(t for t in Store.open(tiny_store).split("train") if t.num_frames >= CLIP_FRAMES)


def sampler_over(trajectories, **chosen):
    defaults = {"clip_frames": CLIP_FRAMES, "batch_clips": 8, "sample_by": SampleBy.WINDOW, "seed": 0}
    return WindowSampler.over(trajectories, **{**defaults, **chosen})


def all_windows(trajectories: tuple[Trajectory, ...], clip_frames: int = CLIP_FRAMES) -> set[int]:
    return {t.first_frame + i for t in trajectories for i in range(t.num_frames - clip_frames + 1)}


def test_a_draw_depends_on_seed_and_step_alone(training_split):
    sampler, again = sampler_over(training_split), sampler_over(training_split)
    again.draw(3)
    np.testing.assert_array_equal(again.draw(7), sampler.draw(7))
    assert not np.array_equal(sampler.draw(7), sampler.draw(8))
    assert not np.array_equal(sampler.draw(7), sampler_over(training_split, seed=1).draw(7))


def test_draws_are_those_of_the_first_version(training_split):
    """A checkpoint of any version continues with the same clips; these numbers must never change."""
    assert sampler_over(training_split).draw(0).tolist() == [157, 235, 17, 135, 644, 12, 229, 158]
    by_episode = sampler_over(training_split, sample_by=SampleBy.EPISODE)
    assert by_episode.draw(0).tolist() == [384, 22, 141, 641, 24, 2, 224, 643]


@pytest.mark.parametrize("sample_by", SampleBy)
def test_every_window_can_be_drawn_the_last_ones_too(training_split, sample_by):
    drawn = sampler_over(training_split, batch_clips=20_000, sample_by=sample_by).draw(0)
    assert set(drawn.tolist()) == all_windows(training_split)


def test_windows_are_drawn_uniformly(training_split):
    drawn = sampler_over(training_split, batch_clips=149_000).draw(0)
    counts = Counter(drawn.tolist())
    assert len(counts) == 149
    assert 850 < min(counts.values()) <= max(counts.values()) < 1_150


def test_episodes_are_drawn_uniformly_whatever_their_length_and_number_of_views(training_split):
    second_view = dataclasses.replace(training_split[0], index=99, first_slot=50)
    trajectories = (*training_split, second_view)
    sampler = sampler_over(trajectories, batch_clips=40_000, sample_by=SampleBy.EPISODE)
    episode_of = {w: t.episode_id for t in trajectories for w in all_windows((t,))}
    counts = Counter(episode_of[window] for window in sampler.draw(0).tolist())
    assert len(counts) == 4
    assert 9_600 < min(counts.values()) <= max(counts.values()) < 10_400


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_share_one_global_batch(training_split, world_size):
    ranks = [sampler_over(training_split, rank=r, world_size=world_size) for r in range(world_size)]
    together = np.concatenate([sampler.draw(5) for sampler in ranks])
    np.testing.assert_array_equal(together, sampler_over(training_split).draw(5))


@given(
    lengths=st.lists(st.integers(4, 400), min_size=1, max_size=6),
    step=st.integers(0, 10**6),
    sample_by=st.sampled_from(SampleBy),
)
def test_a_window_never_leaves_its_trajectory(lengths, step, sample_by):
    trajectories, first_slot = [], 0
    for index, num_frames in enumerate(lengths):
        trajectories.append(trajectory(index, first_slot, num_frames))
        first_slot += trajectories[-1].num_slots
    sampler = sampler_over(trajectories, clip_frames=4, batch_clips=64, sample_by=sample_by)
    assert set(sampler.draw(step).tolist()) <= all_windows(tuple(trajectories), 4)


def test_identity_tells_apart_what_draws_from_other_windows(training_split):
    whole, fewer = sampler_over(training_split), sampler_over(training_split[:-1])
    assert whole.identity_sha256() == sampler_over(training_split, seed=3).identity_sha256()
    assert whole.identity_sha256() != fewer.identity_sha256()


def trajectory(index: int, first_slot: int, num_frames: int) -> Trajectory:
    return Trajectory(
        index=index,
        episode_id=f"e{index}",
        lab="",
        success=True,
        task="",
        camera="left",
        decoder="pyav",
        view=0,
        phase=0.0,
        crop_top_px=0,
        crop_left_px=0,
        crop_height_px=1,
        crop_width_px=1,
        first_slot=first_slot,
        num_frames=num_frames,
        split="train",
    )
