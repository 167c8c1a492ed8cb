import pytest
import torch
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from torch.nn.attention.flex_attention import flex_attention

from train.attention import BlockMask, StepByStep, attend, block_causal_pattern, block_mask, rotate
from train.objective import Objective
from train.predictor import Predictor
from train.presets import preset

CPU = torch.device("cpu")


def boolean_mask(num_frames: int, tokens_per_step: int, prefix_frames: int = 0) -> torch.Tensor:
    """The pattern in full, bool (new tokens, all tokens): True where a query (row) sees a key (column)."""
    step_C = torch.arange((prefix_frames + num_frames) * tokens_per_step) // tokens_per_step
    return (step_C[:, None] >= step_C[None, :])[prefix_frames * tokens_per_step :]


def random_heads(num_frames: int, tokens_per_step: int, prefix_frames: int) -> list[torch.Tensor]:
    """Queries of the new tokens, keys and values of all: (2, 4, tokens, 16)."""
    generator = torch.Generator().manual_seed(0)
    num_tokens = (prefix_frames + num_frames) * tokens_per_step
    query, key, value = torch.randn(3, 2, 4, num_tokens, 16, generator=generator).unbind(0)
    heads = query[:, :, prefix_frames * tokens_per_step :], key, value
    return [head.clone().requires_grad_() for head in heads]


def attended(heads, pattern) -> list[torch.Tensor]:
    """What comes out, and the gradients of queries, keys and values."""
    mixed = attend(*heads, pattern)
    weights = torch.randn(mixed.shape, generator=torch.Generator().manual_seed(1))
    return [mixed.detach(), *torch.autograd.grad((mixed * weights).sum(), heads)]


def test_the_reference_mask_shows_a_token_its_own_step_and_earlier_ones():
    assert boolean_mask(2, 3).int().tolist() == [[1, 1, 1, 0, 0, 0]] * 3 + [[1, 1, 1, 1, 1, 1]] * 3
    assert boolean_mask(1, 2, prefix_frames=1).int().tolist() == [[1, 1, 1, 1]] * 2


@pytest.mark.parametrize("prefix_frames", [0, 1, 4])
def test_a_single_step_needs_no_mask(prefix_frames):
    assert block_causal_pattern(1, 5, CPU, prefix_frames=prefix_frames) is None
    assert block_causal_pattern(1, 5, torch.device("cuda"), prefix_frames=prefix_frames) is None


LENGTHS = [(2, 3, 0), (5, 18, 0), (3, 130, 0), (1, 18, 2), (3, 18, 2), (2, 130, 1)]


@pytest.mark.parametrize(("num_frames", "tokens_per_step", "prefix_frames"), LENGTHS)
def test_step_by_step_equals_the_masked_attention(num_frames, tokens_per_step, prefix_frames):
    heads = random_heads(num_frames, tokens_per_step, prefix_frames)
    query, key, value = heads
    mask = boolean_mask(num_frames, tokens_per_step, prefix_frames)
    masked = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    weights = torch.randn(masked.shape, generator=torch.Generator().manual_seed(1))
    expected = [masked.detach(), *torch.autograd.grad((masked * weights).sum(), heads)]
    pattern = block_causal_pattern(num_frames, tokens_per_step, CPU, prefix_frames=prefix_frames)
    for got, wanted in zip(attended(heads, pattern), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


# Uncompiled FlexAttention is the same arithmetic without the kernel, and says that it is slow.
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize(("num_frames", "tokens_per_step", "prefix_frames"), LENGTHS)
def test_the_block_mask_means_what_step_by_step_means(
    monkeypatch, num_frames, tokens_per_step, prefix_frames
):
    monkeypatch.setattr("train.attention._compiled_flex_attention", lambda: flex_attention)
    query, key, value = (head.detach() for head in random_heads(num_frames, tokens_per_step, prefix_frames))
    flexible = block_mask(num_frames, tokens_per_step, CPU, prefix_frames=prefix_frames)
    assert isinstance(flexible, BlockMask)
    expected = attend(query, key, value, StepByStep(tokens_per_step))
    torch.testing.assert_close(attend(query, key, value, flexible), expected)


def test_block_masks_skip_nearly_all_that_is_masked():
    """At the published size: 15 steps of 258 tokens, which are no multiple of the 128 of a block."""
    mask = block_mask(15, 258, CPU)
    computed = int(mask.kv_num_blocks.sum() + mask.full_kv_num_blocks.sum()) * 128**2
    assert 1.0 < computed / (258**2 * 15 * 16 / 2) < 1.12


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@torch.no_grad()
def test_rotates_to_the_bits_of_timm(dtype):
    generator = torch.Generator().manual_seed(0)
    heads = torch.randn(2, 3, 7, 12, generator=generator).to(dtype)
    rope = torch.randn(7, 24, generator=generator)
    expected = apply_rot_embed_cat(heads, rope).type_as(heads)
    assert torch.equal(rotate(heads, rope), expected)
    assert torch.equal(rotate(heads.transpose(1, 2).contiguous().transpose(1, 2), rope), expected)
