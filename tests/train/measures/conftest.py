"""A planner whose energies are what a test says, and steps with nothing but actions to tell."""

from collections.abc import Callable

import pytest
import torch

from train.measures.steps import Step
from train.planning.bounds import ActionBounds
from train.planning.planner import Planner
from train.planning.search import Found
from train.poses import integrate_pose

CPU = torch.device("cpu")
BOUNDS = ActionBounds(xyz_metres=0.05, gripper=0.4)


class ToldPlanner(Planner):
    """`energies` are distances to the action that it was told is right, with a sign."""

    right_A: torch.Tensor
    sign: float = 1.0

    def energies(self, latent_ND, state_A, goal_latent_ND, actions_SHA):
        off_SHA = actions_SHA - goal_latent_ND.flatten()[:7]
        return self.sign * off_SHA.abs().sum(dim=(1, 2))

    def plan(self, latent_ND, state_A, goal_latent_ND, *, seed=0):
        change_A = goal_latent_ND.flatten()[:7]
        return Found(actions_HA=change_A.repeat(self.horizon, 1) / self.horizon, lowest_energies=())


@pytest.fixture
def told_planner() -> Callable[..., Planner]:
    """`told_planner(horizon=1, sign=1.0)`: believes what the first 7 values of the goal's latent say."""

    def make(*, horizon: int = 1, sign: float = 1.0) -> Planner:
        planner = ToldPlanner(predictor=None, device=CPU, bounds=BOUNDS, horizon=horizon)
        object.__setattr__(planner, "sign", sign)
        return planner

    return make


@pytest.fixture
def told_steps() -> Callable[..., list[Step]]:
    """`told_steps(num, offset_A)`: steps whose latent t + 1 tells the recorded action t, plus an offset."""

    def make(
        num_steps: int, *, offset_A: torch.Tensor | None = None, num_trajectories: int = 4
    ) -> list[Step]:
        return [_step(1000 + number, number % num_trajectories, offset_A) for number in range(num_steps)]

    return make


def _step(seed: int, trajectory: int, offset_A: torch.Tensor | None) -> Step:
    generator = torch.Generator().manual_seed(seed)
    actions_TA = (torch.rand(8, 7, generator=generator) * 2 - 1) * BOUNDS.limits(torch.zeros(1))
    states = [torch.tensor([0.4, 0.0, 0.3, 0.1, 0.2, 0.3, 0.5])]
    for action_A in actions_TA:
        states.append(integrate_pose(states[-1], action_A))
    latents_TND = torch.zeros(9, 1, 7)
    latents_TND[1:, 0] = actions_TA
    if offset_A is not None:
        latents_TND[1:, 0] += offset_A
    return Step(
        trajectory=trajectory,
        latents_TND=latents_TND,
        states_TA=torch.stack(states),
        actions_TA=actions_TA,
    )
