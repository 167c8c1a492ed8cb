import numpy as np
import pytest
import torch

from store_schema.store import Store
from train.evaluation import CLIP_FRAMES
from train.held_out import HeldOutClips
from train.measures.moving_steps import moving_steps
from train.measures.steps import spread_over_trajectories, steps_of
from train.planning.bounds import ActionBounds
from train.view import View

WIDE = ActionBounds(xyz_metres=100.0, gripper=1.0)
LENGTHS = [(12, "train"), (20, "validation"), (15, "validation"), (12, "validation")]


@pytest.fixture(scope="module")
def starts(make_store, tmp_path_factory) -> HeldOutClips:
    store = make_store(tmp_path_factory.mktemp("moving") / "store.zarr", trajectories=LENGTHS)
    return HeldOutClips.of(View.of_store(Store.open(store), torch.device("cpu")), CLIP_FRAMES)


def moved(step, horizon: int) -> float:
    return float((step.states_TA[horizon, :3] - step.states_TA[0, :3]).norm())


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_farthest_of_each_trajectory_comes_farthest_first(starts, horizon):
    best: dict[int, float] = {}
    for step in steps_of(starts):
        best[step.trajectory] = max(best.get(step.trajectory, 0.0), moved(step, horizon))
    expected = sorted(best.items(), key=lambda pair: -pair[1])
    found = moving_steps(starts, WIDE, horizon=horizon, num_starts=len(starts), num_chosen=2)
    assert [(m.step.trajectory, m.moved_metres) for m in found] == expected[:2]
    everyone = moving_steps(starts, WIDE, horizon=horizon, num_starts=len(starts), num_chosen=9)
    assert [(m.step.trajectory, m.moved_metres) for m in everyone] == expected


def test_says_where_its_frames_lie(starts):
    for moving in moving_steps(starts, WIDE, horizon=1, num_starts=len(starts), num_chosen=3):
        place = starts.start_S.tolist().index(moving.first_frame)
        assert starts.trajectory_S[place] == moving.step.trajectory
        again = list(steps_of(starts))[place]
        assert torch.equal(again.states_TA, moving.step.states_TA)


def test_steps_that_no_planner_may_take_are_passed_over(starts):
    limit = float(np.median([float(step.actions_TA[:3, :3].abs().max()) for step in steps_of(starts)]))
    bounds = ActionBounds(xyz_metres=limit, gripper=1.0)
    found = moving_steps(starts, bounds, horizon=3, num_starts=len(starts), num_chosen=3)
    assert found
    assert all(moving.step.actions_TA[:3, :3].abs().max() <= limit for moving in found)
    nowhere = ActionBounds(xyz_metres=1e-6, gripper=1.0)
    assert moving_steps(starts, nowhere, horizon=3, num_starts=len(starts), num_chosen=3) == ()


def test_only_the_starts_that_are_planned_for_are_looked_at(starts):
    found = moving_steps(starts, WIDE, horizon=1, num_starts=2, num_chosen=9)
    few = spread_over_trajectories(starts, 2)
    assert sorted(moving.first_frame for moving in found) == sorted(few.start_S.tolist())
