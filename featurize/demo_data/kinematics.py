"""Kinematics of the seven-joint arm: the published Denavit-Hartenberg table of the Franka Panda.

Source of the table: Franka's control interface documentation, "Denavit-Hartenberg parameters", in Craig's
modified convention.
T time steps, J = 7 joints.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from featurize.demo_data.geometry import Floats, inverse

_A_METRES = np.array([0.0, 0.0, 0.0, 0.0825, -0.0825, 0.0, 0.088])
_D_METRES = np.array([0.333, 0.0, 0.316, 0.0, 0.384, 0.0, 0.0])
_ALPHA_RADIANS = np.array([0.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0]) * np.pi / 2
_FLANGE_METRES = 0.107
_HAND_TWIST_RADIANS = -np.pi / 4

# DROID's reset posture; the hand's twist is added to the last joint so that the hand points forward.
HOME_RADIANS = np.array([0.0, -np.pi / 5, 0.0, -4 * np.pi / 5, 0.0, 3 * np.pi / 5, np.pi / 4])

HAND_FRAME = 8  # index into the frames of `link_frames`: 0 is the base, 1 to 7 follow the joints

_ITERATIONS = 15
_DAMPING = 1e-5
_LARGEST_STEP_RADIANS = 0.4  # a full Newton step from home overshoots into another branch at some poses


class UnreachablePoseError(ValueError):
    """The arm cannot bring its hand to a pose that a motion asks for."""


def link_frames(joints_TJ: Floats) -> Floats:
    """Frames (T, 9, 4, 4) of base, seven links and hand in the world, for joint angles (T, 7) in radians."""
    frames = [np.broadcast_to(np.eye(4), (len(joints_TJ), 4, 4))]
    for joint in range(7):
        frames.append(frames[-1] @ _joint_transform(joint, joints_TJ[:, joint]))
    frames.append(frames[-1] @ _hand_on_last_link())
    return np.stack(frames, axis=1)


def solve_joints(hand_T44: Floats) -> Floats:
    """Joint angles (T, 7) in radians that bring the hand to the world poses (T, 4, 4).

    Damped Newton steps of least size on all poses at once, each from the home posture; that settles the free
    seventh degree of freedom and makes the answer a smooth function of the pose.

    Raises UnreachablePoseError where a pose is missed by more than a hundredth of a millimetre (or radian).
    """
    joints = np.tile(HOME_RADIANS, (len(hand_T44), 1))
    for _ in range(_ITERATIONS):
        frames = link_frames(joints)
        error = _pose_error(hand_T44, frames[:, HAND_FRAME])
        joints = joints + _newton_step(_jacobian(frames), error)
    residual = np.abs(_pose_error(hand_T44, link_frames(joints)[:, HAND_FRAME])).max(axis=1)
    if residual.max() > 1e-5:
        row = int(residual.argmax())
        raise UnreachablePoseError(
            f"Hand position {hand_T44[row, :3, 3].round(3).tolist()} m of step {row} is missed by "
            f"{residual[row]:.1e}; the arm reaches about 0.75 m. Keep the motion inside its workspace."
        )
    return joints


def _joint_transform(joint: int, angle_T: Floats) -> Floats:
    ca, sa = np.cos(_ALPHA_RADIANS[joint]), np.sin(_ALPHA_RADIANS[joint])
    ct, st = np.cos(angle_T), np.sin(angle_T)
    step = np.zeros((len(angle_T), 4, 4))
    step[:, 0, 0], step[:, 0, 1], step[:, 0, 3] = ct, -st, _A_METRES[joint]
    step[:, 1, 0], step[:, 1, 1], step[:, 1, 2], step[:, 1, 3] = st * ca, ct * ca, -sa, -_D_METRES[joint] * sa
    step[:, 2, 0], step[:, 2, 1], step[:, 2, 2], step[:, 2, 3] = st * sa, ct * sa, ca, _D_METRES[joint] * ca
    step[:, 3, 3] = 1.0
    return step


def _hand_on_last_link() -> Floats:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", _HAND_TWIST_RADIANS).as_matrix()
    pose[2, 3] = _FLANGE_METRES
    return pose


def _pose_error(target_T44: Floats, reached_T44: Floats) -> Floats:
    rotation = (target_T44 @ inverse(reached_T44))[:, :3, :3]
    return np.concatenate(
        [target_T44[:, :3, 3] - reached_T44[:, :3, 3], Rotation.from_matrix(rotation).as_rotvec()], axis=1
    )


def _jacobian(frames: Floats) -> Floats:
    axis = frames[:, 1:8, :3, 2]
    lever = frames[:, HAND_FRAME, None, :3, 3] - frames[:, 1:8, :3, 3]
    return np.swapaxes(np.concatenate([np.cross(axis, lever), axis], axis=2), 1, 2)


def _newton_step(jacobian: Floats, error: Floats) -> Floats:
    transposed = np.swapaxes(jacobian, 1, 2)
    gram = jacobian @ transposed + _DAMPING * np.eye(6)
    step = (transposed @ np.linalg.solve(gram, error[..., None]))[..., 0]
    largest = np.abs(step).max(axis=1, keepdims=True)
    limited: Floats = step * np.minimum(1.0, _LARGEST_STEP_RADIANS / np.maximum(largest, 1e-12))
    return limited
