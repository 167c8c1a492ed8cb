"""Size and cost of a predictor, told before it is built.

Shape legend: B clips, T frames, N tokens per frame, D encoder width, P predictor width, K tokens of a step.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from train.predictor import ACTION_SIZE, Predictor, PredictorConfig
from train.presets import Preset, TrainingDefaults, find_preset

_BACKWARD_AND_FORWARD = 3
"""A backward pass costs two forward passes: the gradients of the inputs and those of the weights."""


def describe(name: str) -> dict[str, Any]:
    """Parameters, FLOPs of one update and shapes of a preset; raises UnknownPresetError.

    `flops_per_step` counts what an update computes, `flops_per_step_plain` what the public loop spends, which
    computes masked pairs and the rollout's context as well. Presets that take any store are told for the
    small random encoder's latents; `shapes` says which.
    """
    chosen = find_preset(name)
    config, training = chosen.config(chosen.latent_shape), chosen.training
    return {
        "name": name,
        "kind": "predictor",
        "parameters": count_parameters(config),
        "flops_per_step": flops_per_step(config, training),
        "flops_per_step_plain": plain_flops_per_step(config, training),
        "flops_counted": "multiply and add as two; forward, backward and rollout; attention block-causal, "
        "frame 0 of the rollout taken from teacher forcing",
        "shapes": _shapes(chosen, config),
    }


@lru_cache(maxsize=64)
def count_parameters(config: PredictorConfig) -> int:
    """Parameters of the module that `config` builds, the unused extrinsics map with them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Predictor(config).parameters())


def flops_per_step(config: PredictorConfig, training: TrainingDefaults) -> int:
    """FLOPs of one update of B clips, without recomputation: 3 B (F(T-1, 0) + F(1, 1) + ... + F(1, k-1)).

    F(t, c) is `forward_flops` of t frames after c kept ones, T the frames of a clip, k the rollout's steps.
    Matrix products only; norms, softmax and rotations are left out. Every product counts thrice, also the
    first maps', whose inputs need no gradient (0.1 % of the published step).
    """
    return training.batch_clips * flops_per_clip(config, training.clip_frames, training.rollout_steps)


def flops_per_clip(config: PredictorConfig, clip_frames: int, rollout_steps: int) -> int:
    """What one clip adds to `flops_per_step`: forward and backward of both losses."""
    forward = forward_flops(config, clip_frames - 1) + sum(
        forward_flops(config, 1, prefix_frames=frame) for frame in range(1, rollout_steps)
    )
    return _BACKWARD_AND_FORWARD * forward


def plain_flops_per_step(config: PredictorConfig, training: TrainingDefaults) -> int:
    """FLOPs of the same update where masked pairs are computed, and the rollout runs over its whole context.

    3 B (G(T-1) + G(2) + ... + G(k)), G(t) being `forward_flops` of t frames with all (t K)^2 pairs.
    """
    pass_lengths = [training.clip_frames - 1, *range(2, training.rollout_steps + 1)]
    forward = sum(forward_flops(config, length, block_causal=False) for length in pass_lengths)
    return _BACKWARD_AND_FORWARD * training.batch_clips * forward


def forward_flops(
    config: PredictorConfig, num_frames: int, *, prefix_frames: int = 0, block_causal: bool = True
) -> int:
    """FLOPs of one clip's forward pass over t frames after c frames whose keys and values were kept.

    Per layer: 2 S (4 + 2 mlp_ratio) P^2 for the linear maps of S = t K tokens and 4 P pairs for attention,
    where pairs (query, key) number K^2 (t c + t (t+1) / 2), or K^2 t (c + t) if masked ones are computed.
    Around the layers: 4 t N D P for the maps from and to the encoder's width and 4 t 7 P for action and
    state.
    """
    tokens = num_frames * config.tokens_per_step
    new_pairs = num_frames * (num_frames + 1) // 2 if block_causal else num_frames**2
    step_pairs = num_frames * prefix_frames + new_pairs
    linear = 2 * tokens * (4 + 2 * config.mlp_ratio) * config.width**2
    attention = 4 * config.width * step_pairs * config.tokens_per_step**2
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
