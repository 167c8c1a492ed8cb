"""The demo generator's scene as a Gymnasium environment: act, and see what the sample data would show.

Importing this module registers `permafrost/DemoWorld-v0` for `gymnasium.make`.
"""

from typing import Any, Literal, cast, get_args

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from featurize.demo_data.carrying import pose_in_hand, resting_pose
from featurize.demo_data.geometry import Flags, Floats
from featurize.demo_data.identity import LABS
from featurize.demo_data.motion import TOOL_METRES
from featurize.demo_data.props import draw_props
from featurize.demo_data.reach import (
    LARGEST_ACTION,
    STEP_SECONDS,
    TIP_HIGH,
    TIP_LOW,
    action_between,
    arm_with_tip,
)
from featurize.demo_data.room import Image
from featurize.demo_data.story import TIP_HIGH as DRAWN_HIGH
from featurize.demo_data.story import TIP_LOW as DRAWN_LOW
from featurize.demo_data.story import closed_around, grasp_tip
from featurize.demo_data.surroundings import draw_surroundings
from featurize.demo_data.tabletop import Photographer, Tabletop

Task = Literal["reach", "reach_with_object"]
CameraName = Literal["left", "right"]
Observation = dict[str, NDArray[Any]]

REACHED_METRES = 0.05
"""How near counts as reached, as in V-JEPA 2-AC's planning experiments."""

_GOAL_METRES = (0.10, 0.30)


class DemoWorldError(ValueError):
    """The environment cannot be made, or reset, as asked."""


