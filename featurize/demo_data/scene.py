"""One episode before it is written: its story, its rows of robot state and its three cameras.

R rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from featurize.demo_data.cameras import Camera, wrist_camera
from featurize.demo_data.carrying import carried_poses, resting_pose
from featurize.demo_data.figures import Figure, arm_figures, prop_figures
from featurize.demo_data.geometry import Floats
from featurize.demo_data.kinematics import HAND_FRAME, UnreachablePoseError, link_frames, solve_joints
from featurize.demo_data.painter import Stage, paint
from featurize.demo_data.props import Prop, draw_props
from featurize.demo_data.room import Image, Light, Room
from featurize.demo_data.story import Outcome, Story, tell
from featurize.demo_data.surroundings import Surroundings, draw_surroundings


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
    props, story, joints = _draw_reachable_story(rng, row_seconds, outcome)
    frames, gripper = link_frames(joints), story.motion.gripper(row_seconds)
    around = draw_surroundings(rng, site=site, width_px=width_px, height_px=height_px)
    return Scene(
        task=story.task,
        success=story.success,
        row_seconds=row_seconds,
        joints=joints,
        hand_poses=frames[:, HAND_FRAME],
        gripper=gripper,
        cameras=_cameras(around, frames[:, HAND_FRAME]),
        figures=(*arm_figures(frames, gripper), *_prop_figures(story, props, row_seconds)),
        light=around.light,
        room=around.room,
    )


def _draw_reachable_story(
    rng: np.random.Generator, row_seconds: Floats, outcome: Outcome
) -> tuple[Sequence[Prop], Story, Floats]:
    """Objects, a story with them and its joints (R, 7); drawn anew where the arm cannot follow (1 in 800)."""
    while True:
        props = draw_props(rng)
        story = tell(rng, props, outcome=outcome, seconds=float(row_seconds[-1]))
        try:
            return props, story, solve_joints(story.motion.hand_poses(row_seconds))
        except UnreachablePoseError:
            continue


def _cameras(around: Surroundings, hand_poses: Floats) -> dict[str, Camera]:
    static = around.exterior
    size = {"width_px": static["left"].width_px, "height_px": static["left"].height_px}
    return {
        "left": static["left"].lasting(len(hand_poses)),
        "right": static["right"].lasting(len(hand_poses)),
        "wrist": wrist_camera(hand_poses, **size),
    }


def _prop_figures(story: Story, props: Sequence[Prop], row_seconds: Floats) -> list[Figure]:
    moved = carried_poses(story, props[0].place, row_seconds)
    still = [np.tile(resting_pose(prop.place), (len(row_seconds), 1, 1)) for prop in props[1:]]
    return prop_figures(props, [moved, *still])
