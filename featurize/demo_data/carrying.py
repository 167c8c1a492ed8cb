"""Where the handled object is over time: at rest, in the hand, falling, at rest again."""

import numpy as np

from featurize.demo_data.geometry import Floats, inverse, pose_from_six
from featurize.demo_data.story import Story

_GRAVITY_METRES_PER_SECOND2 = 9.81


def resting_pose(place: Floats) -> Floats:
    """Pose (4, 4) of an upright object whose base stands on the table at a place (x, y, yaw)."""
    return pose_from_six(np.array([place[0], place[1], 0.0, 0.0, 0.0, place[2]]))


def carried_poses(story: Story, place: Floats, times_seconds: Floats) -> Floats:
    """Poses (T, 4, 4) of the object that starts at `place` (3,), at times (T,) in seconds."""
    poses = np.tile(resting_pose(place), (len(times_seconds), 1, 1))
    if story.hold is None:
        return poses
    grasping = story.motion.hand_poses(np.array([story.hold.start_seconds]))[0]
    in_hand = pose_in_hand(grasping, resting_pose(place))
    held = (times_seconds >= story.hold.start_seconds) & (times_seconds < story.hold.end_seconds)
    poses[held] = story.motion.hand_poses(times_seconds[held]) @ in_hand
    let_go = story.motion.hand_poses(np.array([story.hold.end_seconds]))[0] @ in_hand
    after = times_seconds >= story.hold.end_seconds
    poses[after] = falling_poses(let_go, times_seconds[after] - story.hold.end_seconds)
    return poses


def pose_in_hand(hand: Floats, grasped: Floats) -> Floats:
    """Pose (4, 4) in the hand frame that an object keeps while it is held: both (4, 4) when it is grasped."""
    relative: Floats = inverse(hand) @ grasped
    return relative


def falling_poses(let_go: Floats, seconds: Floats) -> Floats:
    """Free fall to the table, upright: poses (T, 4, 4) at times (T,) since the fingers opened."""
    yaw = np.arctan2(let_go[1, 0], let_go[0, 0])
    upright = resting_pose(np.array([let_go[0, 3], let_go[1, 3], yaw]))
    poses = np.tile(upright, (len(seconds), 1, 1))
    poses[:, 2, 3] = np.maximum(let_go[2, 3] - 0.5 * _GRAVITY_METRES_PER_SECOND2 * seconds**2, 0.0)
    return poses
