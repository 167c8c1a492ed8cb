"""Rotary position table of the predictor's tokens.

Shape legend: S tokens of consecutive frames (num_frames x tokens_per_step), H channels of one attention head.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn import functional as F

CONDITION_TOKENS = 2
"""Tokens before each frame's own: its action, then its state."""

_BASE = 10_000.0
_AXES = 3


def rotated_width(head_dim: int) -> int:
    """Channels of a head that one of the three axes (time, row, column) rotates: an even number.

    A head of 64 channels gives 20 to each axis and leaves 4 unrotated.
    """
    return 2 * ((head_dim // _AXES) // 2)


@lru_cache(maxsize=64)
def rotation_table(
    num_frames: int,
    grid_height: int,
    grid_width: int,
    head_dim: int,
    device: torch.device,
    *,
    first_frame: int = 0,
) -> torch.Tensor:
    """Sines and cosines, float32 (S, 2 H), as `timm.layers.apply_rot_embed_cat` takes them.

    The frames are `first_frame` and those after it, counted from the start of the clip.

    The first H columns are sines, the rest cosines. Rotation by angle zero is the identity, so both
    exceptions of the published model are zeros here: the channels that no axis owns, and row and column of
    the action and state tokens.

    Source: `ACRoPEAttention` of facebookresearch/vjepa2, `src/models/utils/modules.py`. Its frequencies are
    tiled (f0, f1, ..., f0, f1, ...) while the rotated pairs are neighbouring channels, so the two channels of
    a pair turn by different angles. The released weights were trained with that slip and need it.
    """
    # A table made under inference mode could never serve training afterwards, and this one is kept.
    with torch.inference_mode(mode=False):
        frames_T = torch.arange(first_frame, first_frame + num_frames, device=device)
        positions_S3 = _token_positions(frames_T, grid_height, grid_width)
        angles_SH = (positions_S3[:, :, None] * _tiled_frequencies(head_dim, device)).flatten(1)
        angles_SH = F.pad(angles_SH, (0, head_dim - angles_SH.shape[1]))
        return torch.cat([angles_SH.sin(), angles_SH.cos()], dim=1)


def _token_positions(frames_T: torch.Tensor, grid_height: int, grid_width: int) -> torch.Tensor:
    """Time, row and column of every token, float32 (S, 3).

    Columns are rescaled to span the grid's height: upstream snaps both axes to a square of that side.
    """
    num_tokens = grid_height * grid_width
    token = torch.arange(num_tokens, device=frames_T.device)
    positions_TK3 = torch.zeros(len(frames_T), CONDITION_TOKENS + num_tokens, _AXES, device=frames_T.device)
    positions_TK3[:, :, 0] = frames_T[:, None]
    positions_TK3[:, CONDITION_TOKENS:, 1] = (token // grid_width).float()
    positions_TK3[:, CONDITION_TOKENS:, 2] = (token % grid_width).float() * (grid_height / grid_width)
    return positions_TK3.flatten(0, 1)


def _tiled_frequencies(head_dim: int, device: torch.device) -> torch.Tensor:
    num_frequencies = rotated_width(head_dim) // 2
    exponents = torch.arange(num_frequencies, device=device, dtype=torch.float32) / num_frequencies
    return (1.0 / _BASE**exponents).repeat(2)
