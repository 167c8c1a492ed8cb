"""Block-causal self-attention: every token of a step sees all tokens of its own and of earlier steps.

The only module that knows how attention is computed. Steps may follow a prefix, whose rotated keys and values
were kept (`train.prefix`): the new tokens see all of it.

Shape legend: B clips, S new tokens, C tokens of prefix and new frames, P predictor width, G attention heads,
H channels of one head, K tokens of a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import cast

import torch
from timm.layers.attention import AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaBlock
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from train.prefix import KeyValue


@dataclass(frozen=True)
class StepByStep:
    """Steps of this many tokens, each attended with a call of its own over the keys that it sees."""

    tokens_per_step: int


Pattern = BlockMask | StepByStep | None
"""What new tokens see of the prefix and of each other; None: everything."""

_Kernel = Callable[..., torch.Tensor]


class BlockCausalAttention(AttentionRope):
    """timm's rotary attention (its parameters and their names) over a prefix and new tokens."""

    def forward(  # type: ignore[override]  # Parameters and names are what is taken over, not the call.
        self,
        tokens_BSP: torch.Tensor,
        rope: torch.Tensor,
        pattern: Pattern,
        past: KeyValue | None,
        kept_tokens: int,
    ) -> tuple[torch.Tensor, KeyValue | None]:
        """The mixed tokens (B, S, P), and keys and values of the prefix and the first `kept_tokens` new ones.

        `rope` is what `train.rope.rotation_table` gives for the new tokens.
        """
        qkv_BS3GH = self.qkv(tokens_BSP).unflatten(-1, (3, self.num_heads, self.head_dim))
        query_BGSH, key_BGSH, value_BGSH = qkv_BS3GH.permute(2, 0, 3, 1, 4).unbind(0)
        query_BGSH, key_BGSH = rotate(query_BGSH, rope), rotate(key_BGSH, rope)
        if torch.is_grad_enabled() or kept_tokens:
            # A view would keep queries and keys before their rotation, for the backward pass or longer.
            value_BGSH = value_BGSH.contiguous()
        new = KeyValue(key_BGSH, value_BGSH)
        seen = new if past is None else past.followed_by(new)
        mixed_BGSH = attend(query_BGSH, seen.key_BGCH, seen.value_BGCH, pattern)
        return self.proj(mixed_BGSH.transpose(1, 2).flatten(2)), _kept(seen, past, kept_tokens)


class PredictorBlock(EvaBlock):
    """timm's pre-norm block of attention and GELU MLP, which also hands out keys and values."""

    def forward(  # type: ignore[override]  # As above.
        self,
        tokens_BSP: torch.Tensor,
        rope: torch.Tensor,
        pattern: Pattern,
        past: KeyValue | None,
        kept_tokens: int,
    ) -> tuple[torch.Tensor, KeyValue | None]:
        """As `BlockCausalAttention.forward`, with the tokens (B, S, P) after the whole block."""
        mixed_BSP, kept = self.attn(self.norm1(tokens_BSP), rope, pattern, past, kept_tokens)
        tokens_BSP = tokens_BSP + mixed_BSP
        return tokens_BSP + self.mlp(self.norm2(tokens_BSP)), kept


def rotate(heads_BGSH: torch.Tensor, rope: torch.Tensor) -> torch.Tensor:
    """Each pair of neighbouring channels (a, b) to (a cos - b sin, b cos + a sin), by its own two angles.

    Without gradients in place, to the bits of timm's, which makes five tensors of this size.
    """
    if torch.is_grad_enabled():
        rotated_BGSH = apply_rot_embed_cat(heads_BGSH, rope)
    else:
        sin_SH, cos_SH = rope.chunk(2, dim=-1)
        rotated_BGSH = heads_BGSH * cos_SH
        rotated_BGSH[..., ::2].sub_(heads_BGSH[..., 1::2] * sin_SH[..., ::2])
        rotated_BGSH[..., 1::2].add_(heads_BGSH[..., ::2] * sin_SH[..., 1::2])
    # Under autocast some versions of timm rotate to float32, as this does.
    return rotated_BGSH.type_as(heads_BGSH)


