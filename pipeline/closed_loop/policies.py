"""Who decides what the arm does next.

Legend: N tokens per frame, D encoder width, A action size (7).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featurize.demo_data.environment import Observation
from pipeline.closed_loop.seeing import Picture, Sight
from train.planning.bounds import ActionBounds
from train.planning.planner import Planner

Action = NDArray[np.float32]
"""(7,), a change of state."""


class Policy(Protocol):
    """Acts through one episode towards a picture of the goal; knows nothing else of it."""

    def begin(self, goal_image: Picture, /, *, seed: int) -> None:
        """A new episode; everything random in it follows from the seed."""

    def act(self, observation: Observation, /) -> Action:
        """The next action."""


class Zero:
    """Does nothing."""

    def begin(self, _goal_image: Picture, /, *, seed: int) -> None:
        """Nothing to prepare."""

    def act(self, _observation: Observation, /) -> Action:
        """Stay."""
        return np.zeros(7, np.float32)


@dataclass(kw_only=True)
class Random:
    """Draws every action uniformly within the bounds that the planner has."""

    bounds: ActionBounds

    def begin(self, _goal_image: Picture, /, *, seed: int) -> None:
        """Seed the draws."""
        self._generator = np.random.default_rng(seed)

    def act(self, _observation: Observation, /) -> Action:
        """Anything."""
        limits_A = self.bounds.limits(torch.zeros(7)).numpy()
        return self._generator.uniform(-limits_A, limits_A).astype(np.float32)


@dataclass(kw_only=True)
class Planned:
    """Plans from what it sees to the goal's latent, takes the first action, looks and plans again."""

    sight: Sight
    planner: Planner

    def begin(self, goal_image: Picture, /, *, seed: int) -> None:
        """Encode the goal."""
        self._goal_ND: Tensor = self.sight.latents([goal_image])[0]
        self._seed, self._step = seed, 0

    def act(self, observation: Observation, /) -> Action:
        """The first action of the best plan found."""
        latent_ND = self.sight.latents([observation["image"]])[0]
        state_A = torch.from_numpy(observation["state"])
        seed = int(np.random.SeedSequence([self._seed, self._step]).generate_state(1)[0])
        self._step += 1
        action_A: Action = self.planner.act(latent_ND, state_A, self._goal_ND, seed=seed).cpu().numpy()
        return action_A
