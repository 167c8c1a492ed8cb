"""The read side's values: a batch of clips, and the reused buffers that it is read into.

Legend: B clips, T frames, N tokens per frame, D encoder width, A action and state size (7).
"""

import math
import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from store_schema.errors import SchemaError
from store_schema.format import STATE_SIZE, LatentShape, Quantisation


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipBatch:
    """B clips of T consecutive stored frames, as they lie in the store.

    latents_BTND: int8 codes, or float16 latents.
    token_scale_BTN: float16 scales of the codes; None where the latents are float16.
    states_BTA: float32, end effector xyz in metres, extrinsic-xyz Euler angles in radians, gripper 0..1.
    actions_BTA: float32, change of state from each frame to the next stored one, T-1 of them.

    Raises SchemaError where shapes or dtypes disagree.
    """

    latents_BTND: Tensor
    token_scale_BTN: Tensor | None
    states_BTA: Tensor
    actions_BTA: Tensor

    def __post_init__(self) -> None:
        if self.latents_BTND.ndim != 4:
            shape = tuple(self.latents_BTND.shape)
            raise SchemaError(f"Latents of a clip batch are (B, T, N, D); got {shape}.")
        num_clips, num_frames, num_tokens, _ = self.latents_BTND.shape
        is_codes = self.latents_BTND.dtype is torch.int8
        if not is_codes and self.latents_BTND.dtype is not torch.float16:
            raise SchemaError(f"Latents of a clip batch are int8 or float16; got {self.latents_BTND.dtype}.")
        _expect(self.states_BTA, "states", (num_clips, num_frames, STATE_SIZE), torch.float32)
        _expect(self.actions_BTA, "actions", (num_clips, num_frames - 1, STATE_SIZE), torch.float32)
        if is_codes != (self.token_scale_BTN is not None):
            raise SchemaError("A clip batch has token scales exactly when its latents are int8 codes.")
        if self.token_scale_BTN is not None:
            _expect(self.token_scale_BTN, "token_scale", (num_clips, num_frames, num_tokens), torch.float16)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "ClipBatch":
        """The same batch on another device."""
        scale = self.token_scale_BTN
        return ClipBatch(
            latents_BTND=self.latents_BTND.to(device, non_blocking=non_blocking),
            token_scale_BTN=None if scale is None else scale.to(device, non_blocking=non_blocking),
            states_BTA=self.states_BTA.to(device, non_blocking=non_blocking),
            actions_BTA=self.actions_BTA.to(device, non_blocking=non_blocking),
        )


def _expect(tensor: Tensor, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tensor.dtype is not dtype or tuple(tensor.shape) != shape:
        raise SchemaError(
            f"Clip batch '{name}' is {tensor.dtype} {tuple(tensor.shape)}; expected {dtype} {shape}."
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipBuffers:
    """Page-aligned host memory for one batch, allocated once and filled again and again.

    Large numpy arrays start 16 bytes past a page boundary, where some processors copy at a quarter of
    their speed; anonymous memory maps start on one.
    """

    latents_BTND: NDArray[np.int8] | NDArray[np.float16]
    token_scale_BTN: NDArray[np.float16] | None
    states_BTA: NDArray[np.float32]
    actions_BTA: NDArray[np.float32]

    @classmethod
    def allocate(
        cls, *, num_clips: int, num_frames: int, latent_shape: LatentShape, quantisation: Quantisation
    ) -> "ClipBuffers":
        """Buffers for `num_clips` clips of `num_frames` frames."""
        frames = (num_clips, num_frames)
        num_tokens, width = latent_shape.num_tokens, latent_shape.width
        is_int8 = quantisation is Quantisation.INT8
        return cls(
            latents_BTND=_aligned((*frames, num_tokens, width), np.int8 if is_int8 else np.float16),
            token_scale_BTN=_aligned((*frames, num_tokens), np.float16) if is_int8 else None,
            states_BTA=_aligned((*frames, STATE_SIZE), np.float32),
            actions_BTA=_aligned((*frames, STATE_SIZE), np.float32),
        )

    @property
    def num_frames(self) -> int:
        """Frames a clip."""
        return int(self.states_BTA.shape[1])

    def first(self, num_clips: int) -> "ClipBuffers":
        """The first clips of the same memory."""
        return ClipBuffers(
            latents_BTND=self.latents_BTND[:num_clips],
            token_scale_BTN=None if self.token_scale_BTN is None else self.token_scale_BTN[:num_clips],
            states_BTA=self.states_BTA[:num_clips],
            actions_BTA=self.actions_BTA[:num_clips],
        )

    def as_batch(self) -> ClipBatch:
        """A view of the buffers, valid until they are filled again; the last frame's action is left out."""
        scale = self.token_scale_BTN
        return ClipBatch(
            latents_BTND=torch.from_numpy(self.latents_BTND),
            token_scale_BTN=None if scale is None else torch.from_numpy(scale),
            states_BTA=torch.from_numpy(self.states_BTA),
            actions_BTA=torch.from_numpy(self.actions_BTA)[:, :-1],
        )


def _aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, num_bytes), dtype=dtype).reshape(shape)
