"""What each policy does with what it sees."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch

from pipeline.closed_loop.policies import Planned, Random
from train.planning.bounds import ActionBounds

BOUNDS = ActionBounds(xyz_metres=0.1, gripper=0.5)
OBSERVATION = {"image": np.full((4, 4, 3), 7, np.uint8), "state": np.arange(7, dtype=np.float32)}


@dataclass
class RememberingPlanner:
    asked: list = field(default_factory=list)

    def act(self, latent_ND, state_A, goal_latent_ND, *, seed):
        self.asked.append((latent_ND, state_A, goal_latent_ND, seed))
        return torch.full((7,), 0.25)


def brightness(pictures):
    return torch.tensor([[[float(picture.mean())]] for picture in pictures])


def planned(planner):
    return Planned(sight=SimpleNamespace(latents=brightness), planner=planner)


def test_planning_goes_from_the_picture_and_state_it_sees_to_the_goal_it_was_shown():
    planner = RememberingPlanner()
    policy = planned(planner)
    policy.begin(np.full((4, 4, 3), 3, np.uint8), seed=5)
    action = policy.act(OBSERVATION)
    latent_ND, state_A, goal_ND, _ = planner.asked[0]
    assert (latent_ND.item(), state_A.tolist(), goal_ND.item()) == (7.0, list(range(7)), 3.0)
    assert action.tolist() == [0.25] * 7


def test_every_step_of_every_episode_samples_anew_and_repeats_with_its_seed():
    def seeds_of(seed):
        planner = RememberingPlanner()
        policy = planned(planner)
        policy.begin(OBSERVATION["image"], seed=seed)
        for _ in range(3):
            policy.act(OBSERVATION)
        return [asked[3] for asked in planner.asked]

    assert seeds_of(5) == seeds_of(5)
    assert len({*seeds_of(5), *seeds_of(6)}) == 6


def test_random_actions_fill_the_bounds_and_never_rotate():
    policy = Random(bounds=BOUNDS)
    policy.begin(OBSERVATION["image"], seed=0)
    actions = np.stack([policy.act(OBSERVATION) for _ in range(500)])
    largest = np.abs(actions).max(axis=0)
    np.testing.assert_allclose(largest, [0.1, 0.1, 0.1, 0, 0, 0, 0.5], rtol=0.02)
    assert (largest <= np.float32([0.1, 0.1, 0.1, 0, 0, 0, 0.5])).all()


def test_random_actions_repeat_with_their_seed():
    def drawn(seed):
        policy = Random(bounds=BOUNDS)
        policy.begin(OBSERVATION["image"], seed=seed)
        return policy.act(OBSERVATION).tolist()

    assert drawn(3) == drawn(3) != drawn(4)
