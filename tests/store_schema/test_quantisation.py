"""int8 codes stay within half a step, and what cannot be encoded is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from store_schema.errors import UnencodableLatentsError
from store_schema.quantisation import (
    CODE_LIMIT,
    STD_FLOOR,
    ChannelStatistics,
    as_float16,
    dequantise,
    quantise,
)

FLOAT16_STEP = 2.0**-24
"""The smallest float16 above zero: no scale is known more finely."""


def heavy_tailed(seed: int, frames: int = 2, tokens: int = 3, width: int = 16) -> Tensor:
    """Student-t values, 3 degrees of freedom: most small, a few very large."""
    torch.manual_seed(seed)
    return torch.distributions.StudentT(3.0).sample((frames, tokens, width))


def error_bound(scale_FN: Tensor, statistics: ChannelStatistics) -> Tensor:
    """Half a step, the clipping where float16 rounded the scale down, and float32 arithmetic.

    float16 rounds a scale by at most 2^-11 of itself, below 2^-14 by half the smallest step.
    """
    scale_FN1 = scale_FN.float().unsqueeze(-1)
    clipped_FN1 = CODE_LIMIT * torch.maximum(scale_FN1 * 2.0**-11, torch.tensor(FLOAT16_STEP / 2))
    rounded_FN1 = torch.maximum(scale_FN1 / 2, clipped_FN1)
    magnitude_FND = CODE_LIMIT * scale_FN1 * statistics.std_D + statistics.mean_D.abs()
    return rounded_FN1 * statistics.std_D * 1.0001 + magnitude_FND * 2.0**-21


@given(
    seed=st.integers(0, 2**31),
    magnitude=st.sampled_from([1e-6, 1e-3, 1.0, 30.0]),
    offset=st.sampled_from([-20.0, 0.0, 3.0]),
)
@settings(max_examples=100, deadline=None)
def test_every_latent_comes_back_within_half_a_step(seed: int, magnitude: float, offset: float) -> None:
    statistics = ChannelStatistics.of(heavy_tailed(seed + 1, frames=20))
    latents_FND = heavy_tailed(seed) * magnitude + offset
    codes_FND, scale_FN = quantise(latents_FND, statistics)
    error_FND = (dequantise(codes_FND, scale_FN, statistics) - latents_FND).abs()
    assert (error_FND <= error_bound(scale_FN, statistics)).all()


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_the_largest_channel_of_a_token_takes_the_largest_code(seed: int) -> None:
    latents_FND = heavy_tailed(seed)
    codes_FND, _ = quantise(latents_FND, ChannelStatistics.of(latents_FND))
    assert codes_FND.abs().amax(dim=-1).unique().tolist() == [CODE_LIMIT]


def test_codes_and_scales_have_their_shapes_and_dtypes() -> None:
    codes_FND, scale_FN = quantise(heavy_tailed(0), ChannelStatistics.of(heavy_tailed(1)))
    assert (codes_FND.shape, codes_FND.dtype) == ((2, 3, 16), torch.int8)
    assert (scale_FN.shape, scale_FN.dtype) == ((2, 3), torch.float16)


def test_a_token_at_the_channel_means_is_kept_exactly() -> None:
    statistics = ChannelStatistics.of(heavy_tailed(0))
    codes_FND, scale_FN = quantise(statistics.mean_D.expand(1, 2, 16), statistics)
    assert not codes_FND.any()
    assert not scale_FN.any()
    assert torch.equal(dequantise(codes_FND, scale_FN, statistics), statistics.mean_D.expand(1, 2, 16))


def test_a_token_too_close_to_the_channel_means_for_a_scale_has_codes_of_zero() -> None:
    statistics = ChannelStatistics(mean_D=torch.zeros(16), std_D=torch.ones(16))
    codes_FND, scale_FN = quantise(torch.full((1, 1, 16), 1e-7), statistics)
    assert not scale_FN.any()
    assert not codes_FND.any()


def test_an_all_zero_token_comes_back_within_half_a_step() -> None:
    statistics = ChannelStatistics.of(heavy_tailed(0))
    zeros_FND = torch.zeros(1, 2, 16)
    codes_FND, scale_FN = quantise(zeros_FND, statistics)
    assert (dequantise(codes_FND, scale_FN, statistics).abs() <= error_bound(scale_FN, statistics)).all()


def test_massive_channels_do_not_drown_the_others() -> None:
    """Two channels a thousand times larger: a token scale alone would leave the rest no codes."""
    latents_FND = heavy_tailed(0, frames=50, width=64)
    latents_FND[..., :2] *= 1000.0
    statistics = ChannelStatistics.of(latents_FND)
    error_FND = (dequantise(*quantise(latents_FND, statistics), statistics) - latents_FND).abs()
    ordinary = slice(2, None)
    relative = error_FND[..., ordinary].mean() / latents_FND[..., ordinary].abs().mean()
    assert relative < 0.03


def test_a_channel_that_never_moves_gets_the_floor_as_its_deviation() -> None:
    statistics = ChannelStatistics.of(torch.full((10, 4), 3.0))
    assert statistics.std_D.tolist() == pytest.approx([STD_FLOOR] * 4)
    assert statistics.mean_D.tolist() == [3.0] * 4


def test_statistics_over_batches_are_those_over_everything_at_once() -> None:
    latents_FND = heavy_tailed(0, frames=23).double()
    flat_XD = latents_FND.reshape(-1, latents_FND.shape[-1])
    batched = ChannelStatistics.over(latents_FND.split(5))
    torch.testing.assert_close(batched.mean_D, flat_XD.mean(dim=0).float())
    torch.testing.assert_close(batched.std_D, flat_XD.std(dim=0, correction=0).float())


def test_statistics_do_not_lose_small_deviations_beside_a_large_mean() -> None:
    latents_XD = 1000.0 + 0.01 * torch.tensor([[-1.0], [1.0]]).repeat(5000, 1)
    assert ChannelStatistics.of(latents_XD).std_D.item() == pytest.approx(0.01, rel=1e-2)


def test_the_hash_of_statistics_tells_mean_from_deviation() -> None:
    ones, twos = torch.ones(4), torch.full((4,), 2.0)
    one_way, other_way = (
        ChannelStatistics(mean_D=ones, std_D=twos),
        ChannelStatistics(mean_D=twos, std_D=ones),
    )
    assert one_way.sha256() != other_way.sha256()
    assert one_way.sha256() == ChannelStatistics(mean_D=ones.clone(), std_D=twos.clone()).sha256()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_quantise_refuses_latents_that_are_not_finite(value: float) -> None:
    latents_FND = heavy_tailed(0)
    latents_FND[1, 2, 3] = value
    with pytest.raises(UnencodableLatentsError, match="Latents hold NaN or infinite values; int8 codes need"):
        quantise(latents_FND, ChannelStatistics.of(heavy_tailed(1)))
    with pytest.raises(
        UnencodableLatentsError, match="Latents hold NaN or infinite values, or leave the range"
    ):
        as_float16(latents_FND)


def test_quantise_refuses_latents_whose_scale_leaves_float16() -> None:
    constant = ChannelStatistics.of(torch.zeros(4, 16))
    with pytest.raises(UnencodableLatentsError, match="more than 8 million standard deviations"):
        quantise(torch.full((1, 1, 16), 1000.0), constant)


def test_float16_stores_refuse_latents_that_overflow() -> None:
    with pytest.raises(UnencodableLatentsError, match="leave the range of float16"):
        as_float16(torch.full((1, 1, 4), 1e5))


def test_dequantised_latents_have_the_dtype_asked_for() -> None:
    statistics = ChannelStatistics.of(heavy_tailed(1))
    codes_FND, scale_FN = quantise(heavy_tailed(0), statistics)
    assert dequantise(codes_FND, scale_FN, statistics, torch.bfloat16).dtype is torch.bfloat16
