"""What a recipe and a store make together: the predictor's sizes, the draws and the losses."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from store_schema.attributes import DimensionStatistics
from train.clips import Clips
from train.device import autocast
from train.drawn_clips import DrawnClips
from train.objective import Objective
from train.predictor import Predictor, PredictorConfig
from train.presets import LatentShape, find_preset
from train.ranks import ALONE, Ranks
from train.recipe import TrainRecipe
from train.share import share_of
from train.subset import long_enough, nested_subset
from train.view import View
from train.windows import WindowSampler

MIN_STD: Final = 1e-6


class UnsealedStoreError(ValueError):
    """The store is not finished, and the run needs what finishing computes."""


def predictor_config(recipe: TrainRecipe, view: View) -> PredictorConfig:
    """The preset's predictor for the latents of this view. Raises PresetShapeError, UnsealedStoreError."""
    encoder = view.attributes.fingerprint.encoder
    shape = LatentShape(
        grid_height=encoder.grid_height, grid_width=encoder.grid_width, encoder_width=encoder.width
    )
    preset = find_preset(recipe.preset)
    config = replace(preset.config(shape), head=recipe.head)
    return replace(config, **_input_statistics(view)) if preset.standardises_inputs else config


def _input_statistics(view: View) -> dict[str, Any]:
    """Means and deviations over the training split; a dimension that never changes is left unscaled."""
    actions, states = view.action_statistics, view.state_statistics
    if actions is None or states is None:
        raise UnsealedStoreError(
            f"Store {view.name} is not sealed and lacks the statistics that scale actions. "
            "Finish it with `permafrost featurize`, or train the preset 'vjepa2-ac', which needs none."
        )
    return {
        "action_mean": actions.mean,
        "action_std": _scales(actions),
        "state_mean": states.mean,
        "state_std": _scales(states),
    }


def _scales(statistics: DimensionStatistics) -> tuple[float, ...]:
    return tuple(std if std > MIN_STD else 1.0 for std in statistics.std)


def window_sampler(recipe: TrainRecipe, view: View, ranks: Ranks = ALONE) -> WindowSampler:
    """This process's draws of a recipe over the training split of a view. Raises SubsetError."""
    trajectories = long_enough(view.split("train"), recipe.clip_frames)
    if recipe.hours is not None:
        trajectories = nested_subset(
            trajectories,
            hours=recipe.hours,
            subset_seed=recipe.subset_seed,
            frame_rate_hz=view.attributes.fingerprint.frame_rate_hz,
        )
    return WindowSampler.over(
        trajectories,
        clip_frames=recipe.clip_frames,
        batch_clips=recipe.batch_clips,
        sample_by=recipe.sample_by,
        seed=recipe.seed,
        rank=ranks.rank,
        world_size=ranks.size,
    )


def drawn_clips(recipe: TrainRecipe, view: View, ranks: Ranks = ALONE) -> DrawnClips:
    """This process's clips of a recipe, in the order of its updates. Raises ShareError, SubsetError."""
    share = share_of(recipe, ranks.size)
    return DrawnClips(
        supply=view.clips,
        sampler=window_sampler(recipe, view, ranks),
        clip_frames=recipe.clip_frames,
        micro_batch_clips=share.micro_batch_clips,
    )


def named_losses(recipe: TrainRecipe, predictor: Predictor, device: torch.device) -> "PredictorLosses":
    """The objective of a recipe as the loop calls it."""
    return PredictorLosses(predictor, Objective(rollout_steps=recipe.rollout_steps), device)


class PredictorLosses(nn.Module):
    """Predictor and objective as one module: all passes of one loss are one forward pass to DDP."""

    def __init__(self, predictor: Predictor, objective: Objective, device: torch.device) -> None:
        super().__init__()
        self.predictor, self.objective, self.device = predictor, objective, device

    def forward(self, clips: Clips) -> Mapping[str, Tensor]:
        """Named losses of a micro-batch, scalars."""
        with autocast(self.device):
            return self.objective(self.predictor, clips.latents_BTND, clips.actions_BTA, clips.states_BTA)
