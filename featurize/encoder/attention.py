"""Which code computes attention: torch's SDPA, or xformers where it can serve.

Shapes: F frames, N tokens per frame, D encoder width, H heads, K channels of a head.
"""

import ctypes
import importlib
import importlib.metadata
import logging
from types import ModuleType
from typing import Any, Literal, get_args

import torch
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from torch import nn

from featurize.encoder.errors import EncoderOptionError, XformersUnavailableError

_log = logging.getLogger(__name__)
_PROBE_TOKENS = 16

Attention = Literal["sdpa", "xformers", "auto"]


class XformersAttention(nn.Module):
    """timm's `AttentionRope`, same parameters and names, computed by xformers."""

    def __init__(self, attention: Any, xformers_ops: ModuleType) -> None:
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self.num_heads = attention.num_heads
        self._ops = xformers_ops

    def forward(self, tokens_FND: torch.Tensor, rope: torch.Tensor, **_: object) -> torch.Tensor:
        """Attend within each frame; `rope` (N, 2 K) as `still_frame_rope` gives it. Returns (F, N, D)."""
        qkv = self.qkv(tokens_FND).unflatten(-1, (3, self.num_heads, -1))
        query_FNHK, key_FNHK, value_FNHK = qkv.unbind(2)
        rope_N1K = rope.unsqueeze(1)
        query_FNHK = apply_rot_embed_cat(query_FNHK, rope_N1K).type_as(value_FNHK)
        key_FNHK = apply_rot_embed_cat(key_FNHK, rope_N1K).type_as(value_FNHK)
        mixed_FNHK = self._ops.memory_efficient_attention(query_FNHK, key_FNHK, value_FNHK)
        return self.proj(mixed_FNHK.flatten(2))  # type: ignore[no-any-return]


def xformers_or_reason(
    head_dim: int, num_heads: int, device: torch.device, dtype: torch.dtype
) -> tuple[ModuleType | None, str]:
    """Ask xformers by one small call with these sizes: its `ops`, or None and the reason why not.

    `xformers.info` says "available" even where every call is refused, so only a call counts.
    """
    probe = torch.zeros(1, _PROBE_TOKENS, num_heads, head_dim, device=device, dtype=dtype)
    try:
        _load_cuda_12_runtime()
        ops = importlib.import_module("xformers.ops")
        ops.memory_efficient_attention(probe, probe, probe)
    except ImportError as error:
        return None, f"xformers cannot be imported ({error})"
    except (RuntimeError, OSError, ValueError) as error:
        return None, f"xformers refuses {dtype} tensors on {device} ({str(error).splitlines()[0]})"
    return ops, ""


def choose_attention(
    wanted: Attention, *, head_dim: int, num_heads: int, device: torch.device, dtype: torch.dtype
) -> ModuleType | None:
    """xformers' `ops`, or None for SDPA.

    Raises:
        EncoderOptionError: `wanted` is none of 'sdpa', 'xformers', 'auto'.
        XformersUnavailableError: 'xformers' was asked for and cannot serve; the message says why.
    """
    if wanted not in get_args(Attention):
        raise EncoderOptionError(
            f"attention is '{wanted}'; expected one of {', '.join(get_args(Attention))}."
        )
    if wanted == "sdpa":
        return None
    ops, reason = xformers_or_reason(head_dim, num_heads, device, dtype)
    if ops is None and wanted == "xformers":
        raise XformersUnavailableError(
            f"--attention xformers cannot serve here: {reason}. xformers needs a CUDA device and the extra "
            "permafrost[xformers]; --attention sdpa computes the same thing without it."
        )
    _log.info("attention: %s", "xformers" if ops else f"sdpa, because {reason}")
    return ops


def _load_cuda_12_runtime() -> None:
    # The xformers wheel is linked against CUDA 12. Beside a torch of newer CUDA nobody else loads that
    # runtime, and without it every kernel is refused.
    try:
        files = importlib.metadata.files("nvidia-cuda-runtime-cu12") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name == "libcudart.so.12":
            ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
