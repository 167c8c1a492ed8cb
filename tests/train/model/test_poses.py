import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from train.poses import euler_to_matrix, integrate_pose, matrix_to_euler, pose_difference

angles = st.floats(-2 * math.pi, 2 * math.pi, allow_nan=False)
poses = st.tuples(
    arrays(np.float64, 3, elements=st.floats(-1, 1)),
    arrays(np.float64, 3, elements=angles),
    arrays(np.float64, 1, elements=st.floats(0, 1)),
).map(lambda parts: torch.from_numpy(np.concatenate(parts)))


def test_integration_equals_the_reference_planner(golden_json):
    golden = {
        name: torch.tensor(rows, dtype=torch.float64) for name, rows in golden_json("poses.json").items()
    }
    torch.testing.assert_close(integrate_pose(golden["states"], golden["actions"]), golden["after"])


def test_difference_equals_the_reference_planner(golden_json):
    golden = {
        name: torch.tensor(rows, dtype=torch.float64) for name, rows in golden_json("poses.json").items()
    }
    torch.testing.assert_close(pose_difference(golden["states"], golden["after"]), golden["differences"])


@given(start=poses, end=poses)
def test_integrating_a_difference_arrives_at_the_end(start, end):
    arrived = integrate_pose(start, pose_difference(start, end))
    torch.testing.assert_close(arrived[:3], end[:3])
    torch.testing.assert_close(arrived[6:], end[6:])
    torch.testing.assert_close(euler_to_matrix(arrived[3:6]), euler_to_matrix(end[3:6]), rtol=0, atol=1e-6)


@given(state=poses)
def test_the_difference_of_equal_states_is_zero(state):
    torch.testing.assert_close(pose_difference(state, state), torch.zeros(7).double(), rtol=0, atol=1e-6)


@given(angles_radians=arrays(np.float64, (4, 3), elements=angles))
def test_matrices_equal_scipy(angles_radians):
    expected = Rotation.from_euler("xyz", angles_radians).as_matrix()
    np.testing.assert_allclose(euler_to_matrix(torch.from_numpy(angles_radians)), expected, atol=1e-14)


@pytest.mark.parametrize("pitch", [math.pi / 2, -math.pi / 2])
@pytest.mark.parametrize(("roll", "yaw"), [(0.3, 0.0), (0.3, 1.1), (-2.0, 2.5)])
def test_at_gimbal_lock_yaw_is_zero_and_the_rotation_is_kept(pitch, roll, yaw):
    matrix = euler_to_matrix(torch.tensor([roll, pitch, yaw]).double())
    found = matrix_to_euler(matrix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # SciPy warns of the lock
        expected = Rotation.from_matrix(matrix.numpy()).as_euler("xyz")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[2] == 0
    torch.testing.assert_close(euler_to_matrix(found), matrix, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pitch", [math.pi / 2 - 1e-5, -math.pi / 2 + 1e-6])
def test_close_to_gimbal_lock_the_rotation_survives_float32(pitch):
    state = torch.tensor([0.0, 0.0, 0.0, 3.0, pitch, -1.0, 0.0])
    arrived = integrate_pose(state, torch.zeros(7))
    assert arrived.dtype == torch.float32
    expected = euler_to_matrix(state[3:6])
    torch.testing.assert_close(euler_to_matrix(arrived[3:6]), expected, rtol=0, atol=1e-6)


def test_the_gripper_stays_between_open_and_closed():
    states = torch.tensor([[0.0] * 6 + [0.9], [0.0] * 6 + [0.1], [0.0] * 6 + [0.5]])
    actions = torch.tensor([[0.0] * 6 + [0.5], [0.0] * 6 + [-0.5], [0.0] * 6 + [0.25]])
    assert integrate_pose(states, actions)[:, 6].tolist() == [1.0, 0.0, 0.75]


def test_a_difference_of_grippers_is_not_clipped():
    opening = pose_difference(torch.tensor([0.0] * 6 + [1.0]), torch.zeros(7))
    assert opening[6].item() == -1.0


def test_rotations_of_an_action_are_about_the_axes_of_the_base():
    quarter_roll = torch.tensor([0, 0, 0, math.pi / 2, 0, 0, 0]).double()
    quarter_yaw = torch.tensor([0, 0, 0, 0, 0, math.pi / 2, 0]).double()
    after = integrate_pose(quarter_roll, quarter_yaw)
    torch.testing.assert_close(after[3:6], torch.tensor([math.pi / 2, 0, math.pi / 2]).double())


def test_a_whole_clip_is_done_at_once():
    states = torch.randn(2, 5, 7)
    one_by_one = torch.stack([pose_difference(states[:, t], states[:, t + 1]) for t in range(4)], dim=1)
    assert torch.equal(pose_difference(states[:, :-1], states[:, 1:]), one_by_one)
