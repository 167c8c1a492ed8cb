"""How an update is cut to fit into memory: clips on the device at once, and blocks computed again."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from train.device import compute_dtype
from train.memory_estimate import UpdateMemory
from train.predictor import PredictorConfig
from train.recipe import TrainRecipe

GIB = 2**30
_PLANNED_SHARE = 0.9
"""Of the budget that is planned with; the rest is for what allocators and libraries take for themselves."""


class MemoryBudgetError(ValueError):
    """An update does not fit into the memory there is, however it is cut."""


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """peak_bytes: the estimate for it."""

    micro_batch_clips: int
    checkpointed_blocks: int
    peak_bytes: int


def fit_update(
    recipe: TrainRecipe,
    config: PredictorConfig,
    device: torch.device,
    *,
    share_clips: int,
    budget_bytes: int | None,
    available_bytes: int | None,
    fixed: bool,
) -> MemoryPlan:
    """How a run's updates are cut on this device. share_clips: of an update, of this process.

    budget_bytes: what a user allows; None takes `available_bytes` (`train.device.free_bytes`), and at most
    the recipe's micro-batch, so that one recipe stays the same on every GPU that holds it. Where both are
    None, on a CPU, nothing is cut. fixed: keep the recipe's micro-batch, because a user chose it or a run
    goes on with it; blocks may still be checkpointed. The plan follows from these numbers: given those of
    one process, all come to the same.

    Raises MemoryBudgetError.
    """
    memory = UpdateMemory(
        config=config,
        clip_frames=recipe.clip_frames,
        rollout_steps=recipe.rollout_steps,
        compute_dtype=compute_dtype(device),
    )
    at_once = min(recipe.micro_batch_clips, share_clips)
    budget = available_bytes if budget_bytes is None else budget_bytes
    if budget is None:
        return _plan(memory, at_once, 0)
    most_clips = at_once if fixed or budget_bytes is None else share_clips
    return plan_memory(memory, budget, share_clips=share_clips, most_clips=most_clips, fixed=fixed)


def plan_memory(
    memory: UpdateMemory, budget_bytes: int, *, share_clips: int, most_clips: int, fixed: bool = False
) -> MemoryPlan:
    """The largest micro-batch that fits whole; where not even one clip does, the fewest checkpointed blocks.

    Computing every block again costs a third more products, fewer clips at once none. share_clips: of an
    update, of this process; the micro-batch divides it. most_clips: the largest micro-batch wanted. fixed:
    take that one and no other.

    Raises MemoryBudgetError.
    """
    planned = int(budget_bytes * _PLANNED_SHARE)
    choices = [most_clips] if fixed else _divisors(share_clips, most_clips)
    for clips in choices:
        if memory.peak_bytes(clips, 0) <= planned:
            return _plan(memory, clips, 0)
    smallest = choices[-1]
    for blocks in range(1, memory.config.depth):
        if memory.peak_bytes(smallest, blocks) <= planned:
            return _plan(memory, smallest, blocks)
    raise MemoryBudgetError(_does_not_fit(memory, budget_bytes, smallest))


def _divisors(share_clips: int, most_clips: int) -> list[int]:
    """From the largest down to 1."""
    return [clips for clips in range(min(share_clips, most_clips), 0, -1) if share_clips % clips == 0]


def _plan(memory: UpdateMemory, clips: int, blocks: int) -> MemoryPlan:
    peak_bytes = memory.peak_bytes(clips, blocks)
    return MemoryPlan(micro_batch_clips=clips, checkpointed_blocks=blocks, peak_bytes=peak_bytes)


def _does_not_fit(memory: UpdateMemory, budget_bytes: int, clips: int) -> str:
    needed = memory.peak_bytes(clips, memory.config.depth) / _PLANNED_SHARE
    remedy = "a smaller preset or shorter clips" if clips == 1 else "a smaller --micro-batch-clips"
    return (
        f"An update with {clips} clips of {memory.clip_frames} frames at once needs {needed / GIB:.2f} GiB, "
        f"with all blocks but one computed again (and {memory.state_bytes() / GIB:.2f} GiB for weights and "
        f"optimiser within it); the budget is {budget_bytes / GIB:.2f} GiB. Use {remedy}, or a larger "
        "--memory-budget or GPU."
    )
