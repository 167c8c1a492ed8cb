import numpy as np
import pytest
import torch

from store_schema.store import Store
from train.evaluation import CLIP_FRAMES
from train.held_out import HeldOutClips
from train.measures.fitting_clips import fitting_clips
from train.measures.steps import spread_over_trajectories, steps_of
from train.view import View

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def view(tiny_store):
    return View.of_store(Store.open(tiny_store), CPU)


def test_every_start_becomes_one_step_with_its_own_trajectory(view):
    starts = HeldOutClips.of(view, CLIP_FRAMES)
    steps = list(steps_of(starts))
    assert [step.trajectory for step in steps] == starts.trajectory_S.tolist()
    whole = torch.cat([clips.states_BTA[:-1] for clips in starts.batches(5)])
    assert torch.equal(torch.stack([step.states_TA for step in steps]), whole)


def test_few_starts_are_spread_over_the_trajectories(view):
    starts = HeldOutClips.of(view, CLIP_FRAMES)
    chosen = spread_over_trajectories(starts, 6)
    assert sorted(np.unique(chosen.trajectory_S, return_counts=True)[1].tolist()) == [3, 3]
    assert set(chosen.start_S.tolist()) <= set(starts.start_S.tolist())
    assert len(spread_over_trajectories(starts, 999)) == len(starts)


def test_baselines_are_fitted_on_training_trajectories_alone(view):
    of_training = {
        tuple(state)
        for clips in fitting_clips(view, clip_frames=4, num_clips=50, batch_clips=8)
        for state in clips.states_BTA.flatten(0, 1).tolist()
    }
    held_out = {
        tuple(state)
        for step in steps_of(HeldOutClips.of(view, CLIP_FRAMES))
        for state in step.states_TA.tolist()
    }
    assert len(of_training) > 20
    assert not of_training & held_out


def test_no_clip_is_fitted_on_twice(view):
    clips = list(fitting_clips(view, clip_frames=4, num_clips=500, batch_clips=8))
    first_states = [tuple(state) for batch in clips for state in batch.states_BTA[:, 0].tolist()]
    assert 8 < len(first_states) == len(set(first_states)) < 500


def test_the_change_over_steps_is_that_of_the_states(view):
    step = next(steps_of(HeldOutClips.of(view, CLIP_FRAMES)))
    torch.testing.assert_close(step.change(3)[:3], step.states_TA[3, :3] - step.states_TA[0, :3])
    torch.testing.assert_close(step.change(1), step.actions_TA[0], rtol=1e-4, atol=1e-5)
