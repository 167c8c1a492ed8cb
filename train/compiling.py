"""Compiling the predictor's blocks, where that pays."""

from __future__ import annotations

import torch

from train.predictor import Predictor


def compile_for_training(predictor: Predictor, device: torch.device) -> None:
    """Compile the blocks on a GPU; elsewhere leave them as they are.

    On a CPU the step is matrix products and attention, which are the same kernels either way; compiled it is
    slower, after a minute of compiling (`train/README.md`, Speed).
    """
    if device.type == "cuda":
        compile_blocks(predictor)


def compile_blocks(predictor: Predictor, *, backend: str = "inductor") -> None:
    """Let every block compile its forward pass at its first call with gradients, in place.

    Names in the state dict stay as they are. Shapes are fixed, because a run has few of them: the clip of
    teacher forcing and, for k steps of rollout, one frame after 1 to k-1 kept ones. The blocks share what is
    compiled for each. Passes without gradients, whose lengths vary, run uncompiled. `backend` is that of
    torch.compile.
    """
    for block in predictor.predictor_blocks:
        block.compile(dynamic=False, backend=backend)
