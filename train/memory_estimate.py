"""Bytes on the device that an update takes at most, counted from the predictor's sizes.

Uncompiled kernels are counted, which keep more for the backward pass than compiled ones.

Shape legend: B clips, T frames, N tokens per frame, K tokens of a step, D encoder width, P predictor width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from train.describe import count_parameters
from train.predictor import PredictorConfig

_FLOAT32_BYTES = 4
_STATE_COPIES = 4
"""Of every parameter in float32: weight, gradient, and the two moments of AdamW."""


@dataclass(frozen=True, kw_only=True)
class UpdateMemory:
    """What decides the memory of an update. compute_dtype: of matrix products, float32 or under autocast."""

    config: PredictorConfig
    clip_frames: int
    rollout_steps: int
    compute_dtype: torch.dtype

    def peak_bytes(self, num_clips: int, checkpointed_blocks: int) -> int:
        """The most at any moment, with `num_clips` clips on the device at once.

        Weights, gradients and moments; what the forward passes keep for the backward pass; and the gradients
        of the block that the backward pass is in. A checkpointed block keeps its input until it is computed
        again; the blocks that are not come later in the forward pass, so theirs is gone by then. One block is
        whole at some moment, however many are checkpointed.
        """
        whole = max(self.config.depth - checkpointed_blocks, 1)
        activations = (
            self.outside_bytes()
            + whole * self.block_bytes()
            + (self.config.depth - whole) * self.checkpointed_block_bytes()
            + self.gradient_bytes()
        )
        return self.state_bytes() + num_clips * activations

    def state_bytes(self) -> int:
        """Of weights, gradients and moments; of the weights in the precision of the products; and of one
        block's weight gradients before they are added to those of earlier passes.
        """
        copies = _STATE_COPIES * _FLOAT32_BYTES + (0 if self._is_float32 else self._bytes)
        of_block = round((4 + 2 * self.config.mlp_ratio) * self.config.width**2)
        return count_parameters(self.config) * copies + of_block * _FLOAT32_BYTES

    def block_bytes(self) -> int:
        """What one block keeps of one clip for the backward pass.

        In widths P a token: the inputs of both norms (float32 under autocast on a GPU), of the maps to
        queries, keys and values, of the map after attention and of the MLP, its hidden tokens before and
        after GELU, queries, what each step's attention gives, and keys and values, also of the frames before.
        """
        return sum(self._pass_bytes(*frames) for frames in self._passes) + 2 * self._step_bytes

    def _pass_bytes(self, num_frames: int, prefix_frames: int) -> int:
        config, tokens = self.config, num_frames * self.config.tokens_per_step
        # A single step's attention gives what the map after it takes; several are joined into a copy.
        attended = 1 if num_frames == 1 else 2
        widths = 3 + attended + 2 * config.mlp_ratio
        of_token = config.width * (2 * _FLOAT32_BYTES + widths * self._bytes)
        statistics = (4 + config.num_heads) * _FLOAT32_BYTES
        keys_and_values = 2 * (prefix_frames + num_frames) * self._step_bytes
        return round(tokens * (of_token + statistics)) + keys_and_values

    def checkpointed_block_bytes(self) -> int:
        """What it keeps where it is computed again: its input, and keys and values of frames before."""
        return (
            sum(num_frames + 2 * prefix_frames for num_frames, prefix_frames in self._passes)
            * self._step_bytes
        )

    def gradient_bytes(self) -> int:
        """Gradients inside one block while the backward pass is there, for one clip."""
        tokens = (self.clip_frames - 1) * self.config.tokens_per_step
        return round(tokens * self.config.width * (4 + 2 * self.config.mlp_ratio) * self._bytes)

    def outside_bytes(self) -> int:
        """One clip itself, and what is kept of it before and after the blocks: maps, norms and losses."""
        config, latent_frame = self.config, self.config.num_tokens * self.config.encoder_width
        predicted = sum(num_frames for num_frames, _ in self._passes)
        in_width = (
            predicted
            * config.width
            * (config.tokens_per_step * _FLOAT32_BYTES + config.num_tokens * self._bytes)
        )
        in_encoder_width = predicted * latent_frame * (_FLOAT32_BYTES + self._bytes)
        differences = (self.clip_frames - 1 + self.rollout_steps) * latent_frame * _FLOAT32_BYTES
        return in_width + in_encoder_width + differences + self.clip_frames * latent_frame * _FLOAT32_BYTES

    @property
    def _passes(self) -> list[tuple[int, int]]:
        """Frames computed and frames kept before them, of every forward pass."""
        return [(self.clip_frames - 1, 0), *((1, frame) for frame in range(1, self.rollout_steps))]

    @property
    def _step_bytes(self) -> int:
        """One width P for every token of a step."""
        return self.config.tokens_per_step * self.config.width * self._bytes

    @property
    def _bytes(self) -> int:
        return self.compute_dtype.itemsize

    @property
    def _is_float32(self) -> bool:
        return self._bytes == _FLOAT32_BYTES
