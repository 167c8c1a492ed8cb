"""What a robot saw and did before the frame that a plan starts from.

Shape legend: C earlier frames, N tokens per frame, D encoder width, A action size (7).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from train.planning.search import PlanningError
from train.predictor import ACTION_SIZE, PredictorConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Frames before the present one, oldest first, of which the last led to it.

    latents_CND: layer-normed over channels. states_CA: (C, 7). actions_CA: (C, 7), the change of state from
    each frame to the next; the last one's leads to the present frame.
    """

    latents_CND: Tensor
    states_CA: Tensor
    actions_CA: Tensor

    @property
    def num_frames(self) -> int:
        """How many, C."""
        return len(self.latents_CND)

    def ensure_fits(self, config: PredictorConfig) -> None:
        """Raise PlanningError where the shapes are not those that the predictor takes, or there is none."""
        frames = self.num_frames
        expected = ((frames, config.num_tokens, config.encoder_width), *[(frames, ACTION_SIZE)] * 2)
        got = tuple(tuple(values.shape) for values in (self.latents_CND, self.states_CA, self.actions_CA))
        if got != expected or frames < 1:
            raise PlanningError(
                f"A history of {frames} frames has latents, states and actions of shapes {expected}, and at "
                f"least one frame; got {got}. Leave it out where there is none."
            )
