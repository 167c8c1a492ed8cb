"""A predictor for use without gradients: the same weights and outputs, by other kernels."""

import pytest
import torch

from train.products import with_fast_products

CPU = torch.device("cpu")


def test_predicts_the_same(golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    inputs = (latents[:, :-1], actions, states[:, :-1])
    fast = with_fast_products(golden_predictor, CPU)
    torch.testing.assert_close(fast(*inputs), golden_predictor(*inputs), rtol=0, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(fast(*inputs), golden_predictor(*inputs), rtol=0, atol=1e-6)


def test_shares_the_weights_under_their_names(golden_predictor):
    fast, own = with_fast_products(golden_predictor, CPU).state_dict(), golden_predictor.state_dict()
    assert list(fast) == list(own)
    assert all(fast[name].data_ptr() == own[name].data_ptr() for name in own)


def test_leaves_the_predictor_that_it_is_made_of_alone(golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    with_fast_products(golden_predictor, CPU)
    golden_predictor(latents[:, :-1], actions, states[:, :-1]).sum().backward()
    assert golden_predictor.predictor_proj.weight.grad is not None


@pytest.mark.skipif(not torch._C._has_mkldnn, reason="no oneDNN in this PyTorch")
def test_its_products_are_those_of_onednn(golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    fast = with_fast_products(golden_predictor, CPU)
    with torch.inference_mode(), torch.profiler.profile() as profile:
        fast(latents[:, :-1], actions, states[:, :-1])
    called = {event.name for event in profile.events()}
    assert "mkldnn::_linear_pointwise" in called
    assert "aten::addmm" not in called
