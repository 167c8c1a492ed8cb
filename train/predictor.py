"""The action-conditioned predictor: latents, actions and states up to frame t give the latent of frame t+1.

Shape legend: B clips, T frames, N tokens per frame, D encoder width, P predictor width, A action size (7),
K tokens of a step (action, state, N of the frame).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast, get_args

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from train.attention import Pattern, PredictorBlock, block_causal_pattern, transformer_block
from train.prefix import NO_FRAMES, KeyValue, Prefix
from train.rope import CONDITION_TOKENS, rotated_width, rotation_table

ACTION_SIZE = 7
"""xyz, Euler angles, gripper: of a state, and of the change that an action is."""

Head = Literal["absolute", "residual"]

_RunBlock = Callable[..., tuple[torch.Tensor, KeyValue | None]]

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

    checkpointed_blocks: int = 0
    """Blocks, from the first, that keep their input alone and compute the rest again in the backward pass.

    The first ones, because theirs is computed again when the other blocks' activations are gone already.
    Decides memory and time, and not one bit of the result.
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
        output_BTND, _ = self.extend(None, latents_BTND, actions_BTA, states_BTA)
        return output_BTND

    def extend(
        self,
        prefix: Prefix | None,
        latents_BTND: torch.Tensor,
        actions_BTA: torch.Tensor,
        states_BTA: torch.Tensor,
        *,
        keep: int = 0,
    ) -> tuple[torch.Tensor, Prefix]:
        """Predict the latent after each of T frames that follow a prefix, as `forward` does for all at once.

        Only the tokens of the T frames are computed. The prefix that is returned holds the frames of the old
        one and the first `keep` of the new ones; None stands for one without frames.

        Raises PredictorInputError where shapes differ, or the prefix is of another number of clips.
        """
        past = prefix or NO_FRAMES
        self._ensure_shapes(latents_BTND, actions_BTA, states_BTA)
        _ensure_continues(past, latents_BTND, keep)
        tokens_BSP = self._interleave(latents_BTND, actions_BTA, states_BTA)
        rope, pattern = self._places(past.num_frames, latents_BTND)
        kept = []
        for number, block in enumerate(self.predictor_blocks):
            run = self._runner(number, cast(PredictorBlock, block))
            tokens_BSP, of_block = run(
                tokens_BSP, rope, pattern, past.of_block(number), keep * self.config.tokens_per_step
            )
            kept.append(of_block)
        return self._read_out(tokens_BSP, latents_BTND), Prefix.of(past.num_frames + keep, kept)

    def _places(self, first_frame: int, latents_BTND: torch.Tensor) -> tuple[torch.Tensor, Pattern]:
        config, num_frames, device = self.config, latents_BTND.shape[1], latents_BTND.device
        rope = rotation_table(
            num_frames,
            config.grid_height,
            config.grid_width,
            config.head_dim,
            device,
            first_frame=first_frame,
        )
        pattern = block_causal_pattern(num_frames, config.tokens_per_step, device, prefix_frames=first_frame)
        return rope, pattern

    def _runner(self, number: int, block: PredictorBlock) -> _RunBlock:
        if not torch.is_grad_enabled():
            # Past `train.compiling`, which compiles for the few shapes of training and not for every length.
            return block.forward
        if number < self.checkpointed_blocks:
            # Nothing in a block is random.
            return partial(checkpoint, block, use_reentrant=False, preserve_rng_state=False)
        return block

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


def _ensure_continues(prefix: Prefix, latents_BTND: torch.Tensor, keep: int) -> None:
    num_clips, num_frames = latents_BTND.shape[:2]
    if prefix.num_clips not in (None, num_clips):
        raise PredictorInputError(
            f"The prefix is of {prefix.num_clips} clips, the frames after it of {num_clips}; "
            "they must be the same clips."
        )
    if not 0 <= keep <= num_frames:
        raise PredictorInputError(f"keep is {keep}; it must be 0 to {num_frames}, the number of new frames.")


def _initialise_module(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=_INITIAL_STD, generator=generator)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
