"""Blocks that are computed again in the backward pass: another use of memory, and the same bits."""

import pytest
import torch

from train.objective import Objective
from train.optimiser import build_adamw, set_learning_rate
from train.predictor import Predictor, PredictorConfig
from train.step_rate import random_clips

CONFIG = PredictorConfig(
    grid_height=2, grid_width=3, encoder_width=16, width=48, depth=3, num_heads=2, head="residual"
)


def trained(checkpointed_blocks: int, rollout_steps: int = 3) -> tuple[list[torch.Tensor], Predictor]:
    """Losses of three updates, and the predictor after them."""
    predictor = Predictor(CONFIG, seed=4)
    predictor.checkpointed_blocks = checkpointed_blocks
    optimiser = build_adamw(predictor)
    set_learning_rate(optimiser, 1e-2)
    torch.manual_seed(0)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        loss = Objective(rollout_steps=rollout_steps)(
            predictor, *random_clips(CONFIG, 2, 6, torch.device("cpu"))
        )["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return losses, predictor


@pytest.mark.parametrize("checkpointed_blocks", [1, 2, 3])
def test_losses_gradients_and_weights_are_the_same_bits(checkpointed_blocks):
    (losses, predictor), (plain_losses, plain) = trained(checkpointed_blocks), trained(0)
    assert all(torch.equal(*pair) for pair in zip(losses, plain_losses, strict=True))
    for (name, got), wanted in zip(predictor.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(got, wanted), name
        assert (got.grad is None and wanted.grad is None) or torch.equal(got.grad, wanted.grad), name


def test_so_many_blocks_are_computed_twice_from_the_first():
    predictor = Predictor(CONFIG)
    predictor.checkpointed_blocks = 2
    calls = [0] * CONFIG.depth

    def counting(number):
        def count(_module, _inputs):
            calls[number] += 1

        return count

    for number, block in enumerate(predictor.predictor_blocks):
        block.norm1.register_forward_pre_hook(counting(number))
    clips = random_clips(CONFIG, 1, 4, torch.device("cpu"))
    Objective(rollout_steps=2)(predictor, *clips)["loss"].backward()
    assert calls == [4, 4, 2]


def test_without_gradients_nothing_is_prepared_for_computing_again():
    predictor = Predictor(CONFIG)
    predictor.checkpointed_blocks = 3
    with torch.no_grad():
        losses = Objective()(predictor, *random_clips(CONFIG, 1, 4, torch.device("cpu")))
    assert not losses["loss"].requires_grad


def test_checkpointing_is_no_part_of_what_is_saved():
    predictor = Predictor(CONFIG)
    names = list(predictor.state_dict())
    predictor.checkpointed_blocks = 2
    assert list(predictor.state_dict()) == names
