"""int8 latents: standardised per channel, scaled per token.

    latent = code x token_scale x channel_std + channel_mean

Relative L1 error 0.5-0.9 % on ViT features with massive channels, against about 1 % that the rounding of
a bfloat16 forward pass itself makes. Legend: F frames, N tokens, D channels; a leading `...` is any batch.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from store_schema.errors import UnencodableLatentsError

CODE_LIMIT = 127
STD_FLOOR = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelStatistics:
    """Mean and standard deviation of the latents per channel, float32 (D,); the deviation is floored."""

    mean_D: Tensor
    std_D: Tensor

    @classmethod
    def of(cls, latents_XD: Tensor) -> "ChannelStatistics":
        """Statistics over every leading dimension."""
        return cls.over([latents_XD])

    @classmethod
    def over(cls, batches: Iterable[Tensor]) -> "ChannelStatistics":
        """Statistics over the leading dimensions of all batches, in the memory of one, in float64.

        Means and sums of squared deviations are merged batch by batch (Chan, Golub and LeVeque, 1979), which
        does not lose a small deviation beside a large mean. At least one value a channel.
        """
        count, mean_D, squares_D = 0, torch.zeros(()), torch.zeros(())
        for batch_XD in batches:
            flat_XD = batch_XD.reshape(-1, batch_XD.shape[-1]).double()
            batch_mean_D = flat_XD.mean(dim=0)
            shift_D, total = batch_mean_D - mean_D, count + len(flat_XD)
            squares_D = (flat_XD - batch_mean_D).square().sum(dim=0) + squares_D
            squares_D = squares_D + shift_D.square() * (count * len(flat_XD) / total)
            mean_D, count = mean_D + shift_D * (len(flat_XD) / total), total
        assert count > 0, "no batch, no statistics"
        std_D = (squares_D / count).sqrt().clamp_min(STD_FLOOR)
        return cls(mean_D=mean_D.float().cpu(), std_D=std_D.float().cpu())

    def to(self, device: torch.device | str) -> "ChannelStatistics":
        """The same numbers on another device."""
        return ChannelStatistics(mean_D=self.mean_D.to(device), std_D=self.std_D.to(device))

    def sha256(self) -> str:
        """Hash of both vectors, part of the fingerprint of a store."""
        both = torch.stack([self.mean_D, self.std_D]).cpu().contiguous().numpy()
        return hashlib.sha256(both.tobytes()).hexdigest()


def quantise(latents_FND: Tensor, statistics: ChannelStatistics) -> tuple[Tensor, Tensor]:
    """Codes int8 (F, N, D) within +-127 and token scales float16 (F, N).

    Raises UnencodableLatentsError where a latent is NaN or infinite, or so far from the calibrated channels
    that its scale leaves the range of float16.
    """
    standard_FND = (latents_FND.float() - statistics.mean_D) / statistics.std_D
    if not bool(torch.isfinite(standard_FND).all()):
        raise UnencodableLatentsError("Latents hold NaN or infinite values; int8 codes need finite ones.")
    scale_FN = (standard_FND.abs().amax(dim=-1) / CODE_LIMIT).half()
    if not bool(torch.isfinite(scale_FN).all()):
        raise UnencodableLatentsError(
            "Latents lie more than 8 million standard deviations from the calibrated channel means; "
            "the channel statistics are those of other latents."
        )
    divisor_FN1 = torch.where(scale_FN > 0, scale_FN, 1.0).float().unsqueeze(-1)
    codes_FND = (standard_FND / divisor_FN1).round().clamp(-CODE_LIMIT, CODE_LIMIT).to(torch.int8)
    return codes_FND, scale_FN


def as_float16(latents_FND: Tensor) -> Tensor:
    """Latents for a float16 store.

    Raises UnencodableLatentsError where one is NaN, infinite or out of range.
    """
    half_FND = latents_FND.half()
    if not bool(torch.isfinite(half_FND).all()):
        raise UnencodableLatentsError("Latents hold NaN or infinite values, or leave the range of float16.")
    return half_FND


def dequantise(
    codes_XND: Tensor,
    token_scale_XN: Tensor,
    statistics: ChannelStatistics,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Latents (..., N, D) of `dtype`, computed in float32 on the device of the codes."""
    latents_XND = codes_XND.to(torch.float32, copy=True)
    # In place: on a CPU four fresh results of this size take three times as long as one.
    latents_XND.mul_(token_scale_XN.float().unsqueeze(-1)).mul_(statistics.std_D).add_(statistics.mean_D)
    return latents_XND.to(dtype)
