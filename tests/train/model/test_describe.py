import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from train.describe import count_parameters, describe, forward_flops
from train.predictor import Predictor
from train.presets import UnknownPresetError, preset


def test_the_published_predictor_has_305_220_992_parameters():
    assert count_parameters(preset("vjepa2-ac", 16, 16, 1408)) == 305_220_992


def test_the_published_step_costs_what_was_worked_out_by_hand():
    said = describe("vjepa2-ac")
    assert said["flops_per_step"] == pytest.approx(2.7e15, rel=0.02)
    assert said["flops_per_step_masked_in_full"] == pytest.approx(3.2e15, rel=0.02)
    assert said["shapes"]["latents"] == [256, 16, 256, 1408]


def test_the_demo_has_about_a_million_parameters():
    assert 0.7e6 < describe("demo")["parameters"] < 1.5e6


@pytest.mark.parametrize("num_frames", [1, 5])
def test_the_formula_counts_what_torch_counts(num_frames):
    config = preset("demo", 4, 4, 96)
    with torch.device("meta"):
        predictor = Predictor(config)
    clip = [torch.empty(1, num_frames, *shape, device="meta") for shape in ((16, 96), (7,), (7,))]
    with FlopCounterMode(display=False) as counter:
        predictor(*clip)
    assert forward_flops(config, num_frames, block_causal=False) == counter.get_total_flops()


def test_block_causal_attention_costs_just_over_half_of_the_masked():
    config = preset("demo", 4, 4, 96)
    masked, causal = (forward_flops(config, 15, block_causal=flag) for flag in (False, True))
    pairs = 4 * config.depth * config.width * config.tokens_per_step**2
    assert masked - causal == pairs * (15**2 - 15 * 16 // 2)


def test_a_description_can_be_printed_for_programs():
    assert json.loads(json.dumps(describe("small")))["name"] == "small"


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownPresetError, match="no predictor preset 'vjepa3'"):
        describe("vjepa3")
