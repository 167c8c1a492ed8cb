"""From recorded states to actions. Shape suffixes: F frames, A action size (7: xyz, Euler xyz, gripper)."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

XYZ = slice(0, 3)
EULER = slice(3, 6)
GRIPPER = slice(6, 7)


# Widths are measured: a gripper that closes or opens a little beyond its nominal range is no fault.
GRIPPER_RANGE: Final = (-0.05, 1.05)
EULER_LIMIT_RADIANS: Final = math.pi + 1e-6


def is_out_of_range(states_FA: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Which states cannot be ones, bool (F, 2): by their gripper; by Euler angles, degrees perhaps."""
    gripper_F1, euler_F3 = states_FA[:, GRIPPER], states_FA[:, EULER]
    least, most = GRIPPER_RANGE
    is_wide_F1 = (gripper_F1 < least) | (gripper_F1 > most)
    is_turned_F1 = (np.abs(euler_F3) > EULER_LIMIT_RADIANS).any(axis=1, keepdims=True)
    return np.concatenate([is_wide_F1, is_turned_F1], axis=1)


def actions_from_states(states_FA: NDArray[np.float64]) -> NDArray[np.float32]:
    """The change from each stored frame to the next one: float32 (F, 7), the last row NaN.

    States are float64 (F, 7): position in metres, extrinsic-xyz Euler angles in radians, gripper 0 (open) to
    1. Positions and gripper are subtracted; the rotation is R(t+1) R(t)^T as extrinsic-xyz Euler angles, so
    that it applies in the base frame (vjepa2, app/vjepa_droid/droid.py, `poses_to_diffs`).
    """
    actions_FA = np.full(states_FA.shape, np.nan, dtype=np.float32)
    rotation_F = Rotation.from_euler("xyz", states_FA[:, EULER])
    actions_FA[:-1, XYZ] = np.diff(states_FA[:, XYZ], axis=0)
    actions_FA[:-1, EULER] = (rotation_F[1:] * rotation_F[:-1].inv()).as_euler("xyz")
    actions_FA[:-1, GRIPPER] = np.diff(states_FA[:, GRIPPER], axis=0)
    return actions_FA
