"""The way that a planner would take between two held-out frames, beside the way that was taken.

Legend: H steps, A action size (7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.measures.steps import Step
from train.planning.bounds import XYZ
from train.planning.planner import Planner


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedPath:
    """Both from the frame where the plan starts to H steps later.

    planned_metres, recorded_metres: float64 (H + 1, 3), the end effector's xyz in the robot's frame: of the
    plan by adding up its actions, no model in between; of the recording as measured. energy: L1 between the
    latent predicted after the plan and that of the goal; idle_energy: after as many steps of doing nothing;
    recorded_energy: after the recorded actions.
    """

    planned_metres: NDArray[np.float64]
    recorded_metres: NDArray[np.float64]
    energy: float
    idle_energy: float
    recorded_energy: float

    @property
    def off_metres(self) -> float:
        """Distance of the plan's end from where the end effector was in the goal frame."""
        return float(np.linalg.norm(self.planned_metres[-1] - self.recorded_metres[-1]))

    @property
    def moved_metres(self) -> float:
        """Distance between start and goal: what doing nothing would be off."""
        return float(np.linalg.norm(self.recorded_metres[-1] - self.recorded_metres[0]))


def planned_path(planner: Planner, step: Step) -> PlannedPath:
    """Plan from the step's first frame to the one `planner.horizon` later."""
    horizon = planner.horizon
    start_ND, state_A, goal_ND = step.latents_TND[0], step.states_TA[0], step.latents_TND[horizon]
    plan_HA = planner.plan(start_ND, state_A, goal_ND).actions_HA
    tried_SHA = torch.stack([plan_HA, torch.zeros_like(plan_HA), step.actions_TA[:horizon]])
    energy, idle_energy, recorded_energy = planner.energies(start_ND, state_A, goal_ND, tried_SHA).tolist()
    return PlannedPath(
        planned_metres=_positions(state_A, plan_HA),
        recorded_metres=step.states_TA[: horizon + 1, XYZ].double().cpu().numpy(),
        energy=energy,
        idle_energy=idle_energy,
        recorded_energy=recorded_energy,
    )


def _positions(state_A: Tensor, actions_HA: Tensor) -> NDArray[np.float64]:
    moves_H3 = torch.cat([state_A[None, XYZ], actions_HA[:, XYZ]]).double()
    positions_H3: NDArray[np.float64] = moves_H3.cumsum(dim=0).cpu().numpy()
    return positions_H3
