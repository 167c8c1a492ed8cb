"""V-JEPA 2's vision transformer, for still frames, on timm's blocks.

Parameters carry the official names, so that a checkpoint needs no translation.
Shapes: F frames, C colours, H and W pixels, N tokens per frame, D encoder width, K channels of a head.
"""

from functools import partial

import torch
from timm.models.eva import EvaBlock
from torch import nn

from featurize.encoder.patches import TubeletEmbed
from featurize.encoder.rope import still_frame_rope
from featurize.encoder.spec import Vjepa2Spec

_layer_norm = partial(nn.LayerNorm, eps=1e-6)


class Vjepa2Vit(nn.Module):
    """Encoder of arXiv 2506.09985 (src/models/vision_transformer.py upstream), one frame at a time."""

    def __init__(self, spec: Vjepa2Spec) -> None:
        super().__init__()
        self.patch_embed: nn.Module = TubeletEmbed(spec.image_size_px, spec.patch_size_px, spec.width)
        self.blocks = nn.ModuleList(_block(spec) for _ in range(spec.depth))
        self.norm = _layer_norm(spec.width)
        self.register_buffer(
            "rope_NK", still_frame_rope(spec.grid_height, spec.grid_width, spec.head_dim), persistent=False
        )

    def forward(self, images_FCHW: torch.Tensor) -> torch.Tensor:
        """Return tokens (F, N, D), float32, after the final norm; no token sees another frame."""
        tokens_FND = self.patch_embed(images_FCHW)
        for block in self.blocks:
            tokens_FND = block(tokens_FND, rope=self.rope_NK)
        return self.norm(tokens_FND.float())  # type: ignore[no-any-return]

    def cast_compute(self, dtype: torch.dtype) -> None:
        """Let blocks and patches compute in `dtype`; final norm and rotation table stay in float32."""
        self.patch_embed.to(dtype)
        self.blocks.to(dtype)


def _block(spec: Vjepa2Spec) -> nn.Module:
    return EvaBlock(
        spec.width,
        spec.num_heads,
        mlp_ratio=spec.mlp_ratio,
        attn_type="rope",
        num_prefix_tokens=0,
        norm_layer=_layer_norm,
    )
