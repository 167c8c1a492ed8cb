"""Whether the recorded action lies low in the energy landscape around it, one step ahead.

Legend: S samples, A action size (7).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.measures.steps import Step
from train.planning.bounds import GRIPPER, XYZ
from train.planning.planner import Planner

NUM_SAMPLES: Final = 256
MOVING_GRIPPER: Final = 0.05
"""A smaller change of the gripper has no sign worth telling."""


def energy_landscape(planner: Planner, steps: Iterable[Step]) -> dict[str, NDArray[np.float64]]:
    """For every start (S,), the recorded action among `NUM_SAMPLES` drawn uniformly within the bounds.

    rank: share of the samples that lie lower, equal ones counted half: 0 at best and 0.5 by chance.
    minimum_centimetres: distance of the lowest sample from the recorded action. chance_centimetres: mean
    distance of all samples from it.
    gripper_sign: 1 where the recorded action lies lower than the one that moves the gripper the other way and
    is else the same, 0 where higher, one half where neither, NaN where the gripper stood still.
    """
    rows = [_landscape_of(planner, step, number) for number, step in enumerate(steps)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _landscape_of(planner: Planner, step: Step, seed: int) -> dict[str, float]:
    recorded_A = step.actions_TA[0]
    sample_SA = uniform_actions(planner, NUM_SAMPLES, seed)
    # Rotation is given, not searched, so that samples differ from the recording by what planners choose.
    sample_SA[:, 3:6] = recorded_A[3:6]
    tried_SHA = torch.cat([recorded_A[None], _other_way(recorded_A)[None], sample_SA])[:, None]
    energy_S = planner.energies(step.latents_TND[0], step.states_TA[0], step.latents_TND[1], tried_SHA)
    recorded, other_way, sample_S = energy_S[0], energy_S[1], energy_S[2:]
    distance_S = 100 * (sample_SA[:, XYZ] - recorded_A[XYZ]).norm(dim=-1)
    gripper_moves = float(recorded_A[GRIPPER].abs()) >= MOVING_GRIPPER
    return {
        "rank": share_below(sample_S, recorded),
        "minimum_centimetres": float(distance_S[sample_S.argmin()]),
        "chance_centimetres": float(distance_S.mean()),
        "gripper_sign": 1.0 - share_below(other_way[None], recorded) if gripper_moves else float("nan"),
    }


def _other_way(recorded_A: Tensor) -> Tensor:
    other_A = recorded_A.clone()
    other_A[GRIPPER] *= -1
    return other_A


def share_below(energy_S: Tensor, recorded: Tensor) -> float:
    """Share of energies below the recorded action's; one half where the predictor ignores actions."""
    below, equal = (energy_S < recorded).float().mean(), (energy_S == recorded).float().mean()
    return float(below + equal / 2)


def uniform_actions(planner: Planner, num_samples: int, seed: int) -> Tensor:
    """Actions (S, 7) drawn within the planner's bounds, without rotation."""
    generator = torch.Generator(planner.device).manual_seed(seed)
    uniform_SA = torch.rand(num_samples, 7, generator=generator, device=planner.device) * 2 - 1
    return uniform_SA * planner.bounds.limits(uniform_SA)
