"""Block-causal self-attention: every token of a step sees all tokens of its own and of earlier steps.

The only module that knows how attention is computed: FlexAttention with a block mask on CUDA, PyTorch's
scaled-dot-product attention with a boolean mask of the clip's own length elsewhere.

Shape legend: B clips, S tokens of a clip, P predictor width, G attention heads, H channels of one head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import cast

import torch
from timm.layers.attention import AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaBlock
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

AttentionMask = torch.Tensor | BlockMask | None

_Kernel = Callable[..., torch.Tensor]


class BlockCausalAttention(AttentionRope):
    """timm's rotary attention (its parameters and their names) with the kernel chosen by the mask."""

    def forward(
        self,
        x: torch.Tensor,
        rope: torch.Tensor | None = None,
        attn_mask: AttentionMask = None,
        is_causal: bool = False,
    ) -> torch.Tensor:
        """Attend over tokens (B, S, P) -> (B, S, P); `rope` as `train.rope.rotation_table` makes it."""
        assert rope is not None, "the predictor always rotates"
        assert not is_causal, "causality per step is the mask's business"
        qkv_3BGSH = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        query_BGSH, key_BGSH, value_BGSH = qkv_3BGSH.unbind(0)
        query_BGSH = apply_rot_embed_cat(query_BGSH, rope)
        key_BGSH = apply_rot_embed_cat(key_BGSH, rope)
        mixed_BGSH = attend(query_BGSH, key_BGSH, value_BGSH, attn_mask)
        return cast(torch.Tensor, self.proj(mixed_BGSH.transpose(1, 2).flatten(2)))


def transformer_block(width: int, num_heads: int, mlp_ratio: float) -> EvaBlock:
    """One pre-norm block of attention and GELU MLP with the official checkpoint's parameter names."""
    block = EvaBlock(
        width,
        num_heads,
        mlp_ratio=mlp_ratio,
        attn_type="rope",
        num_prefix_tokens=0,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    block.attn = BlockCausalAttention(width, num_heads, num_prefix_tokens=0)
    return block


@lru_cache(maxsize=64)
def block_causal_mask(num_frames: int, tokens_per_step: int, device: torch.device) -> AttentionMask:
    """Mask of a clip of `num_frames` steps, kept per length and device; None where one step sees itself.

    A block mask on CUDA, else bool (S, S) with True where the query (row) sees the key (column).
    """
    if num_frames == 1:
        return None
    # A mask made under inference mode could never serve training afterwards, and this one is kept.
    with torch.inference_mode(mode=False):
        make = block_mask if device.type == "cuda" else boolean_mask
        return make(num_frames, tokens_per_step, device)


def boolean_mask(num_frames: int, tokens_per_step: int, device: torch.device) -> torch.Tensor:
    """The block-causal mask in full, bool (S, S)."""
    step_S = torch.arange(num_frames * tokens_per_step, device=device) // tokens_per_step
    return step_S[:, None] >= step_S[None, :]


def block_mask(num_frames: int, tokens_per_step: int, device: torch.device) -> BlockMask:
    """The same mask as FlexAttention's sparse blocks; nothing of size S x S is kept."""

    def query_sees_key(
        _clip: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        return query // tokens_per_step >= key // tokens_per_step

    num_tokens = num_frames * tokens_per_step
    return create_block_mask(query_sees_key, None, None, num_tokens, num_tokens, device=device)


def attend(
    query_BGSH: torch.Tensor, key_BGSH: torch.Tensor, value_BGSH: torch.Tensor, mask: AttentionMask
) -> torch.Tensor:
    """Softmax attention (B, G, S, H) under either kind of mask."""
    if isinstance(mask, BlockMask):
        return _compiled_flex_attention()(query_BGSH, key_BGSH, value_BGSH, block_mask=mask)
    return F.scaled_dot_product_attention(query_BGSH, key_BGSH, value_BGSH, attn_mask=mask)


@cache
def _compiled_flex_attention() -> _Kernel:
    """FlexAttention saves memory only when compiled, and compiling at import would cost everyone."""
    return cast(_Kernel, torch.compile(flex_attention))
