"""What happens in an episode: which object is taken where, and where the hand wanders before and after.

Every direction, distance, speed and turn is drawn anew, so that what the hand does next does not follow from
what it did: a world model has to read the actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from featurize.demo_data.geometry import Floats
from featurize.demo_data.motion import Leg, Motion
from featurize.demo_data.props import Prop, free_place

GRIPPER_WIDTH_METRES = 0.085
"""Distance between the finger pads of the open gripper."""

# Fingertip pose limits. The roll stays short of pi, where the Euler angle would jump to -pi.
TIP_LOW = np.array([0.32, -0.27, 0.13, np.pi - 0.45, -0.25, -0.8])
TIP_HIGH = np.array([0.60, 0.27, 0.34, np.pi - 0.08, 0.25, 0.8])
_GRASP_ROLL_RADIANS = np.pi - 0.1
_LIFT_METRES = 0.15
_HOLD_SECONDS = 0.5
_GRIPPER_SETTLED_SECONDS = 0.4
_GRIPPER_LOOSE_SECONDS = 0.1
_SPEEDS_METRES_PER_SECOND = (0.16, 0.40)
_SHORTEST_LEG_SECONDS = 0.2
_STROLL_METRES = (0.05, 0.14)
_DETOUR_METRES = 0.05
_MISS_METRES = 0.06

Outcome = Literal["placed", "wandered", "missed", "dropped"]


@dataclass(frozen=True, kw_only=True)
class Hold:
    """From when to when (seconds into the motion) the first object moves with the hand."""

    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Story:
    """A motion of the hand and what it means: the hold of the first object (None: never held), the task."""

    motion: Motion
    hold: Hold | None
    task: str
    success: bool


def tell(rng: np.random.Generator, props: Sequence[Prop], *, outcome: Outcome, seconds: float) -> Story:
    """Draw the story of one episode that lasts at least `seconds`.

    Args:
        rng: source of every choice.
        props: the objects on the table; the first is the one that is handled.
        outcome: "placed" and "wandered" are successes, "missed" (the fingers close beside the object) and
            "dropped" (it slips out on the way) are failures.
        seconds: least duration; wandering fills what the handling leaves. Handling takes 4 to 6 seconds.
    """
    first_tip = rng.uniform(TIP_LOW, TIP_HIGH)
    legs = _wander(rng, first_tip, 0.8)
    hold = None
    if outcome != "wandered":
        handling, hold = _handle(rng, legs[-1].tip, props, outcome, start_seconds=_total_seconds(legs))
        legs += handling
    legs += _wander(rng, legs[-1].tip, seconds - _total_seconds(legs))
    return Story(
        motion=Motion(first_tip, legs),
        hold=hold,
        task=_task_text(props[0], outcome),
        success=outcome in ("placed", "wandered"),
    )


def _handle(
    rng: np.random.Generator, tip: Floats, props: Sequence[Prop], outcome: Outcome, *, start_seconds: float
) -> tuple[list[Leg], Hold | None]:
    target, others = props[0], np.array([prop.place[:2] for prop in props])
    goal = free_place(rng, others)
    grasp = grasp_tip(target, target.place)
    if outcome == "missed":
        grasp[:2] += _MISS_METRES * np.array([np.cos(grasp[5]), np.sin(grasp[5])])
    closed = 1.0 if outcome == "missed" else closed_around(target)
    legs = [*_travel(rng, tip, _above(grasp), 0.0), _leg(rng, _above(grasp), grasp, 0.0)]
    attached = start_seconds + _total_seconds(legs) + _GRIPPER_SETTLED_SECONDS
    legs += [Leg(tip=grasp, gripper=closed, seconds=_HOLD_SECONDS), _leg(rng, grasp, _above(grasp), closed)]
    if outcome == "missed":
        return legs, None
    place = grasp_tip(target, goal)
    legs += _wander(rng, legs[-1].tip, 0.7, gripper=closed)
    slipped = start_seconds + _total_seconds(legs) + _GRIPPER_LOOSE_SECONDS
    carried = 0.35 if outcome == "dropped" else closed
    legs += [*_travel(rng, legs[-1].tip, _above(place), carried), _leg(rng, _above(place), place, carried)]
    released = start_seconds + _total_seconds(legs) + _GRIPPER_LOOSE_SECONDS
    legs += [Leg(tip=place, gripper=0.0, seconds=_HOLD_SECONDS), _leg(rng, place, _above(place), 0.0)]
    return legs, Hold(start_seconds=attached, end_seconds=slipped if outcome == "dropped" else released)


def _wander(
    rng: np.random.Generator, tip: Floats, seconds: float, *, gripper: float | None = None
) -> list[Leg]:
    """Legs to random poses above the objects for at least `seconds`; the gripper plays unless it is given."""
    legs: list[Leg] = []
    opening = 0.0
    while _total_seconds(legs) < seconds:
        if gripper is None and rng.random() < 0.25:
            opening = float(rng.uniform(0.0, 1.0))
        goal = _nearby(rng, tip)
        legs.append(_leg(rng, tip, goal, opening if gripper is None else gripper))
        tip = goal
    return legs


def _nearby(rng: np.random.Generator, tip: Floats) -> Floats:
    """A pose a few centimetres away in a random direction, turned at random, inside the limits."""
    direction = rng.normal(size=3)
    direction *= rng.uniform(*_STROLL_METRES) / np.linalg.norm(direction)
    turn = rng.uniform([-0.2, -0.25, -0.5], [0.2, 0.25, 0.5])
    goal: Floats = np.clip(tip + np.concatenate([direction, turn]), TIP_LOW, TIP_HIGH)
    return goal


def _travel(rng: np.random.Generator, start: Floats, end: Floats, gripper: float) -> list[Leg]:
    """Two legs by way of a point beside the straight line, as a person at the controls would go."""
    middle = 0.5 * (start + end)
    middle[:3] += rng.uniform([-_DETOUR_METRES, -_DETOUR_METRES, 0.0], _DETOUR_METRES)
    return [_leg(rng, start, middle, gripper), _leg(rng, middle, end, gripper)]


def _leg(rng: np.random.Generator, start: Floats, end: Floats, gripper: float) -> Leg:
    speed = rng.uniform(*_SPEEDS_METRES_PER_SECOND)
    distance = float(np.linalg.norm(end[:3] - start[:3]))
    return Leg(tip=end, gripper=gripper, seconds=max(distance / speed, _SHORTEST_LEG_SECONDS))


def closed_around(prop: Prop) -> float:
    """Gripper position, 0 open to 1 closed, at which the finger pads touch an object across its y axis."""
    return float(1.0 - prop.size_metres[1] / GRIPPER_WIDTH_METRES)


def grasp_tip(prop: Prop, place: Floats) -> Floats:
    """Fingertip pose (6,) at which an object standing at a place (3,) is grasped."""
    height = max(0.55 * prop.size_metres[2], 0.025)
    return np.array([place[0], place[1], height, _GRASP_ROLL_RADIANS, 0.0, place[2]])


def _above(tip: Floats) -> Floats:
    lifted: Floats = tip + np.array([0.0, 0.0, _LIFT_METRES, 0.0, 0.0, 0.0])
    return lifted


def _total_seconds(legs: Sequence[Leg]) -> float:
    return sum(leg.seconds for leg in legs)


def _task_text(prop: Prop, outcome: Outcome) -> str:
    if outcome == "wandered":
        return "Move the gripper around above the table"
    return f"Pick up the {prop.colour_name} {prop.kind} and put it down somewhere else on the table"
