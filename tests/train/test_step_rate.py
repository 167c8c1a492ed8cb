"""What is measured of an update; how fast it is, no test says."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from train.describe import flops_per_clip
from train.predictor import PredictorConfig
from train.step_rate import StepRate, matmul_rate, predictor_shapes, predictor_step_rate, random_clips

CPU = torch.device("cpu")
CONFIG = PredictorConfig(
    grid_height=2, grid_width=2, encoder_width=8, width=24, depth=2, num_heads=2, head="residual"
)


def test_an_update_of_many_passes_takes_their_time_and_one_step_of_the_optimiser():
    rate = StepRate(num_clips=4, pass_seconds=2.0, optimiser_seconds=0.5, flops_per_pass=1_000)
    assert rate.update_seconds(4) == 2.5
    assert rate.update_seconds(16) == 8.5
    assert rate.flops_per_second == 400.0


def test_a_step_is_measured_with_the_work_that_it_does():
    rate = predictor_step_rate(CONFIG, num_clips=3, clip_frames=4, rollout_steps=2, device=CPU)
    assert rate.flops_per_pass == 3 * flops_per_clip(CONFIG, 4, 2)
    assert min(rate.pass_seconds, rate.optimiser_seconds, rate.flops_per_second) > 0


def test_clips_have_the_shapes_and_the_norm_of_stored_ones():
    latents, actions, states = random_clips(CONFIG, 3, 5, CPU)
    assert (latents.shape, actions.shape, states.shape) == ((3, 5, 4, 8), (3, 4, 7), (3, 5, 7))
    assert latents.mean(-1).abs().max() < 1e-6


def test_the_shapes_given_are_the_products_of_a_block():
    """The four linear maps; attention is not among them."""
    shapes = predictor_shapes(CONFIG, num_clips=2, num_frames=3)
    tokens = 2 * 3 * CONFIG.tokens_per_step
    assert sum(rows * inner * columns for rows, inner, columns in shapes) == tokens * 12 * CONFIG.width**2


def test_the_fastest_product_counts(monkeypatch):
    monkeypatch.setattr("train.step_rate.best_seconds", lambda call, _device: (call(), 2.0)[1])
    with FlopCounterMode(display=False) as counter:
        rate = matmul_rate(CPU, torch.float32, [(16, 8, 4)])
    assert rate == pytest.approx(2 * 2048**3 / 2.0)
    assert counter.get_total_flops() == 2 * (1024**3 + 2048**3 + 16 * 8 * 4)
