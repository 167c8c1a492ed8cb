"""Is the encoder the limit of closed-loop planning? Plan with the world itself in the predictor's place.

    python tests/benchmarks/encoder_ceiling.py --episodes 20 --encoders vit-tiny-random,pixels

Actions are searched as `permafrost closed-loop` does, but what they lead to is drawn by the world and
encoded instead of predicted. What an encoder does not reach here no predictor reaches with it. 'pixels' are
hand-built features: each of 4 x 4 patches as its 8 x 8 mean colours.
"""

import argparse
from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from featurize.demo_data.environment import DemoWorld
from featurize.encoder.registry import load_encoder
from pipeline.closed_loop.policies import Action
from pipeline.closed_loop.seeing import Picture, Sight
from pipeline.closed_loop.trial import try_policy
from train.planning.bounds import ActionBounds
from train.planning.search import Cem

IMAGE_PX, PATCH_COLOURS = 64, 8
BOUNDS = ActionBounds(xyz_metres=0.1, gripper=0.45)
SEARCH = Cem(samples=32, rounds=3, elites=6)

Latents = Callable[[Sequence[Picture]], Tensor]


class Pixels:
    """Mean colours, in the place of a `FrozenEncoder`."""

    class spec:  # noqa: N801 - an attribute of encoders
        """Its pictures."""

        image_size_px = IMAGE_PX

    def encode(self, frames_FCHW: Tensor) -> Tensor:
        """Latents (F, 16, 192), layer-normed over channels."""
        small_FCHW = F.adaptive_avg_pool2d(frames_FCHW, 4 * PATCH_COLOURS)
        patches_FND = F.unfold(small_FCHW, PATCH_COLOURS, stride=PATCH_COLOURS).transpose(1, 2)
        return F.layer_norm(patches_FND, patches_FND.shape[-1:])


class WorldPlanner:
    """Plans one step ahead in copies of the world that it acts in."""

    def __init__(self, latents: Latents, world: DemoWorld) -> None:
        self.latents, self.world = latents, world

    def begin(self, goal_image: Picture, /, *, seed: int) -> None:
        """Encode the goal; the world has been reset to the episode already."""
        self._goal_ND = self.latents([goal_image])[0]
        self._generator = torch.Generator().manual_seed(seed)

    def act(self, _observation: object, /) -> Action:
        """The best action found."""
        found = SEARCH(self._energies, 1, BOUNDS, self._generator)
        action_A: Action = found.actions_HA[0].numpy()
        return action_A

    def _energies(self, actions_SHA: Tensor) -> Tensor:
        seen_SND = self.latents([self._picture_after(action) for action in actions_SHA[:, 0].numpy()])
        return (seen_SND - self._goal_ND).abs().mean((1, 2))

    def _picture_after(self, action: Action) -> Picture:
        table = deepcopy(self.world._table)
        table.step(action.astype(np.float64))
        return self.world._photographer.take(table.arm, table.prop_poses)


def latents_of(name: str) -> Latents:
    """What sees with the encoder of this name."""
    return Sight(encoder=Pixels() if name == "pixels" else load_encoder(name)).latents  # type: ignore[arg-type]


def main() -> None:
    """Try every encoder on the same episodes."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--episodes", type=int, default=50)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--encoders", default="vit-tiny-random,pixels")
    options.add_argument("--task", default="reach")
    asked = options.parse_args()
    seeds = range(asked.seed, asked.seed + asked.episodes)
    for name in asked.encoders.split(","):
        world = DemoWorld(max_steps=10)
        trial = try_policy(WorldPlanner(latents_of(name), world), asked.task, seeds, world=world)
        facts = trial.to_json()
        rate = facts["success_rate"]
        reached = f"{facts['successes']} of {facts['episodes']} [{rate['low']:.2f}, {rate['high']:.2f}]"
        print(f"{name:<24} {reached}, ends {facts['mean_end_centimetres']:.1f} cm off")


if __name__ == "__main__":
    main()
