"""Where the arm may be and how far it moves in a step: states, actions and their limits.

A state is (7,): the hand's xyz in metres, extrinsic-xyz Euler angles in radians, the gripper from 0 open to 1
closed, as the `states` of a store. An action is (7,): the change of the state over one step of the 4 Hz
clock, as the `actions` of a store: metres added, the rotation R(t+1) R(t)^T as extrinsic-xyz Euler angles,
the change of the gripper.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from featurize.demo_data.geometry import Flags, Floats, pose_from_six, six_from_pose
from featurize.demo_data.kinematics import UnreachablePoseError, solve_joints
from featurize.demo_data.motion import hand_from_tip, tip_from_hand

STEP_SECONDS = 0.25
"""Seconds between two states: the 4 Hz of V-JEPA 2-AC."""

LARGEST_ACTION = np.array([0.10, 0.10, 0.10, 0.26, 0.26, 0.66, 1.0])
"""The largest changes that the generator's motions make in a step: 200 stories drawn, maxima rounded up."""

# Fingertips of the generator's motions, and a centimetre more. Roll stays short of pi, where angles jump.
TIP_LOW = np.array([0.30, -0.30, 0.02, np.pi - 0.46, -0.26, -0.81])
TIP_HIGH = np.array([0.65, 0.30, 0.36, np.pi - 0.07, 0.26, 0.81])

SAME = 1e-5
"""Differences below this (metres, radians, share) are rounding: actions are float32, the arm to 1e-5."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """Pose (4, 4) of the hand frame in the robot's base frame, and the gripper, 0 open to 1 closed."""

    hand: Floats
    gripper: float

    @property
    def tip(self) -> Floats:
        """Pose (4, 4) of the fingertips."""
        return tip_from_hand(self.hand)

    @property
    def state(self) -> Floats:
        """The same as (7,) numbers."""
        return np.append(six_from_pose(self.hand), self.gripper)

    @property
    def reachable(self) -> bool:
        """Whether the joints can bring the hand there."""
        try:
            solve_joints(self.hand[None])
        except UnreachablePoseError:
            return False
        return True


def arm_at(state: Floats) -> Arm:
    """The arm in a state (7,)."""
    return Arm(hand=pose_from_six(state[:6]), gripper=float(state[6]))


def arm_with_tip(tip: Floats, gripper: float) -> Arm:
    """The arm with its fingertips at a pose (6,): xyz metres and extrinsic-xyz Euler radians."""
    return Arm(hand=hand_from_tip(pose_from_six(tip)), gripper=gripper)


def action_between(before: Floats, after: Floats) -> Floats:
    """The action (7,) that leads from a state (7,) to another."""
    turn = Rotation.from_euler("xyz", after[3:6]) * Rotation.from_euler("xyz", before[3:6]).inv()
    return np.concatenate([after[:3] - before[:3], turn.as_euler("xyz"), after[6:] - before[6:]])


def moved(arm: Arm, action: Floats) -> tuple[Arm, Flags]:
    """The arm after an action (7,), and which of its components (7,) bool were cut.

    Cut to `LARGEST_ACTION` first; then the fingertips are kept between `TIP_LOW` and `TIP_HIGH` and the
    gripper between 0 and 1. Where the joints cannot follow, the hand stays: six components are cut.
    """
    step = np.clip(action, -LARGEST_ACTION, LARGEST_ACTION)
    hand = arm.hand.copy()
    hand[:3, 3] += step[:3]
    hand[:3, :3] = Rotation.from_euler("xyz", step[3:6]).as_matrix() @ arm.hand[:3, :3]
    tip = six_from_pose(tip_from_hand(hand))
    inside = np.clip(tip, TIP_LOW, TIP_HIGH)
    gripper = float(np.clip(arm.gripper + step[6], 0.0, 1.0))
    cut = np.append(np.abs(inside - tip) > SAME, abs(gripper - arm.gripper - step[6]) > SAME)
    if cut[:6].any():
        hand = hand_from_tip(pose_from_six(inside))
    cut |= np.abs(action) > LARGEST_ACTION + SAME
    after = Arm(hand=hand, gripper=gripper)
    if after.reachable:
        return after, cut
    cut[:6] = True
    return Arm(hand=arm.hand, gripper=gripper), cut
