"""One episode before it is written: its story, its rows of robot state and its three cameras.

R rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from featurize.demo_data.cameras import Camera, draw_exterior_camera, wrist_camera
from featurize.demo_data.carrying import carried_poses, resting_pose
from featurize.demo_data.figures import Figure, arm_figures, prop_figures
from featurize.demo_data.geometry import Floats
from featurize.demo_data.kinematics import HAND_FRAME, link_frames, solve_joints
from featurize.demo_data.painter import Stage, paint
from featurize.demo_data.props import Prop, draw_props
from featurize.demo_data.room import Image, Light, Room, draw_light, draw_room
from featurize.demo_data.story import Outcome, Story, tell

CAMERA_NAMES = ("left", "right", "wrist")

_TABLE_PIXELS_PER_METRE_AND_WIDTH = 400 / 320


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Everything that is recorded in an episode.

    Attributes:
        row_seconds: (R,) times of the rows since the start.
        joints: (R, 7) in radians.
        hand_poses: (R, 4, 4) of the hand frame in the robot's base frame.
        gripper: (R,) 0 open to 1 closed.
        cameras: by name, "left", "right" and "wrist".
    """

    task: str
    success: bool
    row_seconds: Floats
    joints: Floats
    hand_poses: Floats
    gripper: Floats
    cameras: dict[str, Camera]
    figures: tuple[Figure, ...]
    light: Light
    room: Room

    def videos(self) -> Iterator[tuple[str, Iterator[Image]]]:
        """For each camera its name and its frames (H, W, 3), one for each row."""
        stage = Stage(self.figures, self.light)
        bare = Stage([figure for figure in self.figures if figure.name != "wrist_camera"], self.light)
        for name, camera in self.cameras.items():
            # A camera does not see its own case.
            yield name, paint(bare if name == "wrist" else stage, self.room, camera)


def draw_scene(
    rng: np.random.Generator,
    row_seconds: Floats,
    *,
    site: int,
    outcome: Outcome,
    width_px: int,
    height_px: int,
) -> Scene:
    """Draw an episode at laboratory `site` whose rows are taken at `row_seconds` (R,)."""
    props = draw_props(rng)
    story = tell(rng, props, outcome=outcome, seconds=float(row_seconds[-1]))
    joints = solve_joints(story.motion.hand_poses(row_seconds))
    frames, gripper = link_frames(joints), story.motion.gripper(row_seconds)
    light = draw_light(rng)
    return Scene(
        task=story.task,
        success=story.success,
        row_seconds=row_seconds,
        joints=joints,
        hand_poses=frames[:, HAND_FRAME],
        gripper=gripper,
        cameras=_draw_cameras(rng, site, frames[:, HAND_FRAME], width_px, height_px),
        figures=(*arm_figures(frames, gripper), *_prop_figures(story, props, row_seconds)),
        light=light,
        room=draw_room(rng, light, pixels_per_metre=_TABLE_PIXELS_PER_METRE_AND_WIDTH * width_px),
    )


def _draw_cameras(
    rng: np.random.Generator, site: int, hand_poses: Floats, width_px: int, height_px: int
) -> dict[str, Camera]:
    size = {"width_px": width_px, "height_px": height_px}
    left = draw_exterior_camera(rng, site=site, side=1, num_rows=len(hand_poses), **size)
    right = draw_exterior_camera(rng, site=site, side=-1, num_rows=len(hand_poses), **size)
    return dict(zip(CAMERA_NAMES, (left, right, wrist_camera(hand_poses, **size)), strict=True))


def _prop_figures(story: Story, props: Sequence[Prop], row_seconds: Floats) -> list[Figure]:
    moved = carried_poses(story, props[0].place, row_seconds)
    still = [np.tile(resting_pose(prop.place), (len(row_seconds), 1, 1)) for prop in props[1:]]
    return prop_figures(props, [moved, *still])
