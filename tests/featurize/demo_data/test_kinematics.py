"""The arm's geometry: inverse against forward kinematics."""

import numpy as np
import pytest

from featurize.demo_data.geometry import inverse, look_at, pose_from_six, six_from_pose, transform
from featurize.demo_data.kinematics import (
    HAND_FRAME,
    HOME_RADIANS,
    UnreachablePoseError,
    link_frames,
    solve_joints,
)


def hand_poses(rng: np.random.Generator, count: int) -> np.ndarray:
    low = [0.35, -0.25, 0.2, np.pi - 0.4, -0.2, -0.8]
    high = [0.58, 0.25, 0.45, np.pi - 0.1, 0.2, 0.8]
    return pose_from_six(rng.uniform(low, high, (count, 6)))


def test_the_solved_joints_put_the_hand_where_it_was_asked_to_be() -> None:
    wanted = hand_poses(np.random.default_rng(0), 200)
    reached = link_frames(solve_joints(wanted))[:, HAND_FRAME]
    np.testing.assert_allclose(reached, wanted, atol=1e-5)


def test_the_makers_ready_posture_holds_the_hand_where_the_real_arm_does() -> None:
    ready = np.array([[0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4]])
    hand = link_frames(ready)[0, HAND_FRAME]
    assert hand[:3, 3] == pytest.approx([0.307, 0.0, 0.590], abs=1e-3)
    np.testing.assert_allclose(hand[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-9)


def test_the_hand_points_straight_down_at_home() -> None:
    hand = link_frames(HOME_RADIANS[None])[0, HAND_FRAME]
    np.testing.assert_allclose(hand[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-9)


def test_solved_joints_change_little_where_the_pose_changes_little() -> None:
    ends = hand_poses(np.random.default_rng(1), 2)
    share = np.linspace(0.0, 1.0, 200)[:, None]
    six = (1.0 - share) * six_from_pose(ends[:1]) + share * six_from_pose(ends[1:])
    assert np.abs(np.diff(solve_joints(pose_from_six(six)), axis=0)).max() < 0.05


def test_rejects_a_pose_beyond_the_arms_reach() -> None:
    far = hand_poses(np.random.default_rng(2), 3)
    far[1, 0, 3] = 1.5
    with pytest.raises(UnreachablePoseError, match=r"position \[1\.5, .* of step 1 is missed .* workspace"):
        solve_joints(far)


def test_six_numbers_and_matrix_are_the_same_pose() -> None:
    six = np.array([[0.4, -0.1, 0.3, 2.9, -0.2, 0.7]])
    pose = pose_from_six(six)
    np.testing.assert_allclose(six_from_pose(pose), six, atol=1e-12)
    roll, pitch, yaw = six[0, 3:]
    np.testing.assert_allclose(pose[0, :3, :3], _turn(2, yaw) @ _turn(1, pitch) @ _turn(0, roll), atol=1e-12)


def test_a_pose_and_its_inverse_cancel() -> None:
    poses = hand_poses(np.random.default_rng(3), 4)
    np.testing.assert_allclose(poses @ inverse(poses), np.tile(np.eye(4), (4, 1, 1)), atol=1e-12)


def test_a_camera_sees_what_it_looks_at_straight_ahead_and_the_sky_above() -> None:
    camera = inverse(look_at(np.array([1.0, 1.0, 1.0]), np.array([0.3, 0.0, 0.1])))
    target, above = transform(camera, np.array([[0.3, 0.0, 0.1], [0.3, 0.0, 0.2]]))
    assert target[:2] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert target[2] > 0 > above[1]


def _turn(axis: int, angle: float) -> np.ndarray:
    """Rotation about a coordinate axis, written out."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first], matrix[first, second] = np.sin(angle), -np.sin(angle)
    return matrix
