import numpy as np
import pytest
import torch

from train.measures.planned_actions import action_score, planned_action_errors

OFFSET = torch.tensor([0.03, 0.0, -0.04, 0.0, 0.0, 0.0, 0.1])


def test_an_action_as_recorded_has_no_error(told_planner, told_steps):
    errors = planned_action_errors(told_planner(), told_steps(6))
    assert errors["xyz_centimetres"] == pytest.approx(0.0, abs=1e-4)
    assert errors["gripper"] == pytest.approx(0.0, abs=1e-6)
    assert errors["idle_centimetres"].min() > 0.5
    assert errors["idle_gripper"].max() > 0.1
    assert errors["rotation_degrees"] == pytest.approx(0.0, abs=1e-3)


def test_errors_are_those_of_the_end_of_the_plan(told_planner, told_steps):
    errors = planned_action_errors(told_planner(), told_steps(5, offset_A=OFFSET))
    assert errors["xyz_centimetres"] == pytest.approx(5.0, rel=1e-4)
    assert errors["xyz_sum_metres"] == pytest.approx(0.07, rel=1e-4)
    assert errors["gripper"] == pytest.approx(0.1, rel=1e-4)


def test_three_steps_are_compared_with_the_change_over_three(told_planner, told_steps):
    steps = told_steps(4)
    errors = planned_action_errors(told_planner(horizon=3), steps)
    for step, found in zip(steps, errors["xyz_centimetres"], strict=True):
        off_3 = step.actions_TA[2, :3] - step.actions_TA[:3, :3].sum(dim=0)
        assert found == pytest.approx(100 * off_3.norm().item(), rel=1e-4)


def test_rotation_that_nobody_plans_is_an_error(told_planner, told_steps):
    (step,) = told_steps(1)
    step.states_TA[1, 5] += 0.5
    errors = planned_action_errors(told_planner(), [step])
    assert errors["rotation_degrees"] == pytest.approx(np.degrees(0.5), rel=1e-3)


@pytest.mark.parametrize(("metres", "score"), [(0.0, 80.0), (0.05, 40.0), (0.1, 0.0), (0.3, 0.0)])
def test_the_action_score_is_800_for_every_metre_below_ten_centimetres(metres, score):
    assert action_score(np.array([metres, metres])) == pytest.approx(score)
