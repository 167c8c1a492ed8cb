"""The action-conditioned predictor: latents, actions and states up to frame t give the latent of frame t+1.

Shape legend: B clips, T frames, N tokens per frame, D encoder width, P predictor width, A action size (7),
K tokens of a step (action, state, N of the frame).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast, get_args

import torch
from torch import nn

from train.attention import block_causal_mask, transformer_block
from train.rope import CONDITION_TOKENS, rotated_width, rotation_table

ACTION_SIZE = 7
"""xyz, Euler angles, gripper: of a state, and of the change that an action is."""

Head = Literal["absolute", "residual"]

_EXTRINSICS_SIZE = 6
_INITIAL_STD = 0.02
_INPUT_STATISTICS = ("action_mean", "action_std", "state_mean", "state_std")


class PredictorConfigError(ValueError):
    """A predictor of these sizes cannot be built."""


class PredictorInputError(ValueError):
    """A batch does not have the shapes that the predictor was built for."""


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """Sizes of a predictor and the meaning of its output.

    `head` 'absolute' predicts the next latent itself, as published; 'residual' predicts what to add to the
    latent of the present frame and starts at adding nothing.
    """

    grid_height: int
    """Rows of tokens of one frame."""
    grid_width: int
    """Columns of tokens of one frame."""
    encoder_width: int
    width: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    head: Head
    action_mean: tuple[float, ...] = (0.0,) * ACTION_SIZE
    """Subtracted from actions before their linear map; published: nothing is."""
    action_std: tuple[float, ...] = (1.0,) * ACTION_SIZE
    """Divides what is left."""
    state_mean: tuple[float, ...] = (0.0,) * ACTION_SIZE
    """The same for states."""
    state_std: tuple[float, ...] = (1.0,) * ACTION_SIZE
    """The same for states."""

    def __post_init__(self) -> None:
        _ensure_positive(self)
        _ensure_heads_can_rotate(self)
        _ensure_statistics(self)
        if self.head not in get_args(Head):
            raise PredictorConfigError(f"head is {self.head!r}; choose 'absolute' or 'residual'.")

    @property
    def num_tokens(self) -> int:
        """Tokens of one frame, N."""
        return self.grid_height * self.grid_width

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one frame with its action and its state, K."""
        return CONDITION_TOKENS + self.num_tokens

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.num_heads


def _ensure_positive(config: PredictorConfig) -> None:
    for name in ("grid_height", "grid_width", "encoder_width", "width", "depth", "num_heads", "mlp_ratio"):
        value = getattr(config, name)
        if value <= 0:
            raise PredictorConfigError(f"{name} is {value}; it must be positive.")


def _ensure_statistics(config: PredictorConfig) -> None:
    for name in _INPUT_STATISTICS:
        values = getattr(config, name)
        if len(values) != ACTION_SIZE or (name.endswith("_std") and min(values) <= 0):
            raise PredictorConfigError(
                f"{name} is {values}; it must be {ACTION_SIZE} numbers, and deviations must be positive."
            )


def _ensure_heads_can_rotate(config: PredictorConfig) -> None:
    if config.width % config.num_heads:
        raise PredictorConfigError(
            f"width {config.width} does not divide into num_heads {config.num_heads}; change one of them."
        )
    if config.head_dim % 2 or rotated_width(config.head_dim) == 0:
        raise PredictorConfigError(
            f"width {config.width} with num_heads {config.num_heads} gives heads of {config.head_dim} "
            "channels; rotating time, row and column needs an even number of at least 6. Use fewer heads "
            "or more width."
        )


