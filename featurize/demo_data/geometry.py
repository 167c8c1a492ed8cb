"""Rigid poses as 4 x 4 matrices and as DROID's six numbers.

DROID writes a pose as (x, y, z, roll, pitch, yaw): metres and extrinsic-xyz Euler angles in radians, so
R = Rz(yaw) Ry(pitch) Rx(roll). The world frame is the robot's base: x forward, y to the robot's left, z up.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def pose_from_six(six: Floats) -> Floats:
    """Matrices (..., 4, 4) of the poses (..., 6) in metres and extrinsic-xyz Euler radians."""
    pose = np.zeros((*six.shape[:-1], 4, 4))
    pose[..., :3, :3] = (
        Rotation.from_euler("xyz", six[..., 3:].reshape(-1, 3)).as_matrix().reshape(*six.shape[:-1], 3, 3)
    )
    pose[..., :3, 3] = six[..., :3]
    pose[..., 3, 3] = 1.0
    return pose


def six_from_pose(pose: Floats) -> Floats:
    """Inverse of `pose_from_six`; the angles lie in DROID's ranges (-pi, pi], [-pi/2, pi/2], (-pi, pi]."""
    angles = Rotation.from_matrix(pose[..., :3, :3].reshape(-1, 3, 3)).as_euler("xyz")
    return np.concatenate([pose[..., :3, 3], angles.reshape(*pose.shape[:-2], 3)], axis=-1)


def translation(x: float, y: float, z: float) -> Floats:
    """Pose (4, 4) that only moves, in metres."""
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def pose_from_axes(x_axis: Floats, y_axis: Floats, z_axis: Floats, origin: Floats) -> Floats:
    """Pose (4, 4) of a frame given by its three unit axes and its origin in metres, all (3,)."""
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x_axis, y_axis, z_axis], axis=1)
    pose[:3, 3] = origin
    return pose


def look_at(eye: Floats, target: Floats) -> Floats:
    """Pose (4, 4) of a level camera at `eye` looking at `target` (both (3,), metres).

    Camera axes as in OpenCV: x right, y down, z forward. Looking straight up or down is not defined.
    """
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return pose_from_axes(right, np.cross(forward, right), forward, eye)


def transform(pose: Floats, points: Floats) -> Floats:
    """Points (V, 3) moved by poses (..., 4, 4): (..., V, 3)."""
    moved: Floats = points @ np.swapaxes(pose[..., :3, :3], -1, -2) + pose[..., None, :3, 3]
    return moved


def inverse(pose: Floats) -> Floats:
    """Inverse of rigid poses (..., 4, 4)."""
    rotation = np.swapaxes(pose[..., :3, :3], -1, -2)
    inverted = np.zeros_like(pose)
    inverted[..., :3, :3] = rotation
    inverted[..., :3, 3] = -(rotation @ pose[..., :3, 3, None])[..., 0]
    inverted[..., 3, 3] = 1.0
    return inverted
