"""Size and cost of a predictor, told before it is built.

Shape legend: B clips, T frames, N tokens per frame, D encoder width, P predictor width, K tokens of a step.
"""

from __future__ import annotations

from typing import Any

import torch

from train.predictor import ACTION_SIZE, Predictor, PredictorConfig
from train.presets import Preset, TrainingDefaults, find_preset

_BACKWARD_AND_FORWARD = 3
"""A backward pass costs two forward passes: the gradients of the inputs and those of the weights."""


def describe(name: str) -> dict[str, Any]:
    """Parameters, FLOPs of one update and shapes of a preset; raises UnknownPresetError.

    `flops_per_step` counts what block-causal attention needs, `flops_per_step_masked_in_full` what a kernel
    spends that computes the masked part as well. Presets that take any store are told for the small random
    encoder's latents; `shapes` says which.
    """
    chosen = find_preset(name)
    config, training = chosen.config(chosen.latent_shape), chosen.training
    return {
        "name": name,
        "kind": "predictor",
        "parameters": count_parameters(config),
        "flops_per_step": flops_per_step(config, training, block_causal=True),
        "flops_per_step_masked_in_full": flops_per_step(config, training, block_causal=False),
        "flops_counted": "multiply and add as two; forward, backward and rollout; attention block-causal",
        "shapes": _shapes(chosen, config),
    }


def count_parameters(config: PredictorConfig) -> int:
    """Parameters of the module that `config` builds, the unused extrinsics map with them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Predictor(config).parameters())


def flops_per_step(config: PredictorConfig, training: TrainingDefaults, *, block_causal: bool) -> int:
    """FLOPs of one update: 3 B (forward(T-1) + forward(2) + ... + forward(rollout_steps)), no recomputation.

    Matrix products only; norms, softmax and rotations are left out.
    """
    pass_lengths = [training.clip_frames - 1, *range(2, training.rollout_steps + 1)]
    forward = sum(forward_flops(config, length, block_causal=block_causal) for length in pass_lengths)
    return _BACKWARD_AND_FORWARD * training.batch_clips * forward


def forward_flops(config: PredictorConfig, num_frames: int, *, block_causal: bool) -> int:
    """FLOPs of one clip's forward pass over T frames.

    Per layer: 2 S (4 + 2 mlp_ratio) P^2 for the linear maps of S = T K tokens and 4 P pairs for attention,
    where pairs (query, key) number S^2 if masked ones are computed and K^2 T (T+1) / 2 if not. Around the
    layers: 4 T N D P for the maps from and to the encoder's width and 4 T 7 P for action and state.
    """
    tokens = num_frames * config.tokens_per_step
    steps_seen = num_frames * (num_frames + 1) // 2 if block_causal else num_frames**2
    linear = 2 * tokens * (4 + 2 * config.mlp_ratio) * config.width**2
    attention = 4 * config.width * steps_seen * config.tokens_per_step**2
    outside = 4 * num_frames * config.width * (config.num_tokens * config.encoder_width + ACTION_SIZE)
    return round(config.depth * (linear + attention) + outside)


def _shapes(chosen: Preset, config: PredictorConfig) -> dict[str, Any]:
    clips, frames = chosen.training.batch_clips, chosen.training.clip_frames
    return {
        "latents": [clips, frames, config.num_tokens, config.encoder_width],
        "actions": [clips, frames - 1, ACTION_SIZE],
        "states": [clips, frames, ACTION_SIZE],
        "tokens_per_step": config.tokens_per_step,
        "width": config.width,
        "depth": config.depth,
        "num_heads": config.num_heads,
        "any_latent_shape": chosen.any_latent_shape,
    }
