"""A plan between two stored frames, beside what doing nothing would cost and what was done when recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from train.opened_run import OpenedRun
from train.planning.planner import Planner
from train.planning.search import Search
from train.planning.stored_frame import FrameName, StoredFrame, read_frames
from train.poses import pose_difference


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredPlan:
    """actions_HA: the plan. recorded_change_A: what leads from the start's state to the goal's.

    energy, idle_energy: L1 to the goal's latent after the plan, and after as many steps of doing nothing.
    """

    start: FrameName
    goal: FrameName
    actions_HA: torch.Tensor
    recorded_change_A: torch.Tensor
    energy: float
    idle_energy: float
    seconds: float

    @property
    def position_error_metres(self) -> float:
        """Distance of where the plan puts the end effector from where it was at the goal frame."""
        planned_3 = self.actions_HA[:, :3].sum(dim=0)
        return float((planned_3 - self.recorded_change_A[:3]).norm())

    def to_json(self) -> dict[str, Any]:
        """As printed; actions are xyz in metres, Euler angles in radians, gripper."""
        return {
            "start": str(self.start),
            "goal": str(self.goal),
            "actions": self.actions_HA.tolist(),
            "recorded_change": self.recorded_change_A.tolist(),
            "position_error_metres": self.position_error_metres,
            "energy": self.energy,
            "idle_energy": self.idle_energy,
            "seconds": self.seconds,
        }


def plan_between(
    run_path: Path,
    store_path: Path,
    start: FrameName,
    goal: FrameName,
    *,
    search: Search,
    horizon: int,
    seed: int,
    device: str | None = None,
) -> StoredPlan:
    """Plan with the run's last checkpoint from one stored frame to another.

    Raises PlanningError, and what `OpenedRun.open` raises.
    """
    run = OpenedRun.open(run_path, store_path, device=device)
    planner = Planner.of_run(run.predictor, run.checkpoint, run.device, search=search, horizon=horizon)
    here, there = read_frames(run.view, (start, goal))
    return _measured(planner, start, goal, here, there, seed)


def _measured(
    planner: Planner, start: FrameName, goal: FrameName, here: StoredFrame, there: StoredFrame, seed: int
) -> StoredPlan:
    started = time.perf_counter()
    found = planner.plan(here.latent_ND, here.state_A, there.latent_ND, seed=seed)
    actions_HA = found.actions_HA.cpu()
    seconds = time.perf_counter() - started
    tried_SHA = torch.stack([found.actions_HA, torch.zeros_like(found.actions_HA)])
    energy, idle_energy = planner.energies(here.latent_ND, here.state_A, there.latent_ND, tried_SHA).tolist()
    return StoredPlan(
        start=start,
        goal=goal,
        actions_HA=actions_HA,
        recorded_change_A=pose_difference(here.state_A, there.state_A).cpu(),
        energy=energy,
        idle_energy=idle_energy,
        seconds=seconds,
    )
