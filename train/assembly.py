"""What a recipe and a store make together: the predictor's sizes, the draws and the losses."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from store_schema.store import Store
from train.clips import Clips
from train.device import autocast
from train.objective import Objective
from train.predictor import Predictor, PredictorConfig
from train.presets import LatentShape, find_preset
from train.recipe import TrainRecipe
from train.stream import StoreSource
from train.subset import long_enough, nested_subset
from train.update import NamedLosses
from train.windows import WindowSampler

MIN_STD: Final = 1e-6


class UnsealedStoreError(ValueError):
    """The store is not finished, and the run needs what finishing computes."""


def predictor_config(recipe: TrainRecipe, store: Store) -> PredictorConfig:
    """The preset's predictor for the latents of this store. Raises PresetShapeError, UnsealedStoreError."""
    encoder = store.attributes.fingerprint.encoder
    shape = LatentShape(
        grid_height=encoder.grid_height, grid_width=encoder.grid_width, encoder_width=encoder.width
    )
    preset = find_preset(recipe.preset)
    config = replace(preset.config(shape), head=recipe.head)
    return replace(config, **_input_statistics(store)) if preset.standardises_inputs else config


def _input_statistics(store: Store) -> dict[str, Any]:
    """Means and deviations over the training split; a dimension that never changes is left unscaled."""
    statistics = store.attributes.statistics
    if statistics is None:
        raise UnsealedStoreError(
            f"Store {store.path.name} is not sealed and lacks the statistics that scale actions. "
            "Finish it with `permafrost featurize`, or train the preset 'vjepa2-ac', which needs none."
        )
    return {
        "action_mean": statistics.actions.mean,
        "action_std": tuple(std if std > MIN_STD else 1.0 for std in statistics.actions.std),
        "state_mean": statistics.states.mean,
        "state_std": tuple(std if std > MIN_STD else 1.0 for std in statistics.states.std),
    }


def window_sampler(recipe: TrainRecipe, store: Store) -> WindowSampler:
    """The draws of a recipe over the training split of a store. Raises SubsetError."""
    trajectories = long_enough(store.split("train"), recipe.clip_frames)
    if recipe.hours is not None:
        trajectories = nested_subset(
            trajectories,
            hours=recipe.hours,
            subset_seed=recipe.subset_seed,
            frame_rate_hz=store.attributes.fingerprint.frame_rate_hz,
        )
    return WindowSampler.over(
        trajectories,
        clip_frames=recipe.clip_frames,
        batch_clips=recipe.batch_clips,
        sample_by=recipe.sample_by,
        seed=recipe.seed,
    )


def store_source(recipe: TrainRecipe, store: Store, device: torch.device) -> StoreSource:
    """The clips of a recipe, read from the store."""
    return StoreSource(
        store=store,
        sampler=window_sampler(recipe, store),
        clip_frames=recipe.clip_frames,
        micro_batch_clips=recipe.micro_batch_clips,
        device=device,
    )


def named_losses(recipe: TrainRecipe, predictor: Predictor, device: torch.device) -> NamedLosses[Clips]:
    """The objective of a recipe as the loop calls it."""
    objective = Objective(rollout_steps=recipe.rollout_steps)

    def losses_of(clips: Clips) -> Mapping[str, Tensor]:
        with autocast(device):
            return objective(predictor, clips.latents_BTND, clips.actions_BTA, clips.states_BTA)

    return losses_of
