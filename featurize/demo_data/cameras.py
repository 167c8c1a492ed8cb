"""The three pinhole cameras of an episode: two static ones beside the table, one on the hand.

T time steps, N points.
"""

from dataclasses import dataclass, replace

import numpy as np

from featurize.demo_data.geometry import Floats, inverse, look_at, pose_from_axes

EXTERIOR_FOCAL_PER_WIDTH = 0.62
"""Focal length of the exterior cameras in image widths."""
WRIST_FOCAL_PER_WIDTH = 0.46
"""Focal length of the wrist camera in image widths."""

_MOUNT_SEED = 1
_WORKSPACE_METRES = np.array([0.40, 0.0, 0.19])
_WRIST_MOUNT_METRES = np.array([0.070, 0.0, 0.035])
_WRIST_TILT_RADIANS = 0.28


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A pinhole camera without distortion, principal point in the middle of the image.

    Attributes:
        poses: (T, 4, 4) of the camera in the world; axes x right, y down, z forward.
        focal_px: focal length in pixels.
        width_px: width of the image.
        height_px: height of the image.
        moves: whether the poses differ over time.
    """

    poses: Floats
    focal_px: float
    width_px: int
    height_px: int
    moves: bool

    @property
    def matrix(self) -> Floats:
        """Intrinsic matrix (3, 3)."""
        return np.array(
            [
                [self.focal_px, 0.0, 0.5 * (self.width_px - 1)],
                [0.0, self.focal_px, 0.5 * (self.height_px - 1)],
                [0.0, 0.0, 1.0],
            ]
        )

    def lasting(self, num_rows: int) -> "Camera":
        """The same static camera (one pose) for a number of time steps."""
        return replace(self, poses=np.tile(self.poses, (num_rows, 1, 1)))

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Pixel positions (T, N, 2) and depths (T, N) in metres of points (T, N, 3); pixel centres are whole.

        Points less than a millimetre in front of the camera get a pixel position without meaning.
        """
        from_world = inverse(self.poses)
        seen = points @ np.swapaxes(from_world[:, :3, :3], 1, 2) + from_world[:, None, :3, 3]
        depth = seen[..., 2]
        flat = seen[..., :2] / np.maximum(depth, 1e-3)[..., None]
        return flat * self.focal_px + self.matrix[:2, 2], depth


def draw_exterior_camera(
    rng: np.random.Generator, *, site: int, side: int, width_px: int, height_px: int
) -> Camera:
    """A static camera (one pose) on the robot's left (side 1) or right (side -1) that sees arm and table.

    Each `site`, a laboratory, has its camera in one place, nudged a little from episode to episode.
    """
    mount = np.random.default_rng([_MOUNT_SEED, site, side + 1])
    azimuth = side * (mount.uniform(0.6, 1.55) + rng.uniform(-0.08, 0.08))
    elevation = mount.uniform(0.36, 0.58) + rng.uniform(-0.04, 0.04)
    distance = mount.uniform(0.79, 0.89) + rng.uniform(-0.03, 0.03)
    outward = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    target = _WORKSPACE_METRES + rng.uniform(-0.04, 0.04, 3)
    pose = look_at(target + distance * outward, target)
    return Camera(
        poses=pose[None],
        focal_px=EXTERIOR_FOCAL_PER_WIDTH * width_px,
        width_px=width_px,
        height_px=height_px,
        moves=False,
    )


def wrist_camera_in_hand() -> Floats:
    """Pose (4, 4) of the wrist camera in the hand frame: ahead of the hand, tilted towards the fingertips."""
    forward = np.array([-np.sin(_WRIST_TILT_RADIANS), 0.0, np.cos(_WRIST_TILT_RADIANS)])
    right = np.array([0.0, 1.0, 0.0])
    return pose_from_axes(right, np.cross(forward, right), forward, _WRIST_MOUNT_METRES)


def wrist_camera(hand_poses: Floats, *, width_px: int, height_px: int) -> Camera:
    """The camera on the hand, for hand poses (T, 4, 4)."""
    return Camera(
        poses=hand_poses @ wrist_camera_in_hand(),
        focal_px=WRIST_FOCAL_PER_WIDTH * width_px,
        width_px=width_px,
        height_px=height_px,
        moves=True,
    )