class DemoWorld(gymnasium.Env[Observation, NDArray[np.float32]]):
    """An arm at a table, four steps a second, with a goal given as a state and as a picture.

    Observation: `image` uint8 (H, W, 3) of a static camera and `state` float32 (7,); action: float32 (7,), a
    change of state. Both mean what the `states` and `actions` of a store mean (see `reach`).
    `reset(options={"task": ...})`: "reach" (the default) brings the hand to a place 10 to 30 cm away, in the
    same orientation and with the same gripper; "reach_with_object" starts with an object in the hand, which
    must arrive, too. Reward is 1 in the step that reaches the goal, which ends the episode, and 0 in others.
    Info of `reset`: `goal_state` float32 (7,), `goal_image`, `step_seconds`, `task`, `lab`. Info of both:
    `distance_metres` of the hand and `object_distance_metres` (None for "reach") from the goal, `is_success`,
    `clipped` bool (7,): which components of the action were cut (always told: nothing else says it).
    Everything follows from the seed; there is no clock.

    Args:
        camera: "left" or "right".
        width_px: width of the pictures.
        height_px: height of the pictures.
        max_steps: the episode is truncated after so many.
        render_mode: "rgb_array" for `render` to return the picture, or None.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it on the instance
        "render_modes": ["rgb_array"],
        "render_fps": round(1 / STEP_SECONDS),
    }

    def __init__(
        self,
        *,
        camera: CameraName = "left",
        width_px: int = 320,
        height_px: int = 180,
        max_steps: int = 20,
        render_mode: str | None = None,
    ) -> None:
        _check_one_of("camera", camera, get_args(CameraName))
        _check_one_of("render_mode", render_mode, (None, "rgb_array"))
        self._camera, self._width_px, self._height_px = camera, width_px, height_px
        self._max_steps, self.render_mode = max_steps, render_mode
        largest = LARGEST_ACTION.astype(np.float32)
        self.action_space = spaces.Box(-largest, largest, dtype=np.float32)
        picture = spaces.Box(0, 255, (height_px, width_px, 3), np.uint8)
        observed = spaces.Dict({"image": picture, "state": _state_space()})
        self.observation_space = cast(spaces.Space[Observation], observed)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw laboratory, light, camera, objects, start and goal.

        Raises DemoWorldError for an unknown task or option.
        """
        super().reset(seed=seed)
        task = _task(options or {})
        lab = int(self.np_random.integers(len(LABS)))
        self._draw_start_and_goal(task)
        self._set_up_camera(lab)
        self._steps = 0
        goal = {"goal_state": self._goal.state.astype(np.float32), "goal_image": self._goal_image()}
        told = {**goal, "step_seconds": STEP_SECONDS, "task": task, "lab": LABS[lab]}
        return self._observe(), {**told, **self._info(np.zeros(7, dtype=bool))}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply a change of state (7,) over a quarter of a second.

        Raises DemoWorldError for an action of another shape, or that is not finite.
        """
        if np.shape(action) != (7,) or not np.isfinite(action).all():
            raise DemoWorldError(f"An action is 7 finite numbers, a change of state; got {action!r}.")
        clipped = self._table.step(np.asarray(action, dtype=np.float64))
        self._steps += 1
        info = self._info(clipped)
        reached = bool(info["is_success"])
        return self._observe(), float(reached), reached, self._steps >= self._max_steps, info

    def render(self) -> Image | None:
        """The picture (H, W, 3) of the present state, or None without a render mode."""
        return None if self.render_mode is None else self._image.copy()

    def _draw_start_and_goal(self, task: Task) -> None:
        props = draw_props(self.np_random)
        gripper = 0.0 if task == "reach" else closed_around(props[0])
        start, goal = _draw_tips(self.np_random)
        self._table = Tabletop(arm_with_tip(start, gripper), props)
        self._goal = arm_with_tip(goal, gripper)
        self._goal_props = list(self._table.prop_poses)
        if task == "reach_with_object":
            grasping = arm_with_tip(grasp_tip(props[0], props[0].place), gripper)
            in_hand = pose_in_hand(grasping.hand, resting_pose(props[0].place))
            self._table.take_hold(0, in_hand)
            self._goal_props[0] = self._goal.hand @ in_hand
        self._carries = task == "reach_with_object"

    def _set_up_camera(self, lab: int) -> None:
        size = {"width_px": self._width_px, "height_px": self._height_px}
        around = draw_surroundings(self.np_random, site=lab, **size)
        self._photographer = Photographer(around, around.exterior[self._camera], self._table.props)

    def _goal_image(self) -> Image:
        return self._photographer.take(self._goal, self._goal_props)

    def _observe(self) -> Observation:
        self._image = self._photographer.take(self._table.arm, self._table.prop_poses)
        return {"image": self._image.copy(), "state": self._table.arm.state.astype(np.float32)}

    def _info(self, clipped: Flags) -> dict[str, Any]:
        hand = _metres_between(self._table.arm.hand, self._goal.hand)
        carried = _metres_between(self._table.prop_poses[0], self._goal_props[0]) if self._carries else None
        return {
            "distance_metres": hand,
            "object_distance_metres": carried,
            "is_success": max(hand, carried or 0.0) < REACHED_METRES,
            "clipped": clipped,
        }


def straight_to(state: NDArray[np.float32], goal_state: NDArray[np.float32]) -> NDArray[np.float32]:
    """The oracle's action (7,): straight from a state (7,) towards the goal's, as far as one step may go."""
    action = action_between(state.astype(np.float64), goal_state.astype(np.float64))
    share = np.abs(action) / LARGEST_ACTION
    return np.asarray(action / max(1.0, float(share.max())), dtype=np.float32)


def _draw_tips(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Fingertip poses (6,) of start and goal, 10 to 30 cm apart, turned alike."""
    while True:
        start = rng.uniform(DRAWN_LOW, DRAWN_HIGH)
        goal = np.append(rng.uniform(DRAWN_LOW[:3], DRAWN_HIGH[:3]), start[3:])
        if _GOAL_METRES[0] <= np.linalg.norm(goal[:3] - start[:3]) <= _GOAL_METRES[1] and _reachable(
            start, goal
        ):
            return start, goal


def _reachable(*tips: Floats) -> bool:
    return all(arm_with_tip(tip, 0.0).reachable for tip in tips)


def _state_space() -> spaces.Box:
    """The hand is a tool's length from the fingertips, which keep to the workspace."""
    low = np.concatenate([TIP_LOW[:3] - TOOL_METRES, np.full(3, -np.pi), [0.0]])
    high = np.concatenate([TIP_HIGH[:3] + TOOL_METRES, np.full(3, np.pi), [1.0]])
    return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)


def _metres_between(first: Floats, second: Floats) -> float:
    return float(np.linalg.norm(first[:3, 3] - second[:3, 3]))


def _task(options: dict[str, Any]) -> Task:
    for name in options:
        _check_one_of("option", name, ("task",))
    task: Task = options.get("task", "reach")
    _check_one_of("task", task, get_args(Task))
    return task


def _check_one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise DemoWorldError(f"{name} is {value!r}; expected one of {', '.join(map(repr, known))}.")


gymnasium.register("permafrost/DemoWorld-v0", entry_point=f"{__name__}:DemoWorld")
