"""Arithmetic of end-effector poses: (xyz in metres, extrinsic-xyz Euler angles in radians, gripper 0..1).

Rotations are computed in float64 and returned in the dtype that came in. An orientation has several sets of
Euler angles, and at a pitch of +-90 degrees only the difference of roll and yaw counts: what comes back has
pitch within +-pi/2, roll and yaw within +-pi, and yaw zero at that lock, as SciPy's `Rotation` returns them.

Shape legend: A pose or action size (7); leading dimensions are free and equal for both arguments.
"""

from __future__ import annotations

import torch

# Below this cosine of the pitch, roll and yaw are no longer told apart; SciPy draws the line here too.
_GIMBAL_LOCK = 1e-7


def integrate_pose(state_A: torch.Tensor, action_A: torch.Tensor) -> torch.Tensor:
    """The state after an action, (..., 7): positions add, rotations compose as R(action) R(state).

    The gripper is clipped to 0..1. Same convention as `compute_new_pose` in `notebooks/utils/mpc_utils.py` of
    facebookresearch/vjepa2.
    """
    rotation_33 = euler_to_matrix(action_A[..., 3:6]) @ euler_to_matrix(state_A[..., 3:6])
    return torch.cat(
        [
            state_A[..., :3] + action_A[..., :3],
            matrix_to_euler(rotation_33).to(state_A.dtype),
            (state_A[..., 6:] + action_A[..., 6:]).clamp(0.0, 1.0),
        ],
        dim=-1,
    )


def pose_difference(start_A: torch.Tensor, end_A: torch.Tensor) -> torch.Tensor:
    """The action that leads from one state to the other, (..., 7); rotation R(end) R(start)^T.

    Inverse of `integrate_pose`. Same convention as `poses_to_diff` in `notebooks/utils/mpc_utils.py` of
    facebookresearch/vjepa2.
    """
    rotation_33 = euler_to_matrix(end_A[..., 3:6]) @ euler_to_matrix(start_A[..., 3:6]).mT
    return torch.cat(
        [
            end_A[..., :3] - start_A[..., :3],
            matrix_to_euler(rotation_33).to(start_A.dtype),
            end_A[..., 6:] - start_A[..., 6:],
        ],
        dim=-1,
    )


def euler_to_matrix(angles_radians: torch.Tensor) -> torch.Tensor:
    """Matrices Rz(yaw) Ry(pitch) Rx(roll), float64 (..., 3, 3), of extrinsic-xyz angles."""
    roll, pitch, yaw = angles_radians.double().unbind(-1)
    sin_roll, cos_roll = roll.sin(), roll.cos()
    sin_pitch, cos_pitch = pitch.sin(), pitch.cos()
    sin_yaw, cos_yaw = yaw.sin(), yaw.cos()
    rows = (
        cos_yaw * cos_pitch,
        cos_yaw * sin_pitch * sin_roll - sin_yaw * cos_roll,
        cos_yaw * sin_pitch * cos_roll + sin_yaw * sin_roll,
        sin_yaw * cos_pitch,
        sin_yaw * sin_pitch * sin_roll + cos_yaw * cos_roll,
        sin_yaw * sin_pitch * cos_roll - cos_yaw * sin_roll,
        -sin_pitch,
        cos_pitch * sin_roll,
        cos_pitch * cos_roll,
    )
    return torch.stack(rows, dim=-1).reshape(*roll.shape, 3, 3)


def matrix_to_euler(rotation_33: torch.Tensor) -> torch.Tensor:
    """Extrinsic-xyz angles in radians (..., 3) of matrices (..., 3, 3), in the ranges named above."""
    cos_pitch = torch.hypot(rotation_33[..., 0, 0], rotation_33[..., 1, 0])
    locked = cos_pitch < _GIMBAL_LOCK
    roll = torch.where(
        locked,
        torch.atan2(-rotation_33[..., 1, 2], rotation_33[..., 1, 1]),
        torch.atan2(rotation_33[..., 2, 1], rotation_33[..., 2, 2]),
    )
    pitch = torch.atan2(-rotation_33[..., 2, 0], cos_pitch)
    yaw = torch.atan2(rotation_33[..., 1, 0], rotation_33[..., 0, 0]).masked_fill(locked, 0.0)
    return torch.stack([roll, pitch, yaw], dim=-1)
