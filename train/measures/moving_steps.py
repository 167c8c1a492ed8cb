"""Which held-out steps are worth a picture: those where the arm moved."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from train.held_out import HeldOutClips
from train.measures.steps import Step, spread_over_trajectories, steps_of
from train.planning.bounds import XYZ, ActionBounds


@dataclass(frozen=True, kw_only=True, eq=False)
class MovingStep:
    """A step and where it lies. first_frame: address of its frame 0. moved_metres: over the horizon."""

    first_frame: int
    step: Step
    moved_metres: float


def moving_steps(
    starts: HeldOutClips, bounds: ActionBounds, *, horizon: int, num_starts: int, num_chosen: int
) -> tuple[MovingStep, ...]:
    """Of `num_starts` starts spread over the trajectories, those that the end effector moved farthest from.

    Each is of another trajectory, and the farthest comes first. Starts whose recorded actions leave the
    bounds within the horizon are passed over: no planner could do the same.
    """
    few = spread_over_trajectories(starts, num_starts)
    farthest: dict[int, MovingStep] = {}
    for first_frame, step in zip(few.start_S.tolist(), steps_of(few), strict=True):
        found = MovingStep(first_frame=first_frame, step=step, moved_metres=_moved_metres(step, horizon))
        before = farthest.get(step.trajectory)
        if _within(bounds, step, horizon) and (before is None or before.moved_metres < found.moved_metres):
            farthest[step.trajectory] = found
            farthest = dict(
                heapq.nlargest(num_chosen, farthest.items(), key=lambda pair: pair[1].moved_metres)
            )
    return tuple(farthest.values())


def _moved_metres(step: Step, horizon: int) -> float:
    return float((step.states_TA[horizon, XYZ] - step.states_TA[0, XYZ]).norm())


def _within(bounds: ActionBounds, step: Step, horizon: int) -> bool:
    actions_HA = step.actions_TA[:horizon]
    return bool((actions_HA[:, XYZ].abs() <= bounds.limits(actions_HA)[XYZ]).all())
