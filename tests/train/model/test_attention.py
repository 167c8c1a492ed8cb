import pytest
import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from train.attention import attend, block_causal_mask, block_mask, boolean_mask
from train.objective import Objective
from train.predictor import Predictor
from train.presets import preset

CPU = torch.device("cpu")


def random_heads(num_tokens: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randn(3, 2, 4, num_tokens, 16, generator=generator).unbind(0))


def test_a_token_sees_its_own_step_and_earlier_ones():
    mask = boolean_mask(2, 3, CPU)
    assert mask.int().tolist() == [[1, 1, 1, 0, 0, 0]] * 3 + [[1, 1, 1, 1, 1, 1]] * 3


def test_a_single_step_needs_no_mask():
    assert block_causal_mask(1, 5, CPU) is None


def test_masks_are_kept_per_length():
    assert block_causal_mask(3, 5, CPU) is block_causal_mask(3, 5, CPU)
    assert block_causal_mask(2, 5, CPU).shape == (10, 10)


# Uncompiled FlexAttention is the same arithmetic without the kernel, and says that it is slow.
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize(("num_frames", "tokens_per_step"), [(2, 3), (5, 18), (3, 130)])
def test_the_block_mask_means_what_the_boolean_mask_means(monkeypatch, num_frames, tokens_per_step):
    monkeypatch.setattr("train.attention._compiled_flex_attention", lambda: flex_attention)
    heads = random_heads(num_frames * tokens_per_step)
    flexible = block_mask(num_frames, tokens_per_step, CPU)
    assert isinstance(flexible, BlockMask)
    expected = attend(*heads, boolean_mask(num_frames, tokens_per_step, CPU))
    torch.testing.assert_close(attend(*heads, flexible), expected)


@pytest.mark.gpu
def test_predictor_and_gradients_on_cuda_equal_those_on_cpu(cuda_device):
    config = preset("demo", 4, 4, 96)
    results = []
    for device in (CPU, cuda_device):
        predictor = Predictor(config, seed=1).to(device)
        torch.nn.init.eye_(predictor.predictor_proj.weight)
        generator = torch.Generator().manual_seed(0)
        latents = torch.randn(2, 8, 16, 96, generator=generator).to(device)
        actions = torch.randn(2, 7, 7, generator=generator).to(device)
        states = torch.randn(2, 8, 7, generator=generator).to(device)
        losses = Objective()(predictor, latents, actions, states)
        losses["loss"].backward()
        results.append((losses["loss"].item(), predictor.action_encoder.weight.grad.cpu()))
    (loss_cpu, gradient_cpu), (loss_cuda, gradient_cuda) = results
    assert loss_cuda == pytest.approx(loss_cpu, rel=1e-4)
    torch.testing.assert_close(gradient_cuda, gradient_cpu, rtol=1e-2, atol=1e-5)
