"""How an update is cut to fit a budget."""

import pytest
import torch

from train.memory_budget import GIB, MemoryBudgetError, fit_update, plan_memory
from train.memory_estimate import UpdateMemory
from train.presets import find_preset
from train.recipe_defaults import recipe_for

PUBLISHED = find_preset("vjepa2-ac")
MEMORY = UpdateMemory(
    config=PUBLISHED.config(PUBLISHED.latent_shape),
    clip_frames=16,
    rollout_steps=2,
    compute_dtype=torch.bfloat16,
)
EVERYTHING = 10_000 * GIB


def plan(budget_bytes: float, **chosen):
    return plan_memory(MEMORY, int(budget_bytes), **{"share_clips": 256, "most_clips": 256} | chosen)


def exactly(clips: int, blocks: int) -> float:
    """The smallest budget for this."""
    return (MEMORY.peak_bytes(clips, blocks) + 1) / 0.9 + 1


def test_where_all_fits_the_batch_is_not_cut():
    assert (plan(EVERYTHING).micro_batch_clips, plan(EVERYTHING).checkpointed_blocks) == (256, 0)


@pytest.mark.parametrize("clips", [1, 2, 8, 16])
def test_the_largest_micro_batch_that_fits_whole_is_taken(clips):
    fitting, next_smaller = plan(exactly(clips, 0)), plan(exactly(clips, 0) - 1e6)
    assert (fitting.micro_batch_clips, fitting.checkpointed_blocks) == (clips, 0)
    assert next_smaller.micro_batch_clips == max(clips // 2, 1)
    assert next_smaller.checkpointed_blocks == (1 if clips == 1 else 0)


def test_a_micro_batch_divides_the_share_of_the_process():
    assert plan(exactly(8, 0), share_clips=12, most_clips=12).micro_batch_clips == 6


def test_no_more_clips_are_taken_than_wanted():
    assert plan(EVERYTHING, most_clips=8).micro_batch_clips == 8


@pytest.mark.parametrize("blocks", [1, 5, 23])
def test_where_one_clip_does_not_fit_the_fewest_blocks_are_checkpointed(blocks):
    fitting = plan(exactly(1, blocks))
    assert (fitting.micro_batch_clips, fitting.checkpointed_blocks) == (1, blocks)
    assert fitting.peak_bytes == MEMORY.peak_bytes(1, blocks)


def test_a_micro_batch_that_is_fixed_is_kept_and_blocks_are_checkpointed_for_it():
    fitting = plan(exactly(4, 7), most_clips=4, fixed=True)
    assert (fitting.micro_batch_clips, fitting.checkpointed_blocks) == (4, 7)


def test_more_checkpointed_blocks_and_fewer_clips_never_take_more():
    peaks = [MEMORY.peak_bytes(2, blocks) for blocks in range(24)]
    assert peaks == sorted(peaks, reverse=True)
    assert MEMORY.peak_bytes(1, 0) < MEMORY.peak_bytes(2, 0)


def test_a_budget_too_small_for_one_clip_is_refused_with_what_is_needed():
    expected = (
        r"1 clips of 16 frames at once needs [67]\.\d\d GiB, with all blocks but one computed again \(and "
        r"5\.1\d GiB for .* the budget is 4\.00 GiB\. Use a smaller preset or shorter clips, or a larger"
    )
    with pytest.raises(MemoryBudgetError, match=expected):
        plan(4 * GIB)


def test_a_fixed_micro_batch_too_large_names_its_option():
    with pytest.raises(MemoryBudgetError, match=r"with 64 clips .* Use a smaller --micro-batch-clips"):
        plan(8 * GIB, most_clips=64, fixed=True)


def fitted(
    budget_gib: float | None,
    *,
    free_gib: float | None,
    device: str = "cuda",
    fixed: bool = False,
    share_clips: int = 256,
):
    cut = fit_update(
        recipe_for("vjepa2-ac"),
        MEMORY.config,
        torch.device(device),
        share_clips=share_clips,
        budget_bytes=None if budget_gib is None else int(budget_gib * GIB),
        available_bytes=None if free_gib is None else int(free_gib * GIB),
        fixed=fixed,
    )
    return cut.micro_batch_clips, cut.checkpointed_blocks


def test_on_a_cpu_nothing_is_cut_unless_asked_for():
    assert fitted(None, free_gib=None, device="cpu") == (8, 0)
    assert fitted(24, free_gib=None, device="cpu") == (2, 0)


def test_a_gpu_that_holds_the_recipe_leaves_it_as_it_is():
    assert fitted(None, free_gib=1_000) == (8, 0)


def test_a_gpu_that_does_not_takes_fewer_clips_at_once():
    assert fitted(None, free_gib=24) == (4, 0)


def test_a_budget_in_words_goes_before_what_is_free_and_may_take_more_clips():
    assert fitted(80, free_gib=24) == (16, 0)


def test_a_micro_batch_of_a_user_or_of_a_run_stays_and_blocks_are_checkpointed_instead():
    clips, blocks = fitted(None, free_gib=24, fixed=True)
    assert clips == 8
    assert 0 < blocks < 24


def test_no_more_clips_at_once_than_the_process_has():
    assert fitted(None, free_gib=1_000, share_clips=4, fixed=True) == (4, 0)
    assert fitted(1_000, free_gib=None, share_clips=4) == (4, 0)
