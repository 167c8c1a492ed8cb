"""The table with its objects and the arm, one step at a time: what actions do, and how it looks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from featurize.demo_data.cameras import Camera
from featurize.demo_data.carrying import falling_poses, pose_in_hand, resting_pose
from featurize.demo_data.figures import arm_figures, prop_figures
from featurize.demo_data.geometry import Flags, Floats, inverse
from featurize.demo_data.kinematics import link_frames, solve_joints
from featurize.demo_data.painter import Stage, paint_over
from featurize.demo_data.props import Prop
from featurize.demo_data.reach import SAME, STEP_SECONDS, Arm, moved
from featurize.demo_data.room import Image, view
from featurize.demo_data.story import GRIPPER_WIDTH_METRES, closed_around
from featurize.demo_data.surroundings import Surroundings

_TOUCHING = 0.01
_LOOSE = 0.05


class Photographer:
    """Takes the generator's pictures of single moments through one static camera."""

    def __init__(self, around: Surroundings, camera: Camera, props: Sequence[Prop]) -> None:
        self._light, self._camera, self._props = around.light, camera, props
        self._empty, on_table = view(around.room, camera)
        self._on_table = on_table.astype(np.uint8)

    def take(self, arm: Arm, prop_poses: Sequence[Floats]) -> Image:
        """Picture (H, W, 3) of the arm and of the objects with their bases at poses (4, 4)."""
        frames = link_frames(solve_joints(arm.hand[None]))
        figures = arm_figures(frames, np.array([arm.gripper]))
        figures += prop_figures(self._props, [pose[None] for pose in prop_poses])
        backdrop = [(self._empty.copy(), self._on_table)]
        return next(paint_over(backdrop, Stage(figures, self._light), self._camera))


class Tabletop:
    """Arm and objects, moved by actions; the generator's rule of carrying.

    Fingers that close on an object's sides while the fingertips are within it take hold of it. It then keeps
    its pose in the hand, stops the fingers at its width and the hand where it would push it into the table.
    When they open again it falls upright, from where the step that opened them ended. Nothing else moves it.
    """

    def __init__(self, arm: Arm, props: Sequence[Prop]) -> None:
        self.arm = arm
        self.props = props
        self.prop_poses = [resting_pose(prop.place) for prop in props]
        self.held: int | None = None
        self._in_hand = np.eye(4)
        self._falls: dict[int, tuple[Floats, float]] = {}

    def take_hold(self, prop: int, in_hand: Floats) -> None:
        """Put an object into the hand at a pose (4, 4) in the hand's frame."""
        self.held, self._in_hand = prop, in_hand
        self.prop_poses[prop] = self.arm.hand @ in_hand
        self._falls.pop(prop, None)

    def step(self, action: Floats) -> Flags:
        """Apply an action (7,) for a quarter of a second; which of its components (7,) bool were cut."""
        before = self.arm.gripper
        self.arm, cut = moved(self.arm, action)
        self._fall()
        if self.held is None:
            self._try_to_grasp(before)
        else:
            cut = cut | self._carry(self.held)
        return cut

    def _carry(self, prop: int) -> Flags:
        closed = closed_around(self.props[prop])
        sunk = float((self.arm.hand @ self._in_hand)[2, 3])
        hand = self.arm.hand.copy()
        hand[2, 3] -= min(sunk, 0.0)
        self.arm, squeezed = self._stopped(replace(self.arm, hand=hand), closed)
        self.prop_poses[prop] = hand @ self._in_hand
        if self.arm.gripper < closed - _LOOSE:
            self.held = None
            self._falls[prop] = (self.prop_poses[prop], 0.0)
            self.prop_poses[prop] = falling_poses(self.prop_poses[prop], np.zeros(1))[0]
        return np.array([False, False, sunk < -SAME, False, False, False, squeezed])

    def _try_to_grasp(self, gripper_before: float) -> None:
        for number, prop in enumerate(self.props):
            touches = closed_around(prop) - _TOUCHING
            closes = gripper_before < touches <= self.arm.gripper
            if prop.graspable and closes and self._fingertips_around(number):
                self.arm, _ = self._stopped(self.arm, closed_around(prop))
                self.take_hold(number, pose_in_hand(self.arm.hand, self.prop_poses[number]))
                return

    def _fingertips_around(self, number: int) -> bool:
        x, y, z = (inverse(self.prop_poses[number]) @ self.arm.tip)[:3, 3]
        width, across, height = self.props[number].size_metres
        gap = 0.5 * (GRIPPER_WIDTH_METRES - across)
        return bool(abs(x) <= 0.5 * width and abs(y) <= gap and 0.0 <= z <= height)

    def _stopped(self, arm: Arm, closed: float) -> tuple[Arm, bool]:
        """The arm with its fingers closed to `closed` at most; whether that cut anything."""
        return replace(arm, gripper=min(arm.gripper, closed)), arm.gripper > closed + SAME

    def _fall(self) -> None:
        for prop, (let_go, seconds) in list(self._falls.items()):
            later = seconds + STEP_SECONDS
            self.prop_poses[prop] = falling_poses(let_go, np.array([later]))[0]
            self._falls[prop] = (let_go, later)
            if self.prop_poses[prop][2, 3] == 0.0:
                del self._falls[prop]
