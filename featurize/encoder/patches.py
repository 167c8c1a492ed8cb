"""From pixels to tokens.

Shapes: F frames, C colours, H and W pixels, N tokens per frame, D encoder width.
"""

import torch
from timm.layers.patch_embed import PatchEmbed
from torch import nn

_TUBELET_FRAMES = 2


class TubeletEmbed(nn.Module):
    """The published patch embedding: one 3-D kernel over two frames, here the same frame twice."""

    def __init__(self, image_size_px: int, patch_size_px: int, width: int) -> None:
        super().__init__()
        self.image_size_px = image_size_px
        kernel = (_TUBELET_FRAMES, patch_size_px, patch_size_px)
        self.proj = nn.Conv3d(3, width, kernel_size=kernel, stride=kernel)

    def forward(self, images_FCHW: torch.Tensor) -> torch.Tensor:
        """Return tokens (F, N, D)."""
        tubelets = images_FCHW.unsqueeze(2).expand(-1, -1, _TUBELET_FRAMES, -1, -1)
        return self.proj(tubelets).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


def fold(embed: TubeletEmbed) -> PatchEmbed:
    """Sum the kernel over time: on two equal frames the same tokens for half the work.

    Equal up to the order of additions, so fold in float32 and cast afterwards.
    """
    conv = embed.proj
    with torch.device("meta"):
        folded = PatchEmbed(embed.image_size_px, conv.kernel_size[1], conv.in_channels, conv.out_channels)
    folded.proj.weight = nn.Parameter(conv.weight.detach().sum(dim=2), requires_grad=False)
    folded.proj.bias = conv.bias
    return folded
