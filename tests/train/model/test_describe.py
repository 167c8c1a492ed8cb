import json
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from train.describe import (
    count_parameters,
    describe,
    flops_per_step,
    forward_flops,
    plain_flops_per_step,
)
from train.objective import Objective
from train.predictor import Predictor, PredictorConfig
from train.presets import UnknownPresetError, find_preset, preset


def test_the_published_predictor_has_305_220_992_parameters():
    assert count_parameters(preset("vjepa2-ac", 16, 16, 1408)) == 305_220_992


def test_the_published_step_costs_what_was_worked_out_by_hand():
    """3.2 PFLOP as the public loop computes it; 2.67 block-causal; 258 tokens a clip less in the rollout."""
    said = describe("vjepa2-ac")
    assert said["flops_per_step_plain"] == pytest.approx(3.2e15, rel=0.005)
    assert said["flops_per_step"] == pytest.approx(2.546e15, rel=0.001)
    assert said["shapes"]["latents"] == [256, 16, 256, 1408]


def test_the_demo_has_about_a_million_parameters():
    assert 0.7e6 < describe("demo")["parameters"] < 1.5e6


def on_meta(config: PredictorConfig, num_frames: int) -> tuple[Predictor, list[torch.Tensor]]:
    """A predictor and one clip that have shapes and no numbers."""
    with torch.device("meta"):
        shapes = ((config.num_tokens, config.encoder_width), (7,), (7,))
        return Predictor(config), [torch.empty(1, num_frames, *shape) for shape in shapes]


@pytest.mark.parametrize(("num_frames", "prefix_frames"), [(1, 0), (5, 0), (1, 3), (2, 3)])
def test_the_formula_counts_what_torch_counts(num_frames, prefix_frames):
    config = preset("demo", 4, 4, 96)
    predictor, clip = on_meta(config, num_frames)
    prefix = None
    if prefix_frames:
        _, prefix = predictor.extend(None, *on_meta(config, prefix_frames)[1], keep=prefix_frames)
    with FlopCounterMode(display=False) as counter:
        predictor.extend(prefix, *clip)
    assert forward_flops(config, num_frames, prefix_frames=prefix_frames) == counter.get_total_flops()


@pytest.mark.parametrize("rollout_steps", [1, 2, 4])
def test_an_update_computes_what_is_counted_for_it(rollout_steps):
    """Forward and backward of the whole objective; only gradients of the first maps' inputs are too many."""
    chosen = find_preset("vjepa2-ac")
    config = chosen.config(chosen.latent_shape)
    training = replace(chosen.training, rollout_steps=rollout_steps)
    predictor, (latents, actions, states) = on_meta(config, training.clip_frames)
    with FlopCounterMode(display=False) as counter:
        losses = Objective(rollout_steps=rollout_steps)(predictor, latents, actions[:, :-1], states)
        losses["loss"].backward()
    counted = flops_per_step(config, training) / training.batch_clips
    assert 0.998 < counter.get_total_flops() / counted < 1.0


def test_block_causal_attention_costs_just_over_half_of_the_masked():
    config = preset("demo", 4, 4, 96)
    masked, causal = (forward_flops(config, 15, block_causal=flag) for flag in (False, True))
    pairs = 4 * config.depth * config.width * config.tokens_per_step**2
    assert masked - causal == pairs * (15**2 - 15 * 16 // 2)


def test_the_plain_step_runs_over_the_rollouts_context_again():
    config, training = preset("demo", 4, 4, 96), find_preset("demo").training
    with_three, with_two = (
        plain_flops_per_step(config, replace(training, rollout_steps=steps)) for steps in (3, 2)
    )
    again = forward_flops(config, 3, block_causal=False)
    assert with_three - with_two == 3 * training.batch_clips * again


def test_a_description_can_be_printed_for_programs():
    assert json.loads(json.dumps(describe("small")))["name"] == "small"


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownPresetError, match="no predictor preset 'vjepa3'"):
        describe("vjepa3")
