"""Held-out windows predicted open loop, latents and all: what pictures of predictions are made of.

Legend: T frames, N tokens per frame, D encoder width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from train.device import autocast
from train.evaluation import CLIP_FRAMES
from train.held_out import HeldOutClips
from train.measures.steps import spread_over_trajectories
from train.objective import rollout
from train.predictor import Predictor
from train.view import View

MAX_WINDOWS: Final = 4
"""All of them are in memory at once, encoded and predicted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    """`CLIP_FRAMES` consecutive frames of a held-out trajectory, on the view's device, float32.

    first_frame: its address. encoded_TND: as stored. predicted_TND: of frames 1 to T-1, from frame 0, its
    state and the actions alone.
    """

    trajectory: int
    first_frame: int
    encoded_TND: Tensor
    predicted_TND: Tensor


def predict_rollouts(predictor: Predictor, view: View, device: torch.device) -> tuple[Rollout, ...]:
    """Of the first `MAX_WINDOWS` trajectories met in the seeded order of starts. Raises HeldOutError."""
    starts = HeldOutClips.of(view, CLIP_FRAMES)
    chosen = spread_over_trajectories(starts, min(MAX_WINDOWS, starts.num_trajectories))
    (clips,) = chosen.batches(len(chosen))
    with torch.inference_mode(), autocast(device):
        predicted_BTND = rollout(
            predictor, clips.latents_BTND[:-1, 0], clips.states_BTA[:-1, 0], clips.actions_BTA[:-1]
        )
    # The last clip of a batch belongs to the next one.
    windows = zip(
        chosen.trajectory_S.tolist(),
        chosen.start_S.tolist(),
        clips.latents_BTND[:-1],
        predicted_BTND.float(),
        strict=True,
    )
    return tuple(
        Rollout(trajectory=index, first_frame=start, encoded_TND=encoded_TND, predicted_TND=predicted_TND)
        for index, start, encoded_TND, predicted_TND in windows
    )