def transformer_block(width: int, num_heads: int, mlp_ratio: float) -> PredictorBlock:
    """One block with the official checkpoint's parameter names."""
    block = PredictorBlock(
        width,
        num_heads,
        mlp_ratio=mlp_ratio,
        attn_type="rope",
        num_prefix_tokens=0,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    block.attn = BlockCausalAttention(width, num_heads, num_prefix_tokens=0)
    return block


def _kept(seen: KeyValue, past: KeyValue | None, kept_tokens: int) -> KeyValue | None:
    """A copy where it is a part: a view would hold the keys and values of all tokens in memory."""
    if kept_tokens == 0:
        return past
    num_tokens = kept_tokens if past is None else past.num_tokens + kept_tokens
    return seen if num_tokens == seen.num_tokens else seen.first(num_tokens)


@lru_cache(maxsize=64)
def block_causal_pattern(
    num_frames: int, tokens_per_step: int, device: torch.device, *, prefix_frames: int = 0
) -> Pattern:
    """What `num_frames` new steps see, kept per length and device; one new step sees everything."""
    if num_frames == 1:
        return None
    if device.type != "cuda":
        return StepByStep(tokens_per_step)
    # A mask made under inference mode could never serve training afterwards, and this one is kept.
    with torch.inference_mode(mode=False):
        return block_mask(num_frames, tokens_per_step, device, prefix_frames=prefix_frames)


def block_mask(
    num_frames: int, tokens_per_step: int, device: torch.device, *, prefix_frames: int = 0
) -> BlockMask:
    """The pattern as FlexAttention's sparse blocks of 128 x 128; nothing of size S x S is kept.

    Lengths need not be multiples of 128: FlexAttention rounds the number of blocks up and checks bounds in
    the last ones. Blocks that a step's border cuts are computed whole and masked inside: for 15 steps of 258
    tokens 1.11 times the pairs that are seen, 0.59 of all.
    """

    def query_sees_key(
        _clip: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        return query // tokens_per_step + prefix_frames >= key // tokens_per_step

    num_queries, num_keys = num_frames * tokens_per_step, (prefix_frames + num_frames) * tokens_per_step
    return create_block_mask(query_sees_key, None, None, num_queries, num_keys, device=device)


def attend(
    query_BGSH: torch.Tensor, key_BGCH: torch.Tensor, value_BGCH: torch.Tensor, pattern: Pattern
) -> torch.Tensor:
    """Softmax attention (B, G, S, H) of the new tokens, which are the last S of the C keys."""
    if isinstance(pattern, BlockMask):
        # Inside a compiled block it is compiled with it.
        flex = cast(_Kernel, flex_attention) if torch.compiler.is_compiling() else _compiled_flex_attention()
        return flex(query_BGSH, key_BGCH, value_BGCH, block_mask=pattern)
    if isinstance(pattern, StepByStep):
        return _attend_step_by_step(query_BGSH, key_BGCH, value_BGCH, pattern.tokens_per_step)
    return F.scaled_dot_product_attention(query_BGSH, key_BGCH, value_BGCH)


def _attend_step_by_step(
    query_BGSH: torch.Tensor, key_BGCH: torch.Tensor, value_BGCH: torch.Tensor, tokens_per_step: int
) -> torch.Tensor:
    """From the last step, which sees every key, back to the first: no masked pair is computed.

    Keys are cut shorter from one step to the next, so that the backward pass pads every gradient to the next
    longer one only; cut from the whole, each would be padded to all keys.
    """
    mixed_BKGH = []
    for query_BGKH in reversed(torch.split(query_BGSH, tokens_per_step, dim=2)):
        mixed_BKGH.append(F.scaled_dot_product_attention(query_BGKH, key_BGCH, value_BGCH).transpose(1, 2))
        key_BGCH, value_BGCH = key_BGCH[:, :, :-tokens_per_step], value_BGCH[:, :, :-tokens_per_step]
    return torch.cat(mixed_BKGH[::-1], dim=1).transpose(1, 2)


@cache
def _compiled_flex_attention() -> _Kernel:
    """FlexAttention saves memory only when compiled, and compiling at import would cost everyone."""
    return cast(_Kernel, torch.compile(flex_attention))
