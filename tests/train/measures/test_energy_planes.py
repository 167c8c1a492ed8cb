import numpy as np
import pytest
import torch

from train.measures.energy_planes import PLANES, energy_planes

BOUND = 0.05


def shift_of(x: float, y: float, z: float) -> torch.Tensor:
    return torch.tensor([x, y, z, 0.0, 0.0, 0.0, 0.0])


def test_a_planner_that_knows_has_its_minimum_at_the_recorded_action(told_planner, told_steps):
    (step,) = told_steps(1)
    for plane in energy_planes(told_planner(), step):
        half_a_place = (plane.metres_G[1] - plane.metres_G[0]) / 2
        assert np.abs(np.subtract(plane.minimum_metres, plane.recorded_metres)).max() <= half_a_place
        assert plane.recorded_metres == tuple(step.actions_TA[0, list(plane.axes)].tolist())
        assert plane.recorded_energy == pytest.approx(0.0, abs=1e-6)
        assert plane.share_below == 0.0


def test_every_place_is_the_recorded_action_with_two_axes_replaced(told_planner, told_steps):
    # The told planner's energy is the sum of absolute differences to the action that it believes in.
    (step,) = told_steps(1, offset_A=shift_of(0.01, -0.02, 0.03))
    believed_A = (step.actions_TA[0] + shift_of(0.01, -0.02, 0.03)).numpy()
    for axes, plane in zip(PLANES, energy_planes(told_planner(), step, places=5), strict=True):
        assert plane.axes == axes
        assert plane.metres_G.tolist() == pytest.approx([-BOUND, -BOUND / 2, 0.0, BOUND / 2, BOUND])
        for row, up in enumerate(plane.metres_G):
            for column, across in enumerate(plane.metres_G):
                action_A = step.actions_TA[0].numpy().copy()
                action_A[list(axes)] = across, up
                expected = np.abs(action_A - believed_A).sum()
                assert plane.energy_GG[row, column] == pytest.approx(expected, abs=1e-6)


def test_the_minimum_is_where_the_energy_is_lowest_and_its_distance_is_within_the_plane(
    told_planner, told_steps
):
    (step,) = told_steps(1)
    recorded_A = step.actions_TA[0]
    wanted_A = recorded_A.clone()
    wanted_A[:3] = torch.tensor([BOUND, -BOUND / 2, 0.0])
    step.latents_TND[1, 0] = wanted_A
    flat, upright = energy_planes(told_planner(), step, places=5)
    assert flat.minimum_metres == pytest.approx((BOUND, -BOUND / 2))
    assert upright.minimum_metres == pytest.approx((BOUND, 0.0))
    assert flat.minimum_off_metres == pytest.approx(float((wanted_A - recorded_A)[:2].norm()), abs=1e-6)


def test_a_planner_that_believes_the_opposite_ranks_the_recorded_action_last(told_planner, told_steps):
    (step,) = told_steps(1)
    assert all(plane.share_below == 1.0 for plane in energy_planes(told_planner(sign=-1.0), step))
    assert all(plane.share_below == 0.5 for plane in energy_planes(told_planner(sign=0.0), step))