class Predictor(nn.Module):
    """Transformer over [action, state, frame tokens] of every step, block-causal over time.

    Modules carry the names of the official checkpoint (`src/models/ac_predictor.py` of
    facebookresearch/vjepa2). Weights are drawn from `seed` alone: normal with standard deviation 0.02 (the
    published truncation at +-2 is 100 standard deviations away), and attention `proj` and MLP `fc2` of block
    i, counted from 1, divided by sqrt(2 i). With the residual head the last map starts at zero.
    """

    action_mean: torch.Tensor
    action_std: torch.Tensor
    state_mean: torch.Tensor
    state_std: torch.Tensor

    def __init__(self, config: PredictorConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.predictor_embed = nn.Linear(config.encoder_width, config.width)
        self.action_encoder = nn.Linear(ACTION_SIZE, config.width)
        self.state_encoder = nn.Linear(ACTION_SIZE, config.width)
        # Never used, but in the official checkpoint; frozen, so that no optimiser and no DDP waits for it.
        self.extrinsics_encoder = nn.Linear(_EXTRINSICS_SIZE, config.width).requires_grad_(False)
        self.predictor_blocks = nn.ModuleList(
            transformer_block(config.width, config.num_heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.predictor_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.predictor_proj = nn.Linear(config.width, config.encoder_width)
        for name in _INPUT_STATISTICS:
            # Part of the configuration, not of the weights: official checkpoints have no such tensors.
            self.register_buffer(name, torch.tensor(getattr(config, name)), persistent=False)
        self._initialise(torch.Generator().manual_seed(seed))

    def forward(
        self, latents_BTND: torch.Tensor, actions_BTA: torch.Tensor, states_BTA: torch.Tensor
    ) -> torch.Tensor:
        """Predict the latent after each of T frames: float (B, T, N, D), not layer-normed.

        Prediction t sees latents, actions and states 0..t. `actions_BTA[:, t]` is the change of state from
        frame t to t+1, `states_BTA[:, t]` the state at frame t; both (B, T, 7).

        Raises PredictorInputError where shapes differ from these or from the configuration.
        """
        self._ensure_shapes(latents_BTND, actions_BTA, states_BTA)
        num_frames, device = latents_BTND.shape[1], latents_BTND.device
        tokens_BSP = self._interleave(latents_BTND, actions_BTA, states_BTA)
        rope = rotation_table(
            num_frames, self.config.grid_height, self.config.grid_width, self.config.head_dim, device
        )
        mask = block_causal_mask(num_frames, self.config.tokens_per_step, device)
        for block in self.predictor_blocks:
            tokens_BSP = block(tokens_BSP, rope=rope, attn_mask=mask)
        return self._read_out(tokens_BSP, latents_BTND)

    def _interleave(
        self, latents_BTND: torch.Tensor, actions_BTA: torch.Tensor, states_BTA: torch.Tensor
    ) -> torch.Tensor:
        standard_actions_BTA = (actions_BTA - self.action_mean) / self.action_std
        standard_states_BTA = (states_BTA - self.state_mean) / self.state_std
        action_BT1P = self.action_encoder(standard_actions_BTA)[:, :, None]
        state_BT1P = self.state_encoder(standard_states_BTA)[:, :, None]
        frame_BTNP = self.predictor_embed(latents_BTND)
        return torch.cat([action_BT1P, state_BT1P, frame_BTNP], dim=2).flatten(1, 2)

    def _read_out(self, tokens_BSP: torch.Tensor, latents_BTND: torch.Tensor) -> torch.Tensor:
        clips, frames = latents_BTND.shape[:2]
        tokens_BTKP = tokens_BSP.reshape(clips, frames, self.config.tokens_per_step, self.config.width)
        frame_BTNP = self.predictor_norm(tokens_BTKP[:, :, CONDITION_TOKENS:])
        output_BTND = cast(torch.Tensor, self.predictor_proj(frame_BTNP))
        return latents_BTND + output_BTND if self.config.head == "residual" else output_BTND

    def _ensure_shapes(
        self, latents_BTND: torch.Tensor, actions_BTA: torch.Tensor, states_BTA: torch.Tensor
    ) -> None:
        clips_and_frames = tuple(latents_BTND.shape[:2])
        expected_latents = (*clips_and_frames, self.config.num_tokens, self.config.encoder_width)
        expected = (expected_latents, (*clips_and_frames, ACTION_SIZE), (*clips_and_frames, ACTION_SIZE))
        got = tuple(tuple(tensor.shape) for tensor in (latents_BTND, actions_BTA, states_BTA))
        if got != expected:
            raise PredictorInputError(
                f"Predictor expects latents, actions and states of shapes {expected}, got {got}: "
                "one action and one state for every frame, and latents of the store it was configured for."
            )

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        self.apply(partial(_initialise_module, generator=generator))
        for number, block in enumerate(self.predictor_blocks, start=1):
            for name in ("attn.proj.weight", "mlp.fc2.weight"):
                block.get_parameter(name).div_(math.sqrt(2.0 * number))
        if self.config.head == "residual":
            nn.init.zeros_(self.predictor_proj.weight)


def _initialise_module(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=_INITIAL_STD, generator=generator)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
