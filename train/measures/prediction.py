"""L1 of predictions for every held-out start: open loop by horizon beside its baselines, and teacher-forced.

Legend: B clips, T frames, N tokens per frame, D encoder width, S starts, H horizons.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.clips import Clips
from train.evaluation import (
    COPY_LAST_FRAME,
    HORIZONS,
    SHUFFLED_ACTION,
    ZERO_ACTION,
    Errors,
    open_loop_errors,
)
from train.held_out import HeldOutClips
from train.measures.linear_dynamics import LinearDynamics
from train.measures.steps import Action
from train.objective import normalise_latents
from train.predictor import Predictor

L1 = "l1"
LINEAR_DYNAMICS = "linear_dynamics"
TEACHER_FORCED = "teacher_forced_l1"
BASELINES = (COPY_LAST_FRAME, ZERO_ACTION, SHUFFLED_ACTION)


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionScores:
    """What one pass over all held-out clips gives.

    errors: (S, H) by name, of the predictor ('l1') and of each baseline; 'teacher_forced_l1' is (S, 1).
    actions: every action of the clips, once, by the index of its trajectory.
    """

    errors: dict[str, NDArray[np.float64]]
    actions: dict[int, set[Action]]

    @classmethod
    def of(
        cls, predictor: Predictor, linear: LinearDynamics, starts: HeldOutClips, *, batch_clips: int
    ) -> PredictionScores:
        """Score every start of `starts`."""
        batches, actions = [], defaultdict[int, set[Action]](set)
        trajectories = iter(starts.trajectory_S.tolist())
        for clips in starts.batches(batch_clips):
            batches.append(_errors_of(predictor, linear, clips))
            for of_clip in clips.actions_BTA[:-1].tolist():
                actions[next(trajectories)].update(map(tuple, of_clip))
        errors = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        return cls(errors={name: e.cpu().double().numpy() for name, e in errors.items()}, actions=actions)

    def summary(self, starts: HeldOutClips) -> Errors:
        """What `train.evaluation.measure` gives for the same starts."""
        means = {name: tuple(self.errors[name].mean(axis=0).tolist()) for name in (L1, *BASELINES)}
        return Errors(
            l1=means.pop(L1),
            baselines=means,
            num_starts=len(starts),
            num_trajectories=starts.num_trajectories,
        )


def _errors_of(predictor: Predictor, linear: LinearDynamics, clips: Clips) -> dict[str, Tensor]:
    errors = open_loop_errors(predictor, clips)
    # The last clip of a batch belongs to the next one.
    latents_BTND, actions_BTA = clips.latents_BTND[:-1], clips.actions_BTA[:-1]
    states_BTA = clips.states_BTA[:-1]
    linear_BTND = linear.rollout(latents_BTND[:, 0], states_BTA[:, 0], actions_BTA)
    scored = [horizon - 1 for horizon in HORIZONS]
    errors[LINEAR_DYNAMICS] = _l1(linear_BTND[:, scored], latents_BTND[:, 1:][:, scored])
    forced_BTND = normalise_latents(predictor(latents_BTND[:, :-1], actions_BTA, states_BTA[:, :-1]))
    errors[TEACHER_FORCED] = _l1(forced_BTND, latents_BTND[:, 1:]).mean(dim=1, keepdim=True)
    return errors


def _l1(predicted_BTND: Tensor, target_BTND: Tensor) -> Tensor:
    """Mean absolute difference of every frame, (B, T)."""
    return (predicted_BTND.float() - target_BTND).abs().mean(dim=(2, 3))
