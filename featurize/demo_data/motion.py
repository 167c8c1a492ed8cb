"""How the hand moves: straight legs between waypoints, their corners rounded in time.

A leg leads the fingertips to a pose at constant speed; a Gaussian over time then turns the polyline into a
smooth motion with neither jumps nor full stops, while a hold of half a second still brings the hand there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from featurize.demo_data.geometry import Floats, pose_from_six

TOOL_METRES = 0.15
"""Distance of the fingertips from the origin of the hand frame, along its z axis."""

_SAMPLE_HZ = 240.0
_ROUNDING_SECONDS = 0.1
_GRIPPER_ROUNDING_SECONDS = 0.04
_GRIPPER_TRAVEL_SECONDS = 0.35


@dataclass(frozen=True, kw_only=True, eq=False)
class Leg:
    """One stretch of a motion.

    Attributes:
        tip: (6,) pose of the fingertips at its end, xyz metres and extrinsic-xyz Euler radians.
        gripper: opening that the gripper starts to move to when the leg begins, 0 open to 1 closed.
        seconds: how long the leg takes.
    """

    tip: Floats
    gripper: float
    seconds: float


class Motion:
    """A smooth motion of the hand from a first pose (6,) with an open gripper along legs."""

    def __init__(self, first_tip: Floats, legs: Sequence[Leg]) -> None:
        ends = np.cumsum([0.0] + [leg.seconds for leg in legs])
        self.seconds = float(ends[-1])
        self._clock = np.arange(0.0, self.seconds + 1.0, 1.0 / _SAMPLE_HZ)
        tips = np.stack([first_tip] + [leg.tip for leg in legs])
        straight = np.stack([np.interp(self._clock, ends, column) for column in tips.T], axis=1)
        self._tips = _smoothed(straight, _ROUNDING_SECONDS)
        self._gripper = _smoothed(_gripper_ramps(self._clock, ends, legs), _GRIPPER_ROUNDING_SECONDS)

    def hand_poses(self, times_seconds: Floats) -> Floats:
        """Poses (T, 4, 4) of the hand frame in the world at times (T,) since the start of the motion."""
        six = np.stack([np.interp(times_seconds, self._clock, column) for column in self._tips.T], axis=1)
        return hand_from_tip(pose_from_six(six))

    def gripper(self, times_seconds: Floats) -> Floats:
        """Gripper position (T,) at times (T,), 0 open to 1 closed."""
        return np.interp(times_seconds, self._clock, self._gripper)


def hand_from_tip(tip_poses: Floats) -> Floats:
    """Poses (..., 4, 4) of the hand frame whose fingertips are at poses (..., 4, 4)."""
    hands = tip_poses.copy()
    hands[..., :3, 3] -= TOOL_METRES * hands[..., :3, 2]
    return hands


def tip_from_hand(hand_poses: Floats) -> Floats:
    """Inverse of `hand_from_tip`."""
    tips = hand_poses.copy()
    tips[..., :3, 3] += TOOL_METRES * tips[..., :3, 2]
    return tips


def _gripper_ramps(clock: Floats, ends: Floats, legs: Sequence[Leg]) -> Floats:
    times, values = [0.0], [0.0]
    for start, leg in zip(ends, legs, strict=False):
        times += [float(start), float(start) + min(_GRIPPER_TRAVEL_SECONDS, leg.seconds)]
        values += [values[-1], leg.gripper]
    return np.interp(clock, times, values)


def _smoothed(signal: Floats, seconds: float) -> Floats:
    smooth: Floats = gaussian_filter1d(signal, seconds * _SAMPLE_HZ, axis=0, mode="nearest")
    return smooth
