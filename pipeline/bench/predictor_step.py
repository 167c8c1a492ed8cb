"""How long the predictor takes for an update, and what share of the matrix products it reaches."""

from dataclasses import dataclass
from typing import Final

import torch

from featurize.estimate import counted
from pipeline.bench.matrix_products import MatrixProducts
from pipeline.bench.rows import Row
from train.assembly import predictor_config
from train.device import compute_dtype, free_bytes
from train.memory_budget import MemoryPlan, plan_memory
from train.memory_estimate import UpdateMemory
from train.predictor import PredictorConfig
from train.recipe import TrainRecipe
from train.step_rate import StepRate, predictor_step_rate
from train.view import View

PASSES: Final = 4
"""That `predictor_step_rate` makes, the one that warms up included."""


@dataclass(frozen=True, kw_only=True)
class PredictorStep:
    """Rows of the predictor. update_seconds: of a full batch.

    num_clips: of it on the device at once; checkpointed_blocks: whose forward pass is computed again.
    """

    rows: list[Row]
    update_seconds: float
    num_clips: int
    checkpointed_blocks: int = 0


def measure_predictor(
    recipe: TrainRecipe, view: View, products: MatrixProducts, seconds: float
) -> PredictorStep:
    """Passes of drawn clips at the recipe's clip length, and the optimiser's step, put together to an update.

    On a GPU a pass has as many clips as its memory holds, elsewhere as many as all passes together take
    `seconds` for, one at least, and the recipe's micro-batch at most. Raises UnsealedStoreError,
    PresetShapeError, MemoryBudgetError.
    """
    config, device = predictor_config(recipe, view), products.device
    plan = _fitting_plan(recipe, config, device)
    if plan is None:
        rate, checkpointed_blocks = _rate_in_time(recipe, config, device, seconds), 0
    else:
        checkpointed_blocks = plan.checkpointed_blocks
        rate = _rate_of(recipe, config, device, plan.micro_batch_clips, checkpointed_blocks)
    update_seconds = rate.update_seconds(recipe.batch_clips)
    computed = rate.flops_per_pass * recipe.batch_clips / rate.num_clips / update_seconds
    batch = f"{recipe.batch_clips} clips x {recipe.clip_frames} frames"
    at_once = counted(rate.num_clips, "clip")
    rows = [
        Row.measured("predictor, one update", update_seconds, "seconds",
                     note=f"{recipe.preset}: {batch}, from passes of {at_once} and a step of AdamW"),
        Row.measured("predictor, computed", computed, "FLOP/s",
                     limit=products.row(compute_dtype(device)),
                     note="block-causal FLOPs, forward and backward with the rollout / one update"),
    ]  # fmt: skip
    return PredictorStep(
        rows=rows,
        update_seconds=update_seconds,
        num_clips=rate.num_clips,
        checkpointed_blocks=checkpointed_blocks,
    )


def _fitting_plan(recipe: TrainRecipe, config: PredictorConfig, device: torch.device) -> MemoryPlan | None:
    """How an update is cut to fit a GPU's free memory; None elsewhere."""
    budget_bytes = free_bytes(device)
    if budget_bytes is None:
        return None
    memory = UpdateMemory(
        config=config,
        clip_frames=recipe.clip_frames,
        rollout_steps=recipe.rollout_steps,
        compute_dtype=compute_dtype(device),
    )
    return plan_memory(
        memory, budget_bytes, share_clips=recipe.batch_clips, most_clips=recipe.micro_batch_clips
    )


def _rate_in_time(
    recipe: TrainRecipe, config: PredictorConfig, device: torch.device, seconds: float
) -> StepRate:
    single = _rate_of(recipe, config, device, 1, 0)
    num_clips = recipe.micro_batch_clips
    while num_clips > 1 and PASSES * num_clips * single.pass_seconds > seconds:
        num_clips //= 2
    return single if num_clips == 1 else _rate_of(recipe, config, device, num_clips, 0)


def _rate_of(
    recipe: TrainRecipe,
    config: PredictorConfig,
    device: torch.device,
    num_clips: int,
    checkpointed_blocks: int,
) -> StepRate:
    return predictor_step_rate(
        config,
        num_clips=num_clips,
        clip_frames=recipe.clip_frames,
        rollout_steps=recipe.rollout_steps,
        device=device,
        checkpointed_blocks=checkpointed_blocks,
    )
