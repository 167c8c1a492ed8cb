"""The baseline to beat: a linear map from a token, the action and the state to the token's change.

Legend: B clips, T frames, N tokens per frame, D encoder width, A action size (7), X rows, P inputs (D + 15).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from train.clips import Clips
from train.objective import normalise_latents
from train.poses import integrate_pose

RIDGE: Final = 1e-3
"""Of the mean squared input: enough to solve for inputs that never change."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearDynamics:
    """Change of each token = [token, action, state, 1] @ weight_PD, the same for all places in the frame."""

    weight_PD: Tensor

    def rollout(self, first_BND: Tensor, first_state_BA: Tensor, actions_BTA: Tensor) -> Tensor:
        """Open loop as `train.objective.rollout`: normalised latents (B, T, N, D) of T actions."""
        latent_BND, state_BA, predicted = first_BND, first_state_BA, []
        for action_BA in actions_BTA.unbind(dim=1):
            # In float64, which autocast leaves alone: the baseline is the same on every device.
            input_XP = _inputs(latent_BND[:, None], action_BA[:, None], state_BA[:, None])
            change_XD = (input_XP @ self.weight_PD.double()).float()
            latent_BND = normalise_latents(latent_BND + change_XD.view_as(latent_BND))
            state_BA = integrate_pose(state_BA, action_BA)
            predicted.append(latent_BND)
        return torch.stack(predicted, dim=1)


class LinearFit:
    """Ridge regression over all steps of the added clips, in float64 and in the memory of one batch."""

    def __init__(self) -> None:
        self._gram_PP, self._moment_PD = torch.zeros(()), torch.zeros(())

    def add(self, clips: Clips) -> None:
        """Take one batch in."""
        input_XP = _inputs(clips.latents_BTND[:, :-1], clips.actions_BTA, clips.states_BTA[:, :-1])
        change_XD = clips.latents_BTND.diff(dim=1).flatten(0, 2).double()
        self._gram_PP = input_XP.mT @ input_XP + self._gram_PP
        self._moment_PD = input_XP.mT @ change_XD + self._moment_PD

    def fitted(self) -> LinearDynamics:
        """Of all that was added."""
        gram_PP = self._gram_PP
        shift = RIDGE * gram_PP.diagonal().mean()
        eye_PP = torch.eye(len(gram_PP), dtype=gram_PP.dtype, device=gram_PP.device)
        weight_PD = torch.linalg.solve(gram_PP + shift * eye_PP, self._moment_PD).float()
        return LinearDynamics(weight_PD=weight_PD)


def _inputs(latents_BTND: Tensor, actions_BTA: Tensor, states_BTA: Tensor) -> Tensor:
    """One row for every token of every frame, float64 (X, P)."""
    ones_BT1 = torch.ones_like(states_BTA[..., :1])
    condition_BTC = torch.cat([actions_BTA, states_BTA, ones_BT1], dim=-1)
    condition_BTNC = condition_BTC[:, :, None].expand(*latents_BTND.shape[:3], -1)
    return torch.cat([latents_BTND, condition_BTNC], dim=-1).flatten(0, 2).double()
