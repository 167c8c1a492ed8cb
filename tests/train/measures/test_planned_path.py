import numpy as np
import pytest
import torch

from train.measures.planned_path import planned_path


def test_the_way_adds_up_the_plan_and_the_recorded_one_is_as_measured(told_planner, told_steps):
    (step,) = told_steps(1)
    # Told to move by what it believes in one step, a third of it in each of three.
    believed_A = step.latents_TND[3, 0]
    path = planned_path(told_planner(horizon=3), step)
    assert path.planned_metres.shape == path.recorded_metres.shape == (4, 3)
    for after in range(4):
        expected_3 = step.states_TA[0, :3] + believed_A[:3] * after / 3
        assert path.planned_metres[after] == pytest.approx(expected_3.numpy(), abs=1e-6)
    assert path.recorded_metres == pytest.approx(step.states_TA[:4, :3].numpy())
    ends_apart_3 = step.states_TA[0, :3] + believed_A[:3] - step.states_TA[3, :3]
    assert path.off_metres == pytest.approx(float(ends_apart_3.norm()), abs=1e-6)


def test_distances_are_those_of_the_plan_and_of_doing_nothing(told_planner, told_steps):
    (step,) = told_steps(1)
    path = planned_path(told_planner(horizon=1), step)
    assert path.off_metres == pytest.approx(0.0, abs=1e-6)
    moved = float((step.states_TA[1, :3] - step.states_TA[0, :3]).norm())
    assert path.moved_metres == pytest.approx(moved, abs=1e-6)
    assert path.energy == pytest.approx(0.0, abs=1e-6)
    assert path.recorded_energy == pytest.approx(0.0, abs=1e-6)
    assert path.idle_energy == pytest.approx(float(step.actions_TA[0].abs().sum()), abs=1e-5)


def test_a_plan_that_is_wrong_ends_as_far_off_as_it_is_wrong(told_planner, told_steps):
    wrong_A = torch.tensor([0.03, 0.0, -0.04, 0.0, 0.0, 0.0, 0.0])
    (step,) = told_steps(1, offset_A=wrong_A)
    path = planned_path(told_planner(horizon=1), step)
    assert path.off_metres == pytest.approx(0.05, abs=1e-6)
    assert path.recorded_energy == pytest.approx(0.07, abs=1e-6)
    assert np.allclose(path.planned_metres[0], path.recorded_metres[0])
