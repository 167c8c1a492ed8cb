"""How far the action that a planner chooses is from the one that was recorded.

The planner starts from a held-out frame and is shown the frame `horizon` steps later as its goal. What it
chose is compared with the recorded change of state between the two: positions add up over the steps, and so
does the gripper; it never rotates, so the rotation error is the rotation that was recorded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from train.measures.steps import Step
from train.planning.bounds import GRIPPER, ROTATION, XYZ
from train.planning.planner import Planner
from train.poses import euler_to_matrix

SCORE_PER_METRE: Final = 800.0
SCORE_ZERO_METRES: Final = 0.1


def planned_action_errors(planner: Planner, steps: Iterable[Step]) -> dict[str, NDArray[np.float64]]:
    """For every start (S,): distances of the plan's end from the recorded one, and what it took.

    xyz_centimetres: Euclidean. xyz_sum_metres: absolute errors summed over the axes. gripper: 0..1.
    idle_centimetres, idle_gripper: the errors of doing nothing. rotation_degrees, seconds_per_action.
    """
    rows = [_errors_of(planner, step) for step in steps]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def action_score(xyz_sum_metres_S: NDArray[np.float64]) -> float:
    """max(0, 800 (0.1 - E)), E the mean over starts of the error in metres summed over x, y and z.

    The score of the JEPA-WMs study, which takes xyz alone.
    """
    return max(0.0, SCORE_PER_METRE * (SCORE_ZERO_METRES - float(xyz_sum_metres_S.mean())))


def _errors_of(planner: Planner, step: Step) -> dict[str, float]:
    started = time.perf_counter()
    plan = planner.plan(step.latents_TND[0], step.states_TA[0], step.latents_TND[planner.horizon])
    planned_A = plan.actions_HA.sum(dim=0).cpu()
    seconds = time.perf_counter() - started
    recorded_A = step.change(planner.horizon).cpu()
    off_A = planned_A - recorded_A
    return {
        "xyz_centimetres": 100 * float(off_A[XYZ].norm()),
        "xyz_sum_metres": float(off_A[XYZ].abs().sum()),
        "idle_centimetres": 100 * float(recorded_A[XYZ].norm()),
        "rotation_degrees": math.degrees(_angle_radians(recorded_A[ROTATION])),
        "gripper": float(off_A[GRIPPER].abs()),
        "idle_gripper": float(recorded_A[GRIPPER].abs()),
        "seconds_per_action": seconds / planner.horizon,
    }


def _angle_radians(euler_3: torch.Tensor) -> float:
    """Of the one rotation that these Euler angles make."""
    cosine = (euler_to_matrix(euler_3).diagonal().sum() - 1.0) / 2.0
    return float(cosine.clamp(-1.0, 1.0).acos())
