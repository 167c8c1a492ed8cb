"""How fast this device multiplies matrices, and what share of it an update of the predictor reaches.

Shape legend: B clips, T frames, N tokens per frame, D encoder width, A action size (7).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from train.compiling import compile_for_training
from train.describe import flops_per_clip
from train.device import autocast
from train.objective import Objective
from train.optimiser import build_adamw, set_learning_rate
from train.predictor import ACTION_SIZE, Predictor, PredictorConfig

MatmulShape = tuple[int, int, int]
"""Rows, inner size and columns of a product."""

_SQUARES = {"cpu": (1024, 2048), "cuda": (4096, 8192, 16384)}
_REPEATS = 3
_LEARNING_RATE = 1e-4


@dataclass(frozen=True, kw_only=True)
class StepRate:
    """Measured on one device. pass_seconds: forward and backward of `num_clips` clips; flops_per_pass: what
    that computes, block-causal; optimiser_seconds: one step of the optimiser.
    """

    num_clips: int
    pass_seconds: float
    optimiser_seconds: float
    flops_per_pass: int

    @property
    def flops_per_second(self) -> float:
        """Reached in an update of one pass."""
        return self.flops_per_pass / self.update_seconds(self.num_clips)

    def update_seconds(self, batch_clips: int) -> float:
        """Of an update of `batch_clips` clips, `num_clips` at a time."""
        return self.pass_seconds * batch_clips / self.num_clips + self.optimiser_seconds


def matmul_rate(device: torch.device, dtype: torch.dtype, shapes: Iterable[MatmulShape] = ()) -> float:
    """FLOP/s of the fastest matrix product: of large squares, and of the `shapes` given."""
    squares = [(side, side, side) for side in _SQUARES.get(device.type, _SQUARES["cpu"])]
    return max(_product_rate(shape, device, dtype) for shape in [*squares, *shapes])


def predictor_shapes(config: PredictorConfig, num_clips: int, num_frames: int) -> list[MatmulShape]:
    """The linear maps of one block over all tokens of `num_clips` clips."""
    tokens, width = num_clips * num_frames * config.tokens_per_step, config.width
    hidden = round(width * config.mlp_ratio)
    return [
        (tokens, width, 3 * width),
        (tokens, width, width),
        (tokens, width, hidden),
        (tokens, hidden, width),
    ]


def predictor_step_rate(
    config: PredictorConfig,
    *,
    num_clips: int,
    clip_frames: int,
    rollout_steps: int,
    device: torch.device,
    checkpointed_blocks: int = 0,
) -> StepRate:
    """Time a predictor with random weights on random clips as a run trains it on this device."""
    predictor = Predictor(config).to(device)
    predictor.checkpointed_blocks = checkpointed_blocks
    compile_for_training(predictor, device)
    optimiser = build_adamw(predictor)
    set_learning_rate(optimiser, _LEARNING_RATE)
    objective, clips = (
        Objective(rollout_steps=rollout_steps),
        random_clips(config, num_clips, clip_frames, device),
    )

    def forward_and_backward() -> None:
        optimiser.zero_grad(set_to_none=True)
        with autocast(device):
            loss = objective(predictor, *clips)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]

    return StepRate(
        num_clips=num_clips,
        pass_seconds=best_seconds(forward_and_backward, device),
        optimiser_seconds=best_seconds(optimiser.step, device),
        flops_per_pass=num_clips * flops_per_clip(config, clip_frames, rollout_steps),
    )


def random_clips(
    config: PredictorConfig, num_clips: int, clip_frames: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Normalised latents (B, T, N, D), actions (B, T-1, A) and states (B, T, A), float32."""
    latents_BTND = torch.randn(num_clips, clip_frames, config.num_tokens, config.encoder_width, device=device)
    actions_BTA = torch.randn(num_clips, clip_frames - 1, ACTION_SIZE, device=device)
    states_BTA = torch.randn(num_clips, clip_frames, ACTION_SIZE, device=device)
    return F.layer_norm(latents_BTND, latents_BTND.shape[-1:]), actions_BTA, states_BTA


def best_seconds(call: Callable[[], object], device: torch.device) -> float:
    """The shortest of a few calls, after one that compiles and warms up."""
    _seconds(call, device)
    return min(_seconds(call, device) for _ in range(_REPEATS))


def _product_rate(shape: MatmulShape, device: torch.device, dtype: torch.dtype) -> float:
    rows, inner, columns = shape
    left = torch.randn(rows, inner, device=device, dtype=dtype)
    right = torch.randn(inner, columns, device=device, dtype=dtype)
    return 2 * rows * inner * columns / best_seconds(lambda: left @ right, device)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    _wait_for(device)
    started = time.perf_counter()
    call()
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
