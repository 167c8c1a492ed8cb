"""One predictor in several processes: each takes the gradients of its share, and all take the same step.

Legend: B clips, T frames, N tokens per frame, D encoder width, A action and state size (7).
"""

from functools import partial

import torch
from torch import nn

from train.assembly import named_losses
from train.clips import Clips
from train.predictor import ACTION_SIZE, Predictor
from train.ranks import Ranks
from train.recipe import TrainRecipe
from train.share import share_of


def replicated_losses(recipe: TrainRecipe, predictor: Predictor, ranks: Ranks) -> nn.Module:
    """`named_losses` of a process's clips, whose backward pass leaves the mean gradient of all processes.

    Every process then has the first one's weights.
    """
    losses_of = ranks.synchronised(named_losses(recipe, predictor, ranks.device))
    if ranks.size > 1:
        # DDP sorts its buckets by the first backward pass, and the order of sums follows from theirs. With
        # that pass before the first update, a resumed run adds as the uninterrupted one, bit for bit.
        losses_of(_blank_clips(recipe, predictor, ranks))["loss"].backward()
        predictor.zero_grad(set_to_none=True)
    return losses_of


def _blank_clips(recipe: TrainRecipe, predictor: Predictor, ranks: Ranks) -> Clips:
    """Zeros in the shapes of a micro-batch, so that nothing is compiled for any other."""
    clips, frames = share_of(recipe, ranks.size).micro_batch_clips, recipe.clip_frames
    zeros_of = partial(torch.zeros, device=ranks.device)
    return Clips(
        latents_BTND=zeros_of(clips, frames, predictor.config.num_tokens, predictor.config.encoder_width),
        states_BTA=zeros_of(clips, frames, ACTION_SIZE),
        actions_BTA=zeros_of(clips, frames - 1, ACTION_SIZE),
    )
