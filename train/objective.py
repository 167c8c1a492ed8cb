"""The two named losses of the predictor, and its open-loop rollout.

Shape legend: B clips, T frames, N tokens per frame, D encoder width, A action size (7).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from train.poses import integrate_pose
from train.predictor import Predictor
from train.prefix import NO_FRAMES, Prefix


class ClipTooShortError(ValueError):
    """A clip has too few frames for the losses asked of it."""


def normalise_latents(latents_BTND: torch.Tensor) -> torch.Tensor:
    """Layer norm over the channels without learned scale or shift, as the stored latents have it."""
    return F.layer_norm(latents_BTND, latents_BTND.shape[-1:])


def teacher_forcing_loss(predicted_BTND: torch.Tensor, latents_BTND: torch.Tensor) -> torch.Tensor:
    """Mean |prediction - latent| over the frames after the first, every one predicted from recorded frames.

    `predicted_BTND` holds the T-1 predictions of frames 1..T-1 of `latents_BTND` (T frames).
    """
    return F.l1_loss(predicted_BTND, latents_BTND[:, 1:])


def rollout_loss(
    predictor: Predictor,
    first_frame: Prefix,
    predicted_BTND: torch.Tensor,
    latents_BTND: torch.Tensor,
    actions_BTA: torch.Tensor,
    states_BTA: torch.Tensor,
    rollout_steps: int,
) -> torch.Tensor:
    """Mean |prediction - latent| over frames 1..`rollout_steps`, predicted from frame 0 and own predictions.

    The first of these frames is the teacher-forced prediction (it saw frame 0 alone) and counts in the mean;
    states and actions are the recorded ones; gradient flows back through every prediction fed in. So does the
    public training script (`forward_predictions` in `app/vjepa_droid/train.py` of facebookresearch/vjepa2),
    which computes frame 0 and every fed frame again at each step: here each is computed once, and frame 0 by
    teacher forcing already (`first_frame`; not read where `rollout_steps` is 1).
    """
    prefix, rolled_out_B1ND = first_frame, [predicted_BTND[:, :1]]
    for frame in range(1, rollout_steps):
        output_B1ND, prefix = predictor.extend(
            prefix,
            rolled_out_B1ND[-1],
            actions_BTA[:, frame : frame + 1],
            states_BTA[:, frame : frame + 1],
            keep=int(frame + 1 < rollout_steps),
        )
        rolled_out_B1ND.append(normalise_latents(output_B1ND))
    return F.l1_loss(torch.cat(rolled_out_B1ND, dim=1), latents_BTND[:, 1 : rollout_steps + 1])


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Teacher forcing plus a rollout of `rollout_steps` frames, unweighted (arXiv 2506.09985, section 3)."""

    rollout_steps: int = 2

    def __post_init__(self) -> None:
        if self.rollout_steps < 1:
            raise ValueError(f"rollout_steps is {self.rollout_steps}; it must be at least 1.")

    def __call__(
        self,
        predictor: Predictor,
        latents_BTND: torch.Tensor,
        actions_BTA: torch.Tensor,
        states_BTA: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Scalars 'loss', 'teacher_forcing_loss' and 'rollout_loss' of a batch of clips.

        Latents (B, T, N, D) are layer-normed; actions are (B, T-1, 7), states (B, T, 7).

        Raises ClipTooShortError where the clip ends before the rollout does.
        """
        self._ensure_long_enough(latents_BTND.shape[1])
        output_BTND, first_frame = predictor.extend(
            None, latents_BTND[:, :-1], actions_BTA, states_BTA[:, :-1], keep=int(self.rollout_steps > 1)
        )
        predicted_BTND = normalise_latents(output_BTND)
        teacher_forced = teacher_forcing_loss(predicted_BTND, latents_BTND)
        rolled_out = rollout_loss(
            predictor,
            first_frame,
            predicted_BTND,
            latents_BTND,
            actions_BTA,
            states_BTA,
            self.rollout_steps,
        )
        return {
            "loss": teacher_forced + rolled_out,
            "teacher_forcing_loss": teacher_forced,
            "rollout_loss": rolled_out,
        }

    def _ensure_long_enough(self, num_frames: int) -> None:
        if num_frames <= self.rollout_steps:
            raise ClipTooShortError(
                f"A rollout of {self.rollout_steps} steps needs clips of at least {self.rollout_steps + 1} "
                f"frames, got {num_frames}. Use longer clips or fewer rollout_steps."
            )


def rollout(
    predictor: Predictor,
    first_latent_BND: torch.Tensor,
    first_state_BA: torch.Tensor,
    actions_BTA: torch.Tensor,
    *,
    prefix: Prefix = NO_FRAMES,
) -> torch.Tensor:
    """Predict T frames from one frame, its state and T actions alone: normalised latents (B, T, N, D).

    Later latents are the predictor's own and later states are integrated from the actions given, so nothing
    recorded after the first frame comes in. Every frame is computed once. prefix: frames before the first.
    """
    num_frames = actions_BTA.shape[1]
    latent_B1ND, state_BA, predicted_B1ND = first_latent_BND[:, None], first_state_BA, []
    for step in range(num_frames):
        action_BA = actions_BTA[:, step]
        output_B1ND, prefix = predictor.extend(
            prefix, latent_B1ND, action_BA[:, None], state_BA[:, None], keep=int(step + 1 < num_frames)
        )
        latent_B1ND = normalise_latents(output_B1ND)
        predicted_B1ND.append(latent_B1ND)
        state_BA = integrate_pose(state_BA, action_BA)
    return torch.cat(predicted_B1ND, dim=1)
