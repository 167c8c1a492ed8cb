"""The estimate beside what really is kept and alive, on a CPU."""

import pytest
import torch

from train.memory_estimate import UpdateMemory
from train.objective import Objective
from train.optimiser import build_adamw, set_learning_rate
from train.predictor import Predictor, PredictorConfig
from train.step_rate import random_clips

from .counting import Alive, kept_for_backward

CPU = torch.device("cpu")
SIZES = [
    # side of the grid, encoder width, width, depth, heads, frames, rollout steps, clips
    (4, 96, 64, 4, 2, 16, 2, 4),
    (4, 96, 64, 6, 2, 8, 3, 2),
    (8, 192, 128, 3, 4, 16, 2, 2),
]


def sized(side, encoder_width, width, depth, num_heads, clip_frames, rollout_steps):
    config = PredictorConfig(
        grid_height=side,
        grid_width=side,
        encoder_width=encoder_width,
        width=width,
        depth=depth,
        num_heads=num_heads,
        head="residual",
    )
    memory = UpdateMemory(
        config=config, clip_frames=clip_frames, rollout_steps=rollout_steps, compute_dtype=torch.float32
    )
    return memory, Objective(rollout_steps=rollout_steps)


@pytest.mark.parametrize("size", SIZES)
def test_what_the_blocks_keep_is_estimated_within_a_twentieth(size):
    """Of two predictors that differ in depth alone, so that nothing but blocks is compared."""
    *shape, num_clips = size
    counts, estimates = [], []
    for depth in (2, 4):
        shape[3] = depth
        memory, objective = sized(*shape)
        predictor = Predictor(memory.config)
        clips = random_clips(memory.config, num_clips, memory.clip_frames, CPU)
        with kept_for_backward([*predictor.parameters(), *predictor.buffers()]) as counted:
            objective(predictor, *clips)
        counts.append(counted.num_bytes)
        estimates.append(num_clips * depth * memory.block_bytes())
    assert estimates[1] - estimates[0] == pytest.approx(counts[1] - counts[0], rel=0.05)


@pytest.mark.parametrize("size", SIZES)
def test_a_checkpointed_block_keeps_little_and_what_is_estimated(size):
    *shape, num_clips = size
    memory, objective = sized(*shape)
    predictor = Predictor(memory.config)
    clips = random_clips(memory.config, num_clips, memory.clip_frames, CPU)
    counts = []
    for blocks in (0, 2):
        predictor.checkpointed_blocks = blocks
        with kept_for_backward([*predictor.parameters(), *predictor.buffers(), *clips]) as counted:
            objective(predictor, *clips)
        counts.append(counted.num_bytes)
    saved = 2 * num_clips * (memory.block_bytes() - memory.checkpointed_block_bytes())
    assert counts[0] - counts[1] == pytest.approx(saved, rel=0.05)
    assert memory.checkpointed_block_bytes() < 0.12 * memory.block_bytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share_checkpointed", [0.0, 0.5, 1.0])
def test_no_update_takes_more_than_its_estimate_nor_much_less(size, share_checkpointed):
    """All that is alive at the worst moment of an update: 1.08 to 1.33 times as much is estimated."""
    *shape, num_clips = size
    memory, objective = sized(*shape)
    blocks = int(share_checkpointed * memory.config.depth)
    predictor = Predictor(memory.config)
    predictor.checkpointed_blocks = blocks
    optimiser = build_adamw(predictor)
    set_learning_rate(optimiser, 1e-4)
    clips = random_clips(memory.config, num_clips, memory.clip_frames, CPU)

    def accumulate():
        objective(predictor, *clips)["loss"].backward()

    accumulate()
    optimiser.step()
    moments = [tensor for state in optimiser.state.values() for tensor in state.values()]
    gradients = [parameter.grad for parameter in predictor.parameters() if parameter.grad is not None]
    with Alive([*predictor.parameters(), *predictor.buffers(), *moments, *gradients, *clips]) as alive:
        accumulate()
        optimiser.step()
    estimate = memory.peak_bytes(num_clips, blocks)
    assert alive.peak < estimate < 1.35 * alive.peak


def test_the_published_predictor_has_the_state_that_was_worked_out_by_hand():
    """305.2 M parameters: four copies in float32 and one in bfloat16; gradients of one block of 12 P^2."""
    memory = UpdateMemory(
        config=PredictorConfig(
            grid_height=16,
            grid_width=16,
            encoder_width=1408,
            width=1024,
            depth=24,
            num_heads=16,
            head="absolute",
        ),
        clip_frames=16,
        rollout_steps=2,
        compute_dtype=torch.bfloat16,
    )
    assert memory.state_bytes() == 305_220_992 * (4 * 4 + 2) + 12 * 1024**2 * 4
    # 15 x 258 tokens of width 1024: 2 norms' inputs in float32, and 15 widths more in bfloat16.
    assert memory.block_bytes() == pytest.approx(15 * 258 * 1024 * (2 * 4 + 15 * 2), rel=0.1)
