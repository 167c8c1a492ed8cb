"""Rotary positions of V-JEPA 2, for the tokens of one still frame.

Shapes: N tokens of a frame, K channels of an attention head.
"""

import torch

_BASE = 10_000.0


def still_frame_rope(grid_height: int, grid_width: int, head_dim: int) -> torch.Tensor:
    """Table for timm's `apply_rot_embed_cat`: sines and cosines, (N, 2 K) float32, N row after row.

    A head's channels are split in three equal even parts for time, row and column; what is left over turns
    by no angle. A still frame lies at time 0. After `RoPEAttention` in src/models/utils/modules.py upstream.
    """
    index_N = torch.arange(grid_height * grid_width, dtype=torch.float64, device="cpu")
    part_dim = 2 * (head_dim // 3 // 2)
    positions = (torch.zeros_like(index_N), index_N // grid_width, index_N % grid_width)
    parts = [_angles(position_N, part_dim) for position_N in positions]
    rest = torch.zeros(len(index_N), head_dim - 3 * part_dim, dtype=torch.float64, device="cpu")
    angles_NK = torch.cat([*parts, rest], dim=-1)
    return torch.cat([angles_NK.sin(), angles_NK.cos()], dim=-1).float()


def _angles(position_N: torch.Tensor, part_dim: int) -> torch.Tensor:
    # Channels are rotated in neighbouring pairs, yet the two of a pair do not share a frequency: upstream has
    # the frequencies as f0..fn,f0..fn. A slip (vjepa2#15), kept because the weights were trained with it.
    exponent = torch.arange(part_dim // 2, dtype=torch.float64, device="cpu") / (part_dim / 2)
    angles = torch.outer(position_N, _BASE**-exponent)
    return torch.cat([angles, angles], dim=-1)
